"""Probes against their peers, side by side in one process: `python -m tests.bench.bench_probes [threads]`.

Every figure is the best of several alternating runs, so that a busy machine disturbs both sides alike. Both sides get
the same float32 acts and must reach the same solution; rows() raises an AssertionError where they do not.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import Tensor

from utils.probes import LinearProbe, fit_logistic_regression_probe, fit_ridge_probe

N, N_TEST, D_MODEL, N_TARGETS = 10_000, 2_000, 512, 192  # 192 targets: 64 squares x 3 states
L2 = 1 / N  # logistic regression: scikit-learn's default, C = 1


@dataclass(frozen=True)
class BenchRow:
    """One comparison: ratio is ours / peer where `floor` is True (smaller is better), otherwise peer / ours."""

    name: str
    ours: float  # seconds
    peer: float  # seconds
    target: float  # what the ratio must reach, or stay under
    floor: bool = False

    @property
    def ratio(self) -> float:
        return self.ours / self.peer if self.floor else self.peer / self.ours

    @property
    def passed(self) -> bool:
        return self.ratio <= self.target if self.floor else self.ratio >= self.target


def rows() -> list[BenchRow]:
    """Run every comparison; about a minute."""
    return [
        ridge_against_a_loop(),
        ridge_against_its_floor(),
        logistic_regression_against_lbfgs(decay=1.0),
        logistic_regression_against_lbfgs(decay=2.0),
        logistic_regression_against_lbfgs(decay=0.0),
        many_logistic_regressions_against_a_loop(),
    ]


def ridge_against_a_loop() -> BenchRow:
    acts, numbers = draw(N_TARGETS)
    x, y = acts.numpy(), numbers.numpy()
    n_peer = 8  # the loop is timed on 8 targets and multiplied: it does the same work for each

    def loop() -> list[Ridge]:
        return [Ridge(alpha=1.0).fit(x, y[:, target]) for target in range(n_peer)]

    probe, oracles = fit_ridge_probe(acts, numbers), loop()
    for target, oracle in enumerate(oracles):
        assert (probe.weight[target] - torch.from_numpy(oracle.coef_)).abs().max() < 1e-2 * abs(oracle.coef_).max()
    ours, peer = best_of(lambda: fit_ridge_probe(acts, numbers), loop, n=5)
    return BenchRow(f"ridge, {N_TARGETS} targets, against a scikit-learn loop", ours, peer * N_TARGETS / n_peer, 20)


def ridge_against_its_floor() -> BenchRow:
    """The least that any direct solver does: X'X, X'Y, one Cholesky factorisation; no centring, no checks."""
    acts, numbers = draw(N_TARGETS)

    def floor() -> Tensor:
        gram, moment = acts.T @ acts, acts.T @ numbers
        gram.diagonal().add_(1.0)
        return torch.cholesky_solve(moment, torch.linalg.cholesky(gram))

    ours, peer = best_of(lambda: fit_ridge_probe(acts, numbers), floor, n=15)
    return BenchRow(f"ridge, {N_TARGETS} targets, against X'X, X'Y, Cholesky", ours, peer, 1.5, floor=True)


def logistic_regression_against_lbfgs(decay: float) -> BenchRow:
    """One probe. The variance of the k-th direction falls as k^-decay, as in activations; 0 is white noise."""
    acts, numbers = draw(1, decay)
    labels = numbers[:, 0] > 0
    test_acts, test_numbers = draw(1, decay, test=True)

    def peer() -> tuple[StandardScaler, LogisticRegression]:
        scaler = StandardScaler().fit(acts.numpy())
        model = LogisticRegression(C=1 / (N * L2), tol=1e-4, max_iter=10_000)
        return scaler, model.fit(scaler.transform(acts.numpy()), labels.numpy())

    scaler, model = peer()
    probe = fit_logistic_regression_probe(acts, labels, l2=L2)
    weight = torch.from_numpy(model.coef_[0] / scaler.scale_)
    bias = torch.tensor(model.intercept_[0] - model.coef_[0] @ (scaler.mean_ / scaler.scale_))
    theirs = LinearProbe(weight=weight.float(), bias=bias.float())
    scale = torch.from_numpy(scaler.scale_).float()
    assert log_loss(probe, acts, labels, scale) <= log_loss(theirs, acts, labels, scale) + 1e-6
    accuracies = [float(((p(test_acts) > 0) == (test_numbers[:, 0] > 0)).float().mean()) for p in (probe, theirs)]
    assert abs(accuracies[0] - accuracies[1]) < 0.005, f"held-out accuracy {accuracies}"
    ours, seconds = best_of(lambda: fit_logistic_regression_probe(acts, labels, l2=L2), peer, n=7)
    return BenchRow(f"logistic regression, variance 1/k^{decay:.0f}, against scikit-learn lbfgs", ours, seconds, 3)


def many_logistic_regressions_against_a_loop() -> BenchRow:
    acts, numbers = draw(N_TARGETS, decay=1.0)
    labels = numbers > 0
    standard = StandardScaler().fit_transform(acts.numpy())
    n_peer = 4  # timed on 4 targets and multiplied

    def loop() -> None:
        for target in range(n_peer):
            LogisticRegression(C=1 / (N * L2), tol=1e-4, max_iter=10_000).fit(standard, labels[:, target].numpy())

    ours, peer = best_of(lambda: fit_logistic_regression_probe(acts, labels, l2=L2), loop, n=3)
    return BenchRow(f"logistic regression, {N_TARGETS} targets, against a loop", ours, peer * N_TARGETS / n_peer, 20)


def draw(n_targets: int, decay: float = 0.0, *, test: bool = False) -> tuple[Tensor, Tensor]:
    """Acts [batch d_model] of variance k^-decay along random directions, and noisy numbers [batch target] from them."""
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(D_MODEL, D_MODEL, generator=generator))[0]
    weight = 3 * torch.randn(n_targets, D_MODEL, generator=generator) / D_MODEL**0.5
    scale = torch.arange(1, D_MODEL + 1) ** (-decay / 2)
    scale = scale / scale.square().mean().sqrt()
    generator.manual_seed(2 if test else 1)
    n = N_TEST if test else N
    acts = torch.randn(n, D_MODEL, generator=generator) * scale @ rotation
    return acts, acts @ weight.T + torch.randn(n, n_targets, generator=generator)


def log_loss(probe: LinearProbe, acts: Tensor, labels: Tensor, scale: Tensor) -> float:
    """Mean log-loss + L2/2 ‖weight‖², the weight that of standardised acts."""
    loss = torch.nn.functional.binary_cross_entropy_with_logits(probe(acts), labels.float())
    return float(loss + L2 / 2 * (probe.weight * scale).square().sum())


def best_of(ours: Callable[[], object], peer: Callable[[], object], n: int) -> tuple[float, float]:
    """Shortest time of n alternating runs each, in seconds, after one run to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(n + 1):
        for function, seconds in zip((ours, peer), times, strict=True):
            start = time.perf_counter()
            function()
            if run:
                seconds.append(time.perf_counter() - start)
    return min(times[0]), min(times[1])


if __name__ == "__main__":
    n_threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    torch.set_num_threads(n_threads)
    table = Table("what", "ours", "peer", "ratio", "target", title=f"{N:,} x {D_MODEL} float32, {n_threads} threads")
    with threadpool_limits(n_threads):
        for row in rows():
            sign, colour = ("≤" if row.floor else "≥"), ("green" if row.passed else "red")
            seconds = f"{row.ours:.3f} s", f"{row.peer:.3f} s"
            table.add_row(row.name, *seconds, f"[{colour}]{row.ratio:.2f}", f"{sign} {row.target:g}")
    Console().print(table)
