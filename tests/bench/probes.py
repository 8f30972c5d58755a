"""Probes against their peers. Both sides get the same float32 acts and must reach the same solution.

rows() raises an AssertionError where they do not.
"""

import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from tests.bench.common import Row, time_pairs
from utils.activations import cache_pooled
from utils.datasets import load_sentiment_words
from utils.metrics import accuracy
from utils.models import load_model
from utils.probes import LinearProbe, fit_logistic_regression_probe, fit_ridge_probe
from utils.splits import split_groups, word_stems

N, N_TEST, D_MODEL, N_TARGETS = 10_000, 2_000, 512, 192  # 192 targets: 64 squares x 3 states
L2 = 1 / N  # logistic regression: scikit-learn's default, C = 1
REAL_L2 = 0.1  # the default of ours
SIZE = f"{N:,} x {D_MODEL}"


def rows() -> list[Row]:
    """Run every comparison; a minute or two."""
    return [
        ridge_against_a_loop(),
        ridge_against_its_floor(),
        logistic_regression_on_real_acts(),
        *[logistic_regression_on_drawn_acts(decay) for decay in (1, 2, 0)],
        many_logistic_regressions_against_a_loop(),
    ]


def ridge_against_a_loop() -> Row:
    acts, numbers = draw(N_TARGETS)
    x, y = acts.numpy(), numbers.numpy()
    n_peer = 8  # the loop is timed on 8 targets: it does the same work for each

    def loop() -> list[Ridge]:
        return [Ridge(alpha=1.0).fit(x, y[:, target]) for target in range(n_peer)]

    probe, oracles = fit_ridge_probe(acts, numbers), loop()
    for target, oracle in enumerate(oracles):
        assert (probe.weight[target] - torch.from_numpy(oracle.coef_)).abs().max() < 1e-2 * abs(oracle.coef_).max()
    what = f"ridge, {SIZE}, {N_TARGETS} targets, against a scikit-learn loop"
    options = dict(target=20, at_least=True, peer_share=n_peer / N_TARGETS, n_pairs=5)
    return time_pairs(what, lambda: fit_ridge_probe(acts, numbers), loop, **options)


def ridge_against_its_floor() -> Row:
    """The least that any direct solver does: X'X, X'Y, one Cholesky factorisation; no centring, no checks."""
    acts, numbers = draw(N_TARGETS)

    def floor() -> Tensor:
        gram, moment = acts.T @ acts, acts.T @ numbers
        gram.diagonal().add_(1.0)
        return torch.cholesky_solve(moment, torch.linalg.cholesky(gram))

    what = f"ridge, {SIZE}, {N_TARGETS} targets, against X'X, X'Y, Cholesky"
    return time_pairs(what, lambda: fit_ridge_probe(acts, numbers), floor, target=1.5)


def logistic_regression_on_real_acts() -> Row:
    """Good or bad: layer 2 of MiniLM at words whose stems do not occur among the test words."""
    words = load_sentiment_words()
    acts, labels = cache_pooled(load_model("minilm"), words.words, [2], progress=False)[0], words.valence > 0
    train, test = split_groups(word_stems(words.words), test_fraction=0.3, seed=0)
    what = f"sentiment, {len(train):,} x {acts.shape[1]}"
    return logistic_regression(what, acts[train], labels[train], acts[test], labels[test], REAL_L2)


def logistic_regression_on_drawn_acts(decay: int) -> Row:
    """The variance of the k-th direction falls as k^-decay, as in activations; 0 is white noise."""
    acts, numbers = draw(1, decay)
    test_acts, test_numbers = draw(1, decay, test=True)
    what = f"variance 1/k^{decay}, {SIZE}"
    return logistic_regression(what, acts, numbers[:, 0] > 0, test_acts, test_numbers[:, 0] > 0, L2)


def logistic_regression(
    what: str, acts: Tensor, labels: Tensor, test_acts: Tensor, test_labels: Tensor, l2: float
) -> Row:
    """One probe against scikit-learn's lbfgs, which must not find a lower objective or another held-out accuracy."""

    def peer() -> tuple[StandardScaler, LogisticRegression]:
        scaler = StandardScaler().fit(acts.numpy())
        model = LogisticRegression(C=1 / (len(acts) * l2), tol=1e-4, max_iter=10_000)
        return scaler, model.fit(scaler.transform(acts.numpy()), labels.numpy())

    def log_loss(probe: LinearProbe) -> float:
        """Mean log-loss + l2/2 ‖weight‖², the weight that of standardised acts."""
        loss = torch.nn.functional.binary_cross_entropy_with_logits(probe(acts), labels.float())
        return float(loss + l2 / 2 * (probe.weight * torch.from_numpy(scaler.scale_).float()).square().sum())

    scaler, model = peer()
    weight = torch.from_numpy(model.coef_[0] / scaler.scale_)
    bias = torch.tensor(model.intercept_[0] - model.coef_[0] @ (scaler.mean_ / scaler.scale_))
    theirs = LinearProbe(weight=weight.float(), bias=bias.float())
    ours = fit_logistic_regression_probe(acts, labels, l2=l2)
    losses, scores = [[f(p) for p in (ours, theirs)] for f in (log_loss, lambda p: accuracy(p(test_acts), test_labels))]
    assert losses[0] <= losses[1] + 1e-6, f"{what}: objectives {losses}"
    assert abs(scores[0] - scores[1]) < 0.005, f"{what}: held-out accuracies {scores}"
    what, options = f"logistic regression, {what}, against scikit-learn lbfgs", dict(target=3, at_least=True, n_pairs=7)
    return time_pairs(what, lambda: fit_logistic_regression_probe(acts, labels, l2=l2), peer, **options)


def many_logistic_regressions_against_a_loop() -> Row:
    acts, numbers = draw(N_TARGETS, decay=1)
    labels = numbers > 0
    standard = StandardScaler().fit_transform(acts.numpy())
    n_peer = 4  # timed on 4 targets

    def loop() -> None:
        for target in range(n_peer):
            LogisticRegression(C=1 / (N * L2), tol=1e-4, max_iter=10_000).fit(standard, labels[:, target].numpy())

    what = f"logistic regression, {SIZE}, {N_TARGETS} targets, against a loop"
    options = dict(target=20, at_least=True, peer_share=n_peer / N_TARGETS, n_pairs=3)
    return time_pairs(what, lambda: fit_logistic_regression_probe(acts, labels, l2=L2), loop, **options)


def draw(n_targets: int, decay: int = 0, *, test: bool = False) -> tuple[Tensor, Tensor]:
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
