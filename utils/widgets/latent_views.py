"""What the panel of latents shows of one sparse autoencoder, and whether it fits itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from utils.boards import STATE_NAMES


@dataclass(frozen=True)
class LatentView:
    """What `explore_latents` shows of one sparse autoencoder: either boards or texts, one for each vector.

    latents: 0 or above.
    boards: of each vector, in EMPTY, MINE, YOURS. last_moves: the square just played; -1 for none.
    texts: the tokens around each vector. positions: which of them the vector stands on.
    cosines: of each latent's decoder direction with probe directions. With boards: name of a map, such as
        "mine − yours", -> [latent square], NaN where there is no probe; with texts: name of a probe -> [latent].
    """

    latents: Float[Tensor, "vector latent"]
    boards: Int[Tensor, "vector square"] | None = None
    last_moves: Int[Tensor, " vector"] | None = None
    texts: Sequence[Sequence[str]] | None = None
    positions: Sequence[int] | Int[Tensor, " vector"] | None = None
    cosines: Mapping[str, Float[Tensor, "latent square"] | Float[Tensor, " latent"]] | None = None


def check_view(name: str, view: LatentView) -> None:
    """Raise a ValueError that names the autoencoder, the part that does not fit, and the cure."""
    latents = view.latents
    if latents.ndim != 2 or not latents.numel() or not latents.is_floating_point():
        shape = tuple(latents.shape)
        raise ValueError(f"{name}: latents must be [vector latent], not empty, floats; got {latents.dtype} {shape}")
    if not (latents >= 0).all() or not latents.max().isfinite():  # NaN is not ≥ 0
        raise ValueError(
            f"{name}: latents must be finite and 0 or above, got {float(latents.min()):.3g} to "
            f"{float(latents.max()):.3g}; pass what encode returns, not what comes before its ReLU"
        )
    n, d_sae = latents.shape
    if (view.boards is None) == (view.texts is None):
        got = "neither" if view.boards is None else "both"
        raise ValueError(f"{name}: either boards or texts must be given, got {got}")
    if view.boards is not None:
        n_squares = _check_boards(name, view, n)
        shape, wanted = (d_sae, n_squares), "[latent square]"
    else:
        _check_texts(name, view, n)
        shape, wanted = (d_sae,), "[latent]"
    for kind, values in (view.cosines or {}).items():
        if tuple(values.shape) != shape:
            raise ValueError(f"{name}: cosines {kind!r} must be {wanted} with {shape}, got {tuple(values.shape)}")
        if (largest := float(values.abs().nan_to_num(0).max())) > 1 + 1e-3:
            raise ValueError(
                f"{name}: cosines {kind!r} must be from -1 to 1, got up to {largest:.3g}; "
                "divide by the lengths of both directions"
            )


def _check_boards(name: str, view: LatentView, n: int) -> int:
    """How many squares the boards have."""
    boards = view.boards
    if boards.ndim != 2 or len(boards) != n or boards.shape[1] not in (16, 36, 64):
        got = tuple(boards.shape)
        raise ValueError(f"{name}: boards must be [vector square] with {n} vectors and 16, 36 or 64 squares, got {got}")
    if boards.is_floating_point() or not ((boards >= 0) & (boards < len(STATE_NAMES))).all():
        raise ValueError(f"{name}: boards must hold EMPTY, MINE, YOURS (0, 1, 2), got {boards.dtype} of other values")
    last, n_squares = view.last_moves, boards.shape[1]
    if last is not None and (tuple(last.shape) != (n,) or last.is_floating_point()):
        raise ValueError(f"{name}: last_moves must be integers [{n}], one for each vector, got {tuple(last.shape)}")
    if last is not None and not ((last >= -1) & (last < n_squares)).all():
        raise ValueError(
            f"{name}: last_moves must be squares 0 to {n_squares - 1}, or -1 for none, got {int(last.min())} to "
            f"{int(last.max())}; turn tokens into squares with token_squares(size)[moves - 1]"
        )
    return n_squares


def _check_texts(name: str, view: LatentView, n: int) -> None:
    if len(view.texts) != n or view.positions is None or len(view.positions) != n:
        got = len(view.texts), None if view.positions is None else len(view.positions)
        raise ValueError(
            f"{name}: texts and positions must be {n} each, one for each vector, got {got[0]} and {got[1]}"
        )
    for row, (tokens, position) in enumerate(zip(view.texts, view.positions, strict=True)):
        if isinstance(tokens, str) or not all(isinstance(token, str) for token in tokens):
            raise ValueError(f"{name}: texts must be lists of tokens, got {tokens!r} in row {row}; split it")
        if not 0 <= int(position) < len(tokens):
            raise ValueError(
                f"{name}: positions must be those of a token, got {int(position)} in row {row}, which has "
                f"{len(tokens)} tokens; leave padding out"
            )
