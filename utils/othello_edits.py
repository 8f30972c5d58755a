"""Editing what an Othello model believes: flip a disc in its residual stream and see which moves follow.

    cases = draw_edit_cases(1000, seed=12)                              # a history, a square, the board after
    prefixes = cache_prefixes(model, cases.tokens, cases.pos)           # all that an edit does not change
    effects = square_effect_directions(resid_train, boards_train)      # [square d_model], from YOURS to MINE
    resid = edit_square(prefixes.resid[4], effects, cases.squares, cases.to_mine, scale=2.0)
    logits = continue_from(model, prefixes, 4, resid)                   # [case token]
    errors = intervention_errors(logits, cases.legal_after)             # [case]

The model is causal: an edit at the last position of a history leaves every earlier position as it was. So these are
run once, and an edit costs the later blocks at one position.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cosine_similarity

from utils.activations import cache_resid_post
from utils.models import TransformerBridge
from utils.othello import EMPTY, MINE, YOURS, legal_moves, random_games, replay_games, to_tokens
from utils.probes import LinearProbe, fit_ridge_probe

MOVES = (5, 30)  # histories of so many moves, as in the benchmark of Li et al. 2022
BATCH = 100  # histories per forward pass


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


@dataclass(frozen=True, eq=False)
class Prefixes:
    """What a model has computed of histories before their last position, and the stream there."""

    pos: Int[Tensor, " case"]
    resid: Float[Tensor, "layer case d_model"]  # at pos, layers 0, 1, ...
    keys: Mapping[int, Float[Tensor, "case pos head d_head"]]  # block -> at all positions
    values: Mapping[int, Float[Tensor, "case pos head d_head"]]


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


# Running from the middle


@torch.no_grad()
def cache_prefixes(
    model: TransformerBridge, tokens: Int[Tensor, "case pos"], pos: Int[Tensor, " case"], *, first_layer: int = 0
) -> Prefixes:
    """Run histories once, and keep what continue_from needs to run their last position again.

    Args:
        tokens: histories; what stands after pos is not looked at.
        pos: position of the last move of each history.
        first_layer: the first layer that will be edited. Keys and values of the blocks before are not kept: a block
            takes 46 MB for 1,000 histories of 30 moves.

    Raises:
        ValueError: If pos does not fit tokens.
    """
    if pos.shape != tokens.shape[:1] or not len(pos) or int(pos.min()) < 0 or int(pos.max()) >= tokens.shape[1]:
        raise ValueError(
            f"pos must hold a position from 0 to {tokens.shape[1] - 1} for each of {len(tokens)} histories, "
            f"got shape {tuple(pos.shape)}; positions count from 0, moves from 1"
        )
    layers, later = list(range(model.cfg.n_layers)), range(first_layer + 1, model.cfg.n_layers)
    resid = torch.zeros(len(layers), len(tokens), model.cfg.d_model, device=tokens.device)
    d_head = model.cfg.d_model // model.cfg.n_heads
    shape = (*tokens.shape, model.cfg.n_heads, d_head)
    keys, values = ({block: torch.zeros(shape, device=tokens.device) for block in later} for _ in range(2))
    for rows in pos.argsort(descending=True).split(BATCH):  # histories of about the same length together
        at, n_pos = pos[rows], int(pos[rows[0]]) + 1
        part = tokens[rows, :n_pos]
        streams = cache_resid_post(model, part, torch.ones_like(part), layers)  # [layer case pos d_model]
        resid[:, rows] = streams[:, torch.arange(len(rows)), at]
        for block in later:
            attn, normed = model.blocks[block].attn, model.blocks[block].ln1(streams[block - 1])
            keys[block][rows, :n_pos] = _heads(normed, attn.W_K, attn.b_K)
            values[block][rows, :n_pos] = _heads(normed, attn.W_V, attn.b_V)
    return Prefixes(pos, resid, keys, values)


@torch.no_grad()
def continue_from(
    model: TransformerBridge,
    prefixes: Prefixes,
    layer: int,
    resid: Float[Tensor, "case d_model"],
    *,
    added: Mapping[int, Float[Tensor, "case d_model"]] | None = None,
    return_streams: bool = False,
) -> Float[Tensor, "case token"] | Float[Tensor, "layer case d_model"]:
    """Put a stream at the last position of each history after a block, and run the blocks above it there.

    The same logits as a hook at that layer and position gives, at a fraction of the cost.

    Args:
        prefixes: from cache_prefixes, with first_layer at most `layer`.
        layer: where resid goes.
        resid: the edited stream, one for each history.
        added: later layer -> what is added to the stream there, for edits at several layers.
        return_streams: return the streams of this layer and all above it instead of logits.

    Raises:
        ValueError: If resid does not fit prefixes, or the blocks above the layer were not kept.
    """
    expected = prefixes.resid.shape[1:]
    if resid.shape != expected:
        raise ValueError(
            f"resid must be [case d_model] {tuple(expected)}, got {tuple(resid.shape)}; use prefixes.resid"
        )
    above = range(layer + 1, model.cfg.n_layers)
    if not 0 <= layer < model.cfg.n_layers or any(block not in prefixes.keys for block in above):
        kept = min(prefixes.keys, default=model.cfg.n_layers)
        raise ValueError(
            f"layer must be {kept - 1} to {model.cfg.n_layers - 1}, got {layer}; cache_prefixes has another first_layer"
        )
    streams = [resid]
    n_pos = next(iter(prefixes.keys.values())).shape[1] if prefixes.keys else 1
    before = torch.arange(n_pos) < prefixes.pos[:, None]  # [case pos], without the last position itself
    for block in above:
        part = model.blocks[block]
        attn, normed = part.attn, part.ln1(resid)
        query, key, value = (
            _heads(normed, weight, bias)  # [case head d_head]
            for weight, bias in ((attn.W_Q, attn.b_Q), (attn.W_K, attn.b_K), (attn.W_V, attn.b_V))
        )
        earlier = torch.einsum("chd,cphd->chp", query, prefixes.keys[block]).masked_fill(~before[:, None], -math.inf)
        own = (query * key).sum(dim=-1, keepdim=True)  # [case head 1]
        pattern = (torch.cat([earlier, own], dim=-1) / math.sqrt(key.shape[-1])).softmax(dim=-1)
        mixed = torch.einsum("chp,cphd->chd", pattern[..., :-1], prefixes.values[block]) + pattern[..., -1:] * value
        resid = resid + torch.einsum("chd,hdm->cm", mixed, attn.W_O) + attn.b_O
        resid = resid + part.mlp(part.ln2(resid)[:, None])[:, 0]
        if added and block in added:
            resid = resid + added[block]
        streams.append(resid)
    if return_streams:
        return torch.stack(streams)
    return model.unembed(model.ln_final(resid))


def _heads(
    normed: Float[Tensor, "*batch d_model"], weight: Float[Tensor, "head d_model d_head"], bias: Tensor
) -> Float[Tensor, "*batch head d_head"]:
    return torch.einsum("...m,hmd->...hd", normed, weight) + bias


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


# Parts of the model


@torch.no_grad()
def neuron_board_weights(
    model: TransformerBridge, layer: int, directions: Float[Tensor, "square d_model"]
) -> Float[Tensor, "neuron square"]:
    """Return the cosine of what each neuron of a layer writes with each square's direction."""
    return cosine_similarity(model.blocks[layer].mlp.W_out[:, None], directions[None], dim=-1)


@torch.no_grad()
def logit_lens(
    model: TransformerBridge, resid: Float[Tensor, "*layer position d_model"]
) -> Float[Tensor, "*layer position token"]:
    """Read the stream of any layer as if it were the last: final LayerNorm, then the unembedding.

    nostalgebraist 2020, "interpreting GPT: the logit lens".
    """
    return model.unembed(model.ln_final(resid))


def fit_tuned_lens(
    resid: Float[Tensor, "position d_model"], final: Float[Tensor, "position d_model"], *, l2: float = 1.0
) -> LinearProbe:
    """Fit an affine map from the stream of a layer to that of the last one: identity plus a penalised update.

    After Belrose et al. 2023, arXiv:2303.08112, who minimise the divergence of the logits by gradient descent. Least
    squares on the stream has a closed form.

    Returns:
        Probe with weight [d_model d_model]; probe(resid) is what the last layer is expected to hold.
    """
    update = fit_ridge_probe(resid, final - resid, l2=l2)
    return LinearProbe(weight=update.weight + torch.eye(resid.shape[1], device=resid.device), bias=update.bias)


@torch.no_grad()
def patch_resid(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch token_pos"],
    source: Int[Tensor, "batch token_pos"],
    layer: int,
    pos: int,
) -> Float[Tensor, "batch token"]:
    """Run tokens with the stream after one block, at one position, taken from a run on source; logits at the end.

    Activation patching: Vig et al. 2020, arXiv:2004.12265; Meng et al. 2022, arXiv:2202.05262; how to measure it:
    Zhang & Nanda 2023, arXiv:2309.16042.

    Raises:
        ValueError: If tokens and source differ in shape.
    """
    if tokens.shape != source.shape:
        raise ValueError(f"source must be of the shape of tokens {tuple(tokens.shape)}, got {tuple(source.shape)}")
    given = cache_resid_post(model, source, torch.ones_like(source), [layer])[0, :, pos]  # [batch d_model]

    def put(resid: Float[Tensor, "batch token_pos d_model"], hook: object) -> Tensor:
        resid = resid.clone()
        resid[:, pos] = given
        return resid

    hooks = [(f"blocks.{layer}.hook_resid_post", put)]
    logits = model.run_with_hooks(tokens, attention_mask=torch.ones_like(tokens), fwd_hooks=hooks, return_type="logits")
    return logits[:, -1]
