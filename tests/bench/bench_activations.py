"""Caching chosen layers of MiniLM against the least work there is, and against the cache that keeps everything.

    python tests/bench/bench_activations.py     # about a minute on two CPU cores

Time: cache_resid_post against one pass of the same model that keeps nothing and stops after the same layer. Both runs
alternate, and the ratio is the median over pairs, so that a busy machine slows both alike. Memory: the bytes of the
result against those of run_with_cache without a filter, each storage counted once.
"""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from utils.activations import cache_resid_post
from utils.models import TransformerBridge, load_model

N_THREADS = 2
BATCH, POS = 64, 16  # short sentences
N_PAIRS = 15
MAX_TIME_RATIO, MAX_MEMORY_RATIO = 1.2, 0.2
CHOSEN = {"layer 2": [2], "layer 5": [5], "embed, 1, 3, 5": ["embed", 1, 3, 5], "all seven": ["embed", *range(6)]}

Row = tuple[str, float, float, float, float]  # name, ours, peer, ratio, target


class _Stop(Exception):
    pass


def rows() -> list[Row]:
    """Time rows in seconds, memory rows in MB: (name, ours, peer, ratio, target)."""
    torch.set_num_threads(N_THREADS)
    model = load_model("minilm")
    tokens = torch.randint(1000, 20000, (BATCH, POS), generator=torch.Generator().manual_seed(0))
    attention_mask = torch.ones_like(tokens)

    found: list[Row] = []
    for name, layers in CHOSEN.items():
        deepest = max(layer for layer in layers if layer != "embed")
        ours, peer, ratio = _time_pair(
            lambda layers=layers: cache_resid_post(model, tokens, attention_mask, layers),
            lambda deepest=deepest: _bare_pass(model, tokens, attention_mask, deepest),
        )
        found.append((f"time, {name} (s)", ours, peer, ratio, MAX_TIME_RATIO))

    _, full = model.run_with_cache(tokens, attention_mask=attention_mask)
    full_mb = _megabytes(list(full.values()))
    for name, layers in CHOSEN.items():
        acts_mb = _megabytes([cache_resid_post(model, tokens, attention_mask, layers)])
        found.append((f"memory, {name} (MB)", acts_mb, full_mb, acts_mb / full_mb, MAX_MEMORY_RATIO))
    return found


@torch.no_grad()
def _bare_pass(model: TransformerBridge, tokens: torch.Tensor, attention_mask: torch.Tensor, layer: int) -> None:
    def stop(resid: torch.Tensor, hook: object) -> None:
        raise _Stop

    with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_post", stop)]), suppress(_Stop):
        model(tokens, attention_mask=attention_mask, return_type=None)


def _time_pair(ours: Callable[[], object], peer: Callable[[], object]) -> tuple[float, float, float]:
    """Median seconds of each, and the median of their ratio over alternating pairs, after two warm-up rounds."""
    pairs = []
    for _ in range(2 + N_PAIRS):
        seconds = []
        for run in (ours, peer):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        pairs.append(seconds)
    pairs = pairs[2:]
    return median(a for a, _ in pairs), median(b for _, b in pairs), median(a / b for a, b in pairs)


def _megabytes(tensors: list[torch.Tensor]) -> float:
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values()) / 1e6


if __name__ == "__main__":
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"MiniLM, {BATCH} texts of {POS} tokens, {N_THREADS} threads, median of {N_PAIRS} pairs")
    for column in ("what", "ours", "peer", "ratio", "target"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name, ours, peer, ratio, target in rows():
        colour = "green" if ratio <= target else "red"
        table.add_row(name, f"{ours:.3f}", f"{peer:.3f}", f"[{colour}]{ratio:.3f}[/]", f"≤ {target}")
    Console().print(table)
