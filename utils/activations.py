"""From texts to activations: word pieces, resid_post of chosen layers, one vector per text.

    tokens, attention_mask = tokenize(model, ["deep blue", "pale lilac grey"])             # [batch pos]
    acts = cache_resid_post(model, tokens, attention_mask, ["embed", 0, 3])                # [layer batch pos d_model]
    acts = pool_mean(acts, attention_mask)                                                 # [layer batch d_model]
    acts = cache_pooled(model, texts, ["embed", 0, 3])                                     # the three, in batches
    for rows, acts in stream_pooled(model, texts, ["embed", 0, 3]): ...                    # and never held whole

Layer L is blocks.L.hook_resid_post, "embed" is what enters block 0 (blocks.0.hook_resid_pre).
"""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Bool, Float, Int
from tokenizers.models import WordLevel
from torch import Tensor
from tqdm.auto import tqdm

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from utils.models import TransformerBridge

Layer = int | Literal["embed"]
MAX_TOKENS = 4096  # of a forward pass; MiniLM and Othello-GPT take as long with 1,000 on a CPU, and longer with 8,000
CHUNK = 10_000  # texts that are tokenized, padded and sorted together


def tokenize(
    model: "TransformerBridge", texts: Sequence[str]
) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]]:
    """Split texts into word pieces with the model's own tokenizer, special tokens included, padded on the right.

    Returns:
        tokens and attention_mask (1 = real, 0 = padding) on the model's device.

    Raises:
        ValueError: No texts, something that is not a str, a text longer than n_ctx, a model without tokenizer, or a
            word that the model's vocabulary lacks.
    """
    if isinstance(texts, str):
        raise ValueError(f"texts must be a list of str, got the str {texts[:40]!r}; write [text] for a single one")
    texts = list(texts)
    if not texts:
        raise ValueError("texts must hold at least one text, got an empty list; check the filter or split that made it")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"texts must be str, got {type(text).__name__} at index {index}: {text!r}; convert it")
    if model.tokenizer is None:
        raise ValueError("model must have a tokenizer, got one without; pass tokens to cache_resid_post yourself")
    _check_words(model.tokenizer, texts)
    batch = model.tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    lengths, n_ctx = batch.attention_mask.sum(dim=1), model.cfg.n_ctx
    if lengths.max() > n_ctx:
        index = int(lengths.argmax())
        raise ValueError(f"texts must have at most {n_ctx} tokens, got {lengths[index]} at index {index}; shorten it")
    device = _device(model)
    return batch.input_ids.to(device), batch.attention_mask.to(device)


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
    _check_tokens(model, tokens, attention_mask)
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
    return _mean_over(acts, _word_pieces(attention_mask))


def _mean_over(
    acts: Float[Tensor, "*layer batch pos d_model"], pieces: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "*layer batch d_model"]:
    pieces = pieces.unsqueeze(-1)  # [batch pos 1]
    pooled = acts.masked_fill(~pieces, 0).sum(dim=-2) / pieces.sum(dim=-2)  # [*layer batch d_model]
    bad = ~pooled.isfinite().all(dim=-1).reshape(-1, len(pieces)).all(dim=0)  # [batch]
    if bad.any():
        raise ValueError(
            f"acts must be finite at word pieces, got NaN or infinity in texts {_some(bad)}; "
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
    pooled = torch.empty(shape, device=_device(model))
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
            pieces = _word_pieces(attention_mask, *_n_special(model.tokenizer))
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
    _check_tokens(model, tokens, attention_mask)
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


def _n_special(tokenizer: "PreTrainedTokenizerBase") -> tuple[int, int]:
    """How many special tokens the tokenizer puts before, and after, every text."""
    mask = tokenizer("a", return_special_tokens_mask=True).special_tokens_mask
    return mask.index(0), mask[::-1].index(0)


def _word_pieces(
    attention_mask: Int[Tensor, "batch pos"] | Bool[Tensor, "batch pos"], n_before: int = 1, n_after: int = 1
) -> Bool[Tensor, "batch pos"]:
    """Real positions but the first and the last few."""
    real = attention_mask.bool()
    rank = real.cumsum(dim=1)  # 1 at the first real position
    pieces = real & (rank > n_before) & (rank <= rank[:, -1:] - n_after)
    without = ~pieces.any(dim=1)
    if without.any():
        raise ValueError(
            f"every text must have word pieces between its first and last token, got none in texts {_some(without)}; "
            "drop empty texts"
        )
    return pieces


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


def _check_tokens(model: "TransformerBridge", tokens: Tensor, attention_mask: Tensor) -> None:
    if tokens.is_floating_point() or tokens.dtype == torch.bool:
        raise ValueError(f"tokens must be integer token ids, got {tokens.dtype}; use the first result of tokenize")
    if tokens.ndim != 2 or not tokens.numel():
        raise ValueError(f"tokens must be [batch pos] with at least one token, got shape {tuple(tokens.shape)}")
    if attention_mask.shape != tokens.shape:
        raise ValueError(
            f"attention_mask must have the shape of tokens {tuple(tokens.shape)}, got {tuple(attention_mask.shape)}; "
            "use the pair that tokenize returns"
        )
    if (device := _device(model)) != tokens.device or device != attention_mask.device:
        raise ValueError(
            f"tokens and attention_mask must be on the model's device {device}, got {tokens.device} and "
            f"{attention_mask.device}; move them with .to({str(device)!r})"
        )
    if tokens.shape[1] > model.cfg.n_ctx:
        raise ValueError(f"tokens must have at most {model.cfg.n_ctx} positions, got {tokens.shape[1]}; shorten them")
    low, high = (int(bound) for bound in tokens.aminmax())
    if low < 0 or high >= model.cfg.d_vocab:
        raise ValueError(
            f"tokens must lie in 0..{model.cfg.d_vocab - 1}, got {low}..{high}; use the tokenizer of this model"
        )
    if (without := ~attention_mask.bool().any(dim=1)).any():
        raise ValueError(f"attention_mask must be 1 somewhere in every row, got none in rows {_some(without)}")


def _check_words(tokenizer: "PreTrainedTokenizerBase", texts: list[str]) -> None:
    """Name words that a tokenizer of whole words does not know, with the nearest that it knows."""
    if not isinstance(getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None), WordLevel):
        return
    vocabulary = tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False)
    unknown: dict[str, int] = {}  # word -> index of the first text that has it
    for index, text in enumerate(texts):
        for word in text.split():
            if word not in vocabulary:
                unknown.setdefault(word, index)
    if not unknown:
        return

    def say(word: str) -> str:
        near = difflib.get_close_matches(word, vocabulary, n=2, cutoff=0.5)
        return f"{word!r} (index {unknown[word]}; {'nearest: ' + ', '.join(near) if near else 'nothing is near'})"

    more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
    raise ValueError(
        f"texts must be of the {len(vocabulary)} words that this model knows, got "
        f"{', '.join(map(say, [*unknown][:3]))}{more}; a name is one word joined by _, and the full stop is a word"
    )


def _device(model: "TransformerBridge") -> torch.device:
    return next(model.parameters()).device


def _some(flags: Bool[Tensor, " batch"]) -> str:
    """The indices that are True, at most five."""
    found = flags.nonzero().flatten().tolist()
    return f"{found[:5]}" if len(found) <= 5 else f"{found[:5]} and {len(found) - 5} more"
