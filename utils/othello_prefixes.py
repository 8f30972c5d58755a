"""Running an Othello model from the middle: an edit at the last position costs the later blocks there, and no more.

    prefixes = cache_prefixes(model, cases.tokens, cases.pos)           # all that an edit does not change
    resid = edit_square(prefixes.resid[4], effects, cases.squares, cases.to_mine, scale=2.0)
    logits = continue_from(model, prefixes, 4, resid)                   # [case token]

The model is causal: an edit at the last position of a history leaves every earlier position as it was. So these are
run once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.activations import cache_resid_post
from utils.models import TransformerBridge

BATCH = 100  # histories per forward pass


@dataclass(frozen=True, eq=False)
class Prefixes:
    """What a model has computed of histories before their last position, and the stream there."""

    pos: Int[Tensor, " case"]
    resid: Float[Tensor, "layer case d_model"]  # at pos, layers 0, 1, ...
    keys: Mapping[int, Float[Tensor, "case pos head d_head"]]  # block -> at all positions
    values: Mapping[int, Float[Tensor, "case pos head d_head"]]


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
