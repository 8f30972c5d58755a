"""From texts to tokens: word pieces, which of them are text, and whether they fit the model.

tokens, attention_mask = tokenize(model, ["deep blue", "pale lilac grey"])             # [batch pos]
pieces = word_pieces(attention_mask, *n_special(model.tokenizer))                      # [batch pos]
answer = next_token(model.tokenizer, "The weather is", " great")
"""

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Int
from tokenizers.models import WordLevel
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from utils.models import TransformerBridge


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
    device = device_of(model)
    return batch.input_ids.to(device), batch.attention_mask.to(device)


def n_special(tokenizer: "PreTrainedTokenizerBase") -> tuple[int, int]:
    """How many special tokens the tokenizer puts before, and after, every text."""
    mask = tokenizer("a", return_special_tokens_mask=True).special_tokens_mask
    return mask.index(0), mask[::-1].index(0)


def next_token(tokenizer: "PreTrainedTokenizerBase", text: str, continuation: str) -> int:
    """The token with which a continuation begins, right behind a text.

    Both are split together: some tokenizers (Llama 2's) put a space before whatever they get, so that every word split
    alone begins with the same token.

    Args:
        continuation: as it would stand behind the text, with its space: " great".

    Raises:
        ValueError: The continuation is empty, or its beginning and the text's end make one token.
    """
    before, after = n_special(tokenizer)
    alone, joined = tokenizer(text).input_ids, tokenizer(text + continuation).input_ids
    end = len(alone) - after
    if len(joined) <= len(alone) or joined[before:end] != alone[before:end]:
        raise ValueError(
            f"continuation must begin with a token of its own behind {text[-40:]!r}, got {continuation!r}; "
            "move a space from the end of the text to the start of the continuation"
        )
    return joined[end]


def word_pieces(
    attention_mask: Int[Tensor, "batch pos"] | Bool[Tensor, "batch pos"], n_before: int = 1, n_after: int = 1
) -> Bool[Tensor, "batch pos"]:
    """Real positions but the first and the last few."""
    real = attention_mask.bool()
    rank = real.cumsum(dim=1)  # 1 at the first real position
    pieces = real & (rank > n_before) & (rank <= rank[:, -1:] - n_after)
    without = ~pieces.any(dim=1)
    if without.any():
        raise ValueError(
            "every text must have word pieces between its first and last token, got none in texts "
            f"{first_few(without)}; drop empty texts"
        )
    return pieces


def check_tokens(model: "TransformerBridge", tokens: Tensor, attention_mask: Tensor) -> None:
    """Raise a ValueError that says what is wrong, if the pair does not fit the model or each other."""
    if tokens.is_floating_point() or tokens.dtype == torch.bool:
        raise ValueError(f"tokens must be integer token ids, got {tokens.dtype}; use the first result of tokenize")
    if tokens.ndim != 2 or not tokens.numel():
        raise ValueError(f"tokens must be [batch pos] with at least one token, got shape {tuple(tokens.shape)}")
    if attention_mask.shape != tokens.shape:
        raise ValueError(
            f"attention_mask must have the shape of tokens {tuple(tokens.shape)}, got {tuple(attention_mask.shape)}; "
            "use the pair that tokenize returns"
        )
    if (device := device_of(model)) != tokens.device or device != attention_mask.device:
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
        raise ValueError(f"attention_mask must be 1 somewhere in every row, got none in rows {first_few(without)}")


def device_of(model: "TransformerBridge") -> torch.device:
    """Where the weights are, and the tokens have to be."""
    return next(model.parameters()).device


def first_few(flags: Bool[Tensor, " batch"]) -> str:
    """The indices that are True, at most five."""
    found = flags.nonzero().flatten().tolist()
    return f"{found[:5]}" if len(found) <= 5 else f"{found[:5]} and {len(found) - 5} more"


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
