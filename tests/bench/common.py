"""One line of the benchmark table, and how two functions are timed against each other."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """One comparison. The ratio is held against the target; without a peer, our own figure is."""

    what: str
    ours: float  # in `unit`, as are peer, and target where there is no peer
    target: float
    peer: float | None = None
    ratio: float | None = None  # peer / ours where at_least, else ours / peer; NaN where the peer is not there
    at_least: bool = False
    unit: str = "s"

    @property
    def passed(self) -> bool:
        value = self.ours if self.ratio is None else self.ratio
        return value >= self.target if self.at_least else value <= self.target


def time_pairs(
    what: str,
    ours: Callable[[], object],
    peer: Callable[[], object],
    *,
    target: float,
    at_least: bool = False,
    peer_share: float = 1.0,
    n_pairs: int = 15,
) -> Row:
    """Run two functions in turns, after one run of each to warm up, so that a busy machine slows both alike.

    Args:
        peer_share: the share of our work that one run of the peer does; its seconds are divided by it.

    Returns:
        Row with the median seconds of each, and the median over pairs of their ratio.
    """
    pairs = []
    for _ in range(1 + n_pairs):
        start = time.perf_counter()
        ours()
        middle = time.perf_counter()
        peer()
        pairs.append((middle - start, (time.perf_counter() - middle) / peer_share))
    pairs = pairs[1:]
    ratio = median(b / a if at_least else a / b for a, b in pairs)
    return Row(what, median(a for a, _ in pairs), target, median(b for _, b in pairs), ratio, at_least)
