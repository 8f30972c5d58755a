"""Caching chosen layers of MiniLM against the least work there is, and against the cache that keeps everything.

Time: cache_resid_post against one pass of the same model that keeps nothing and stops after the same layer. Memory: the
bytes of the result against those of run_with_cache without a filter, each storage counted once.
"""

from contextlib import suppress

import torch
from torch import Tensor

from tests.bench.common import Row, time_pairs
from utils.activations import cache_resid_post
from utils.models import TransformerBridge, load_model

BATCH, POS = 64, 16  # short sentences
MAX_TIME_RATIO, MAX_MEMORY_RATIO = 1.2, 0.2
CHOSEN = {"layer 2": [2], "layer 5": [5], "embed, 1, 3, 5": ["embed", 1, 3, 5], "all seven": ["embed", *range(6)]}


class _Stop(Exception):
    pass


def rows() -> list[Row]:
    """Time and memory for every choice of layers; about a minute."""
    model = load_model("minilm")
    tokens = torch.randint(1000, 20000, (BATCH, POS), generator=torch.Generator().manual_seed(0))
    attention_mask = torch.ones_like(tokens)
    _, full = model.run_with_cache(tokens, attention_mask=attention_mask)
    full_mb = _megabytes(list(full.values()))

    times, sizes = [], []
    for name, layers in CHOSEN.items():
        deepest = max(layer for layer in layers if layer != "embed")
        times.append(
            time_pairs(
                f"cache {name}, against a bare pass",
                lambda layers=layers: cache_resid_post(model, tokens, attention_mask, layers),
                lambda deepest=deepest: _bare_pass(model, tokens, attention_mask, deepest),
                target=MAX_TIME_RATIO,
            )
        )
        mb = _megabytes([cache_resid_post(model, tokens, attention_mask, layers)])
        what = f"memory of {name}, against the full cache"
        sizes.append(Row(what, mb, MAX_MEMORY_RATIO, full_mb, mb / full_mb, unit="MB"))
    return times + sizes


@torch.no_grad()
def _bare_pass(model: TransformerBridge, tokens: Tensor, attention_mask: Tensor, layer: int) -> None:
    def stop(resid: Tensor, hook: object) -> None:
        raise _Stop

    with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_post", stop)]), suppress(_Stop):
        model(tokens, attention_mask=attention_mask, return_type=None)


def _megabytes(tensors: list[Tensor]) -> float:
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values()) / 1e6
