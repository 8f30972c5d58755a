"""Editing what an Othello model believes: turn a disc in its residual stream and see which moves follow.

cases = draw_edit_cases(1000, seed=12)                              # a history, a square, the board after
prefixes = cache_prefixes(model, cases.tokens, cases.pos)           # see utils.othello_prefixes
effects = square_effect_directions(resid_train, boards_train)      # [square d_model], from YOURS to MINE
resid = edit_square(prefixes.resid[4], effects, cases.squares, cases.to_mine, scale=2.0)
logits = continue_from(model, prefixes, 4, resid)                   # [case token]
errors = intervention_errors(logits, cases.legal_after)             # [case]
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.othello import EMPTY, MINE, YOURS, legal_moves, random_games, replay_games, to_tokens
from utils.probes import fit_ridge_probe

MOVES = (5, 30)  # histories of so many moves, as in the benchmark of Li et al. 2022


@dataclass(frozen=True, eq=False)
class EditCases:
    """Histories, each with one disc to turn. One case per game, so an interval over cases is one over games."""

    tokens: Int[Tensor, "case pos"]  # the history, and after it whatever was played next, which nothing may look at
    pos: Int[Tensor, " case"]  # position of the last move of the history
    boards: Int[Tensor, "case square"]  # after the history, as whoever moves next sees it
    squares: Int[Tensor, " case"]  # the one whose disc is turned
    to_mine: Bool[Tensor, " case"]  # True: from YOURS to MINE
    boards_after: Int[Tensor, "case square"]
    black_to_move: Bool[Tensor, " case"]
    legal: Bool[Tensor, "case token"]  # on boards
    legal_after: Bool[Tensor, "case token"]  # on boards_after


# The benchmark


def draw_edit_cases(n_cases: int, size: int = 8, *, moves: tuple[int, int] = MOVES, seed: int = 0) -> EditCases:
    """Draw histories of random games, and in each a disc to turn, any of those on the board.

    After Li et al. 2022, arXiv:2210.13382. The number of moves is uniform; a case is left out if whoever moves next
    could not move, on the true board or on the edited one.
    """
    low, high = moves
    if not 1 <= low <= high < size * size - 4:
        raise ValueError(f"moves must be two numbers from 1 to {size * size - 5}, ascending, got {moves}")
    n_games = n_cases + n_cases // 20 + 20  # about 1 in 100 is left out
    games = random_games(n_games, size, seed=seed)[:, :high]
    states, generator = replay_games(games, size), torch.Generator().manual_seed(seed)
    pos = torch.randint(low - 1, high, (n_games,), generator=generator)
    rows = torch.arange(n_games)
    boards = states.boards[rows, pos].long()
    squares = torch.multinomial((boards != EMPTY).double(), 1, generator=generator)[:, 0]
    boards_after = boards.clone()
    boards_after[rows, squares] = MINE + YOURS - boards[rows, squares]
    legal, legal_after = states.legal[rows, pos], legal_moves(boards_after)
    kept = (legal.any(dim=1) & legal_after.any(dim=1)).nonzero()[:n_cases, 0]
    if len(kept) < n_cases:
        raise ValueError(f"only {len(kept)} of {n_cases} cases can be moved in; choose fewer moves than {moves}")
    return EditCases(
        tokens=games[kept],
        pos=pos[kept],
        boards=boards[kept],
        squares=squares[kept],
        to_mine=(boards_after[rows, squares] == MINE)[kept],
        boards_after=boards_after[kept],
        black_to_move=states.black_to_move[rows, pos][kept],
        legal=to_tokens(legal[kept], size),
        legal_after=to_tokens(legal_after[kept], size),
    )


def draw_move_pairs(
    n_pairs: int, size: int = 8, *, n_moves: int = 12, exchanged: int = 4, seed: int = 0
) -> tuple[Int[Tensor, "pair pos"], Int[Tensor, "pair pos"]]:
    """Draw pairs of histories that differ in one move, counted from 0, and in what is legal after the last one.

    All later moves are the same, and legal in both; the same player moves next; either has a legal move of its own.
    """
    generator, pairs, block = torch.Generator().manual_seed(seed), [], 0
    while len(pairs) < n_pairs:
        games = random_games(500, size, seed=seed + block)[:, :n_moves]
        states, block = replay_games(games, size), block + 1
        others = to_tokens(states.legal[:, exchanged - 1], size).double()  # what could have been played instead
        others[torch.arange(len(games)), games[:, exchanged]] = 0
        for game, weights in zip(games, others, strict=True):
            other = game.clone()
            other[exchanged] = torch.multinomial(weights, 1, generator=generator) if weights.any() else 0
            try:
                both = replay_games(torch.stack([game, other]), size)
            except ValueError:  # a later move is not legal any more
                continue
            first, second = both.legal[:, -1]
            if (first & ~second).any() and (second & ~first).any() and both.black_to_move[:, -1].unique().numel() == 1:
                pairs.append((game, other))
    first, second = zip(*pairs[:n_pairs], strict=True)
    return torch.stack(first), torch.stack(second)


def intervention_errors(
    logits: Float[Tensor, "case token"], legal_after: Bool[Tensor, "case token"]
) -> Int[Tensor, " case"]:
    """Count what is wrong with the N most likely tokens, N being the number that is legal after the edit.

    Li et al. 2022, arXiv:2210.13382: false positives plus false negatives. Both are equally many, so errors are even.

    Raises:
        ValueError: If the shapes differ.
    """
    if logits.shape != legal_after.shape or legal_after.dtype != torch.bool:
        raise ValueError(
            f"legal_after must be a bool tensor of the shape of logits, {tuple(logits.shape)}, got {legal_after.dtype} "
            f"of shape {tuple(legal_after.shape)}; to_tokens makes tokens of squares"
        )
    n_legal = legal_after.sum(dim=-1, keepdim=True)
    rank = logits.argsort(dim=-1, descending=True).argsort(dim=-1)  # [case token], 0 is the most likely
    return ((rank < n_legal) != legal_after).sum(dim=-1)


# Which way to push


@torch.no_grad()
def square_effect_directions(
    resid: Float[Tensor, "position d_model"], boards: Int[Tensor, "position square"], *, l2: float = 1.0
) -> Float[Tensor, "square d_model"]:
    """Fit how the stream changes when one square turns from YOURS to MINE and all others stay as they are.

    Ridge regression of the stream on the board: for each square its colour (1 mine, -1 yours, 0 empty) and whether it
    is taken, all squares jointly. The opposite of a probe, which predicts the board from the stream.

    Args:
        resid: of one layer, in model units; training games only.
        boards: EMPTY, MINE, YOURS at the same positions.
        l2: strength of the penalty. It must be positive: the numbers of taken squares and of moves go together.

    Raises:
        ValueError: If boards do not fit resid.
    """
    if resid.ndim != 2 or boards.ndim != 2 or len(resid) != len(boards):
        raise ValueError(
            f"resid must be [position d_model] and boards [position square], got {tuple(resid.shape)} and "
            f"{tuple(boards.shape)}; take one layer, and index both with the same positions"
        )
    features = torch.cat([signed_boards(boards), (boards != EMPTY).to(torch.float32)], dim=1)  # [position 2*square]
    model_of_stream = fit_ridge_probe(features.to(resid.device), resid, l2=l2)  # weight [d_model 2*square]
    return 2 * model_of_stream.weight[:, : boards.shape[1]].T  # from -1 to 1


def signed_boards(boards: Int[Tensor, "*batch square"]) -> Float[Tensor, "*batch square"]:
    """Turn states into 1 where MINE, -1 where YOURS, 0 where EMPTY."""
    return (boards == MINE).float() - (boards == YOURS).float()


def edit_square(
    resid: Float[Tensor, "case d_model"],
    effects: Float[Tensor, "square d_model"],
    squares: Int[Tensor, " case"],
    to_mine: Bool[Tensor, " case"],
    *,
    scale: float = 1.0,
) -> Float[Tensor, "case d_model"]:
    """Push each stream along the effect of one square: forwards to make it MINE, backwards to make it YOURS.

    Raises:
        ValueError: If the shapes do not fit.
    """
    if squares.shape != resid.shape[:1] or to_mine.shape != resid.shape[:1] or effects.shape[1:] != resid.shape[1:]:
        raise ValueError(
            f"squares and to_mine must be [case] and effects [square d_model] to fit resid {tuple(resid.shape)}, got "
            f"{tuple(squares.shape)}, {tuple(to_mine.shape)} and {tuple(effects.shape)}; all of the same cases"
        )
    sign = torch.where(to_mine, 1.0, -1.0)
    return resid + scale * sign[:, None] * effects[squares]


def cure_belief(
    resid: Float[Tensor, "position d_model"],
    believed: Int[Tensor, "position square"],
    boards: Int[Tensor, "position square"],
    effects: Float[Tensor, "square d_model"],
    *,
    scale: float = 1.0,
) -> Float[Tensor, "position d_model"]:
    """Turn every disc whose colour is believed wrongly: push the stream along the effects of all these squares.

    Squares that are empty, or believed to be, stay as they are: the effects are those of colours.

    Raises:
        ValueError: If the shapes do not fit.
    """
    if (
        believed.shape != boards.shape
        or len(boards) != len(resid)
        or effects.shape != (boards.shape[1], resid.shape[1])
    ):
        raise ValueError(
            f"believed and boards must be [position square] and effects [square d_model] to fit resid "
            f"{tuple(resid.shape)}, got {tuple(believed.shape)}, {tuple(boards.shape)} and {tuple(effects.shape)}"
        )
    both = (believed != EMPTY) & (boards != EMPTY)
    turns = both * (signed_boards(boards) - signed_boards(believed)) / 2  # [position square]: 1, -1 or 0
    return resid + scale * turns @ effects
