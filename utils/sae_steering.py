"""Which latents to turn a disc with: chosen by when they are on, or by what they do to the moves.

    groups = latents_by_activation(latents, boards, k=2)                   # square -> latents for mine, for yours
    groups = latents_by_output(model, sae, layer, candidates, cases, prefixes, k=2)

Everything is fitted on other games than an edit is judged on.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.models import TransformerBridge
from utils.othello import MINE, YOURS
from utils.othello_edits import EditCases
from utils.othello_prefixes import Prefixes, continue_from
from utils.sae_uses import output_effects, sae_edit
from utils.saes import SAE


class SquareLatents(NamedTuple):
    """Latents that speak for one of mine on a square, and for one of yours, each with the value to set it to."""

    mine: Int[Tensor, " mine"]
    yours: Int[Tensor, " yours"]
    mine_values: Float[Tensor, " mine"]
    yours_values: Float[Tensor, " yours"]


def latents_by_activation(
    latents: Float[Tensor, "position latent"], boards: Int[Tensor, "position square"], k: int
) -> dict[int, SquareLatents]:
    """For each square the k latents whose means differ most between MINE and YOURS; values are means where they are on.

    Squares on which one of the two never lies are left out.
    """
    groups = {}
    for square in range(boards.shape[1]):
        mine, yours = (latents[boards[:, square] == state] for state in (MINE, YOURS))
        if not len(mine) or not len(yours):
            continue
        difference = mine.mean(dim=0) - yours.mean(dim=0)  # [latent]
        top = difference.abs().topk(k).indices
        sides = ((mine, top[difference[top] > 0]), (yours, top[difference[top] < 0]))
        values = [z[:, side].sum(dim=0) / (z[:, side] > 0).sum(dim=0).clamp(min=1) for z, side in sides]
        groups[square] = SquareLatents(sides[0][1], sides[1][1], *values)
    return groups


@torch.no_grad()
def latents_by_output(
    model: TransformerBridge,
    sae: SAE,
    layer: int,
    candidates: Mapping[int, SquareLatents],
    cases: EditCases,
    prefixes: Prefixes,
    k: int,
    *,
    n_histories: int = 4,
) -> dict[int, SquareLatents]:
    """For each square and colour the k candidates that, switched on alone, do most for the moves that should follow.

    After Arad et al. 2025, arXiv:2505.20063. The effect is that of output_effects, summed over histories: moves that
    become legal are wanted, those that vanish are unwanted.

    Args:
        candidates: from latents_by_activation, with a larger k.
        cases, prefixes: histories with a disc to turn, and what the model computed of them.
        n_histories: of each square and colour, at most.
    """
    groups = {}
    for square, group in candidates.items():
        tried, values = torch.cat([group.mine, group.yours]), torch.cat([group.mine_values, group.yours_values])
        best = []
        for to_mine in (True, False):
            rows = ((cases.squares == square) & (cases.to_mine == to_mine)).nonzero()[:n_histories, 0]
            effect = torch.zeros(len(tried))
            for row in rows.tolist():
                new = cases.legal_after[row] & ~cases.legal[row]
                gone = cases.legal[row] & ~cases.legal_after[row]
                if new.any() and gone.any():
                    logits = _switch_on(model, sae, layer, prefixes, row, tried, values)
                    effect += output_effects(logits[0], logits[1:], new, gone)
            best.append(effect.topk(min(k, len(tried))).indices)
        groups[square] = SquareLatents(tried[best[0]], tried[best[1]], values[best[0]], values[best[1]])
    return groups


def _switch_on(
    model: TransformerBridge, sae: SAE, layer: int, prefixes: Prefixes, row: int, tried: Tensor, values: Tensor
) -> Float[Tensor, "run token"]:
    """Logits of one history as it is, and with each latent switched on alone."""
    n = len(tried) + 1
    parts = (
        {block: part[[row]].expand(n, -1, -1, -1) for block, part in p.items()}
        for p in (prefixes.keys, prefixes.values)
    )
    keys, stored = parts
    copies = replace(
        prefixes, pos=prefixes.pos[[row] * n], resid=prefixes.resid[:, [row] * n], keys=keys, values=stored
    )
    resid = prefixes.resid[layer, [row]]
    latents, none = sae.encode(resid), tried[:0]
    edited = [sae_edit(resid, latents, sae.W_dec, none, tried[[i]], values[[i]]) for i in range(len(tried))]
    return continue_from(model, copies, layer, torch.cat([resid, *edited]))
