"""Edits of the residual stream while a model runs, and how far an edit takes what the model says.

    logits = run_with_edit(model, tokens, attention_mask, 0, lambda resid: add_direction(resid, direction, 1.0, pos))
    effect = normalized_indirect_effect(unedited, edited, target)       # 0 not at all, 1 all the way
    logits = run_with_edit(model, tokens, attention_mask, 0, lambda resid: swap_vector(resid, donor, pos))

A direction that a probe reads with is decodable. Whether the network uses it is what an edit shows, with a whole
exchanged vector for comparison.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.activations import Layer, hook_name
from utils.models import TransformerBridge


@torch.no_grad()
def run_with_edit(
    model: TransformerBridge,
    tokens: Int[Tensor, "statement pos"],
    attention_mask: Int[Tensor, "statement pos"],
    layer: Layer,
    edit: Callable[[Float[Tensor, "statement pos d_model"]], Float[Tensor, "statement pos d_model"]],
) -> Float[Tensor, "statement pos token"]:
    """Run the model once, with the stream after a block replaced by edit(stream); no hook stays behind.

    Args:
        layer: number of the block, or "embed".
        edit: from stream to stream of the same shape.

    Returns:
        Logits at all positions.

    Raises:
        ValueError: If edit returns something of another shape.
    """

    def replace(resid: Float[Tensor, "statement pos d_model"], hook: object) -> Tensor:
        edited = edit(resid)
        if not isinstance(edited, Tensor) or edited.shape != resid.shape:
            got = tuple(edited.shape) if isinstance(edited, Tensor) else type(edited).__name__
            raise ValueError(f"edit must return a tensor of shape {tuple(resid.shape)}, got {got}; end it with return")
        return edited

    return model.run_with_hooks(
        tokens, attention_mask=attention_mask, fwd_hooks=[(hook_name(layer), replace)], return_type="logits"
    )


def add_direction(
    resid: Float[Tensor, "statement pos d_model"],
    direction: Float[Tensor, " d_model"],
    alpha: float,
    pos: Int[Tensor, " statement"],
) -> Float[Tensor, "statement pos d_model"]:
    """Add alpha times a direction to the stream at one position of each statement; a new tensor.

    Marks & Tegmark 2023, arXiv:2310.06824, add the difference of class means: with alpha 1 the mean false statement
    becomes the mean true one. So the direction is taken as long as it is.

    Args:
        resid: in model units.
        pos: of each statement, counted from 0.

    Raises:
        ValueError: If direction or pos does not fit resid.
    """
    _check_place(resid, pos)
    if direction.shape != resid.shape[2:]:
        raise ValueError(
            f"direction must be [d_model] {tuple(resid.shape[2:])}, got {tuple(direction.shape)}; "
            "use the direction of one layer of this model"
        )
    edited = resid.clone()
    edited[torch.arange(len(resid)), pos] += alpha * direction
    return edited


def normalized_indirect_effect(
    unedited: Float[Tensor, " statement"], edited: Float[Tensor, " statement"], target: Float[Tensor, " other"]
) -> float:
    """How far an edit takes false statements towards true ones: 0 is not at all, 1 is all the way.

    Marks & Tegmark 2023, arXiv:2310.06824: averages first, then one division. Not clipped: below 0 the edit works the
    other way round, above 1 it goes too far.

    Args:
        unedited: P(correct) - P(wrong) after false statements, each.
        edited: the same statements, with the edit.
        target: the same difference after true statements, without any edit.

    Raises:
        ValueError: If target and unedited have the same mean, or are not of this form.
    """
    if edited.shape != unedited.shape or unedited.ndim != 1 or target.ndim != 1 or not len(unedited) or not len(target):
        raise ValueError(
            f"unedited and edited must be [statement], and target [other], got {tuple(unedited.shape)}, "
            f"{tuple(edited.shape)} and {tuple(target.shape)}; edit all of the false statements"
        )
    start, end, goal = (float(values.double().mean()) for values in (unedited, edited, target))
    if goal == start:
        raise ValueError(
            f"target must have another mean than unedited, got {goal:.3g} for both; "
            "the model does not tell true statements from false ones here"
        )
    return (end - start) / (goal - start)


def swap_vector(
    resid: Float[Tensor, "statement pos d_model"],
    donor: Float[Tensor, "statement d_model"],
    pos: Int[Tensor, " statement"],
    directions: Float[Tensor, "direction d_model"] | None = None,
) -> Float[Tensor, "statement pos d_model"]:
    """Exchange the stream at one position of each statement for a donor's, or only what lies in a subspace.

    The whole vector is the control of every edit of a subspace: if it moves nothing, nothing is read there, and a
    subspace that does move something opens a way that the model does not use by itself (Makelov, Lange & Nanda 2023,
    arXiv:2311.17030; Wu et al. 2024, arXiv:2401.12631, disagree on how often that is an illusion).

    Args:
        donor: the stream of other statements at the same place, one for each.
        pos: of each statement, counted from 0.
        directions: of any length and angle; only the component in their span is exchanged. None: the whole vector.

    Raises:
        ValueError: If donor, pos or directions do not fit resid.
    """
    _check_place(resid, pos)
    if donor.shape != (len(resid), resid.shape[2]):
        raise ValueError(
            f"donor must be [statement d_model] {(len(resid), resid.shape[2])}, got {tuple(donor.shape)}; "
            "take the donors' stream at one position"
        )
    if directions is not None and (directions.ndim != 2 or directions.shape[1:] != resid.shape[2:]):
        raise ValueError(
            f"directions must be [direction d_model] with d_model {resid.shape[2]}, got {tuple(directions.shape)}; "
            "write direction[None] for a single one"
        )
    rows = torch.arange(len(resid))
    change = donor - resid[rows, pos]  # [statement d_model]
    if directions is not None:
        change = change @ torch.linalg.pinv(directions) @ directions  # onto their span
    edited = resid.clone()
    edited[rows, pos] += change
    return edited


def _check_place(resid: Tensor, pos: Tensor) -> None:
    if resid.ndim != 3 or pos.shape != resid.shape[:1] or pos.is_floating_point():
        raise ValueError(
            f"resid must be [statement pos d_model] and pos integers [statement], got {tuple(resid.shape)} and "
            f"{pos.dtype} {tuple(pos.shape)}; one position for each statement"
        )
    if len(pos) and (int(pos.min()) < 0 or int(pos.max()) >= resid.shape[1]):
        raise ValueError(
            f"pos must lie in 0..{resid.shape[1] - 1}, got {int(pos.min())}..{int(pos.max())}; it counts from 0, and "
            "<bos> is a position, too"
        )
