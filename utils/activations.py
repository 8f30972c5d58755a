"""From texts to activations: resid_post of chosen layers, one vector per text.

    tokens, attention_mask = tokenize(model, ["deep blue", "pale lilac grey"])             # [batch pos]
    acts = cache_resid_post(model, tokens, attention_mask, ["embed", 0, 3])                # [layer batch pos d_model]
    acts = pool_mean(acts, attention_mask)                                                 # [layer batch d_model]
    acts = cache_pooled(model, texts, ["embed", 0, 3])                                     # the three, in batches
    for rows, acts in stream_pooled(model, texts, ["embed", 0, 3]): ...                    # and never held whole

Layer L is blocks.L.hook_resid_post, "embed" is what enters block 0 (blocks.0.hook_resid_pre).
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from utils.tokens import check_tokens, device_of, first_few, n_special, tokenize, word_pieces

if TYPE_CHECKING:
    from utils.models import TransformerBridge

Layer = int | Literal["embed"]
MAX_TOKENS = 4096  # of a forward pass; MiniLM and Othello-GPT take as long with 1,000 on a CPU, and longer with 8,000
CHUNK = 10_000  # texts that are tokenized, padded and sorted together


@torch.no_grad()
def cache_resid_post(
    model: "TransformerBridge",
    tokens: Int[Tensor, "batch pos"],
    attention_mask: Int[Tensor, "batch pos"] | Bool[Tensor, "batch pos"],
    layers: Sequence[Layer],
) -> Float[Tensor, "layer batch pos d_model"]:
    """Read the residual stream after chosen blocks, in one pass that stops at the last of them.

    Hooks that are on the model take part: what they change is what you read. At padding positions the values are
    finite and mean nothing.

    Args:
        tokens: Token ids on the model's device.
        attention_mask: 1 or True at real tokens; the padding may be on either side.
        layers: Block numbers and "embed", in the order wanted; repetitions are allowed, negative numbers are not.

    Returns:
        Activations in model units, in a tensor of their own without gradient, usable in autograd.

    Raises:
        ValueError: Layers, tokens or attention_mask that do not fit the model or each other.
    """
    depths = _depths(layers, model.cfg.n_layers)
    check_tokens(model, tokens, attention_mask)
    dtype = next(model.parameters()).dtype
    acts = torch.empty(len(depths), *tokens.shape, model.cfg.d_model, dtype=dtype, device=tokens.device)

    def store(resid: Float[Tensor, "batch pos d_model"], hook: object, depth: int) -> None:
        for row, wanted in enumerate(depths):
            if wanted == depth:
                acts[row] = resid
        if depth == max(depths):
            raise _LastLayerRead

    hooks = [(hook_name("embed" if depth < 0 else depth), partial(store, depth=depth)) for depth in set(depths)]
    with model.hooks(fwd_hooks=hooks), suppress(_LastLayerRead):
        model(tokens, attention_mask=attention_mask, return_type=None)
    return acts


def pool_mean(
    acts: Float[Tensor, "*layer batch pos d_model"],
    attention_mask: Int[Tensor, "batch pos"] | Bool[Tensor, "batch pos"],
) -> Float[Tensor, "*layer batch d_model"]:
    """Average over the word pieces of each text: no padding, no first real position ([CLS]), no last one ([SEP]).

    Whatever stands at the other positions, NaN included, does not reach the result. Differentiable.

    Raises:
        ValueError: If shapes disagree, a text has no word pieces, or a mean is NaN or infinite.
    """
    if acts.ndim < 3 or acts.shape[-3:-1] != attention_mask.shape:
        raise ValueError(
            f"acts must be [*layer batch pos d_model] with batch and pos of attention_mask "
            f"{tuple(attention_mask.shape)}, got {tuple(acts.shape)}; pass the mask that the acts were made with"
        )
    return _mean_over(acts, word_pieces(attention_mask))


def _mean_over(
    acts: Float[Tensor, "*layer batch pos d_model"], pieces: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "*layer batch d_model"]:
    pieces = pieces.unsqueeze(-1)  # [batch pos 1]
    pooled = acts.masked_fill(~pieces, 0).sum(dim=-2) / pieces.sum(dim=-2)  # [*layer batch d_model]
    bad = ~pooled.isfinite().all(dim=-1).reshape(-1, len(pieces)).all(dim=0)  # [batch]
    if bad.any():
        raise ValueError(
            f"acts must be finite at word pieces, got NaN or infinity in texts {first_few(bad)}; "
            "check what was done to the acts, or to the model, before pooling"
        )
    return pooled


def cache_pooled(
    model: "TransformerBridge",
    texts: Sequence[str],
    layers: Sequence[Layer],
    *,
    max_tokens: int = MAX_TOKENS,
    progress: bool = True,
) -> Float[Tensor, "layer text d_model"]:
    """Tokenize, cache and pool any number of texts; the result does not depend on their order or on max_tokens.

    The mean is over the word pieces: without what the tokenizer puts before and after every text ([CLS] and [SEP],
    <bos>, or nothing), so that it serves encoders and decoders alike.

    Args:
        max_tokens: Tokens per forward pass, padding included; a longer text runs alone.
        progress: Show a bar once it has taken two seconds.

    Raises:
        ValueError: As tokenize and cache_resid_post do; a text without word pieces; max_tokens below 1.
    """
    shape = len(_depths(layers, model.cfg.n_layers)), len(texts), model.cfg.d_model
    pooled = torch.empty(shape, device=device_of(model))
    for rows, acts in stream_pooled(model, texts, layers, max_tokens=max_tokens, progress=progress):
        pooled[:, rows] = acts
    return pooled


def stream_pooled(
    model: "TransformerBridge",
    texts: Sequence[str],
    layers: Sequence[Layer],
    *,
    max_tokens: int = MAX_TOKENS,
    progress: bool = True,
) -> Iterator[tuple[Int[Tensor, " row"], Float[Tensor, "layer row d_model"]]]:
    """Yield what cache_pooled holds, batch by batch: indices of texts, and their vectors in float32.

    Of CHUNK texts at a time the longest run first, so that little padding is computed and memory shows its peak at
    once. Arguments and errors are those of cache_pooled; a wrong text is found when the work on its chunk starts.
    """
    for first in range(0, max(1, len(texts)), CHUNK):
        try:
            tokens, attention_mask = tokenize(model, texts[first : first + CHUNK])
            pieces = word_pieces(attention_mask, *n_special(model.tokenizer))
        except ValueError as error:
            raise ValueError(f"{error} (indices count from text {first})" if first else str(error)) from error
        for rows, columns in _batches(attention_mask, max_tokens, progress):
            batch = (part[rows][:, columns] for part in (tokens, attention_mask))
            acts = cache_resid_post(model, *batch, layers)
            yield first + rows.cpu(), _mean_over(acts.float(), pieces[rows][:, columns])


def cache_positions(
    model: "TransformerBridge",
    tokens: Int[Tensor, "batch pos"],
    attention_mask: Int[Tensor, "batch pos"] | Bool[Tensor, "batch pos"],
    chosen: Bool[Tensor, "batch pos"],
    layers: Sequence[Layer],
    *,
    max_tokens: int = MAX_TOKENS,
) -> Float[Tensor, "layer position d_model"]:
    """Cache chosen positions only, in the order of tokens[chosen]; never more than a batch is held whole.

    Args:
        chosen: True at the positions wanted.
        max_tokens: Tokens per forward pass, padding included.

    Raises:
        ValueError: As cache_resid_post does; chosen is not of the shape of tokens; max_tokens below 1.
    """
    if chosen.shape != tokens.shape or chosen.dtype != torch.bool:
        raise ValueError(
            f"chosen must be a bool tensor of the shape of tokens {tuple(tokens.shape)}, got {chosen.dtype} "
            f"{tuple(chosen.shape)}; index tokens and chosen alike"
        )
    check_tokens(model, tokens, attention_mask)
    number = chosen.flatten().cumsum(dim=0).reshape(chosen.shape) - 1  # [batch pos], of each chosen position
    shape = len(_depths(layers, model.cfg.n_layers)), int(chosen.sum()), model.cfg.d_model
    found = torch.empty(shape, dtype=next(model.parameters()).dtype, device=tokens.device)
    for rows, columns in _batches(attention_mask.bool() | chosen, max_tokens, progress=False):
        batch, mask, here, at = (part[rows][:, columns] for part in (tokens, attention_mask, chosen, number))
        found[:, at[here]] = cache_resid_post(model, batch, mask, layers)[:, here]
    return found


def hook_name(layer: Layer) -> str:
    """Where a layer is read."""
    return "blocks.0.hook_resid_pre" if layer == "embed" else f"blocks.{layer}.hook_resid_post"


class _LastLayerRead(Exception):
    """Ends a forward pass; stop_at_layer would compute the logits after the last block, and any layer's on BERT."""


def _batches(
    needed: Int[Tensor, "batch pos"] | Bool[Tensor, "batch pos"], max_tokens: int, progress: bool
) -> Iterator[tuple[Int[Tensor, " row"], Bool[Tensor, " pos"]]]:
    """Rows of similar length, longest first, and the columns that one of them needs."""
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be at least 1, got {max_tokens}")
    lengths = needed.sum(dim=1)
    left = lengths.argsort(descending=True, stable=True)
    with tqdm(total=len(left), desc="caching", unit="text", delay=2, leave=False, disable=not progress) as bar:
        while len(left):
            n_rows = max(1, max_tokens // int(lengths[left[0]]))
            rows, left = left[:n_rows], left[n_rows:]
            yield rows, needed[rows].any(dim=0)
            bar.update(len(rows))


def _depths(layers: Sequence[Layer], n_layers: int) -> list[int]:
    """Layers as numbers in the order of computation: -1 for "embed", L for layer L."""
    if isinstance(layers, str | int) or not len(layers):
        raise ValueError(f"layers must be a list with at least one entry, such as ['embed', 0], got {layers!r}")
    for layer in layers:
        if layer != "embed" and (isinstance(layer, bool | str | float) or not 0 <= layer < n_layers):
            raise ValueError(
                f"layers must be 'embed' or numbers from 0 to {n_layers - 1}, got {layer!r}; "
                f"the last of {n_layers} blocks is layer {n_layers - 1}"
            )
    return [-1 if layer == "embed" else int(layer) for layer in layers]
