"""What a learner has built comes back as a function of utils: the solutions and utils give the same numbers."""

import pytest
import torch

from utils import activations, metrics, probes
from utils.course import build
from utils.course.namespace import Cell, build_namespace
from utils.models import random_model
from utils.probes import LinearProbe


def solutions(chapter: str) -> dict:
    cells = build.load_chapter(chapter).cells
    return build_namespace([Cell(c.source, f"line {c.line}") for c in cells if c.kind == "code"]).names


@pytest.fixture(scope="module")
def chapter_01() -> dict:
    return solutions("01_linear_probes")


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Acts [batch d_model], labels [batch], targets [batch target]."""
    generator = torch.Generator().manual_seed(0)
    acts = torch.randn(90, 20, generator=generator) * 2 + 5
    return acts, torch.arange(90) % 3 == 0, torch.randn(90, 3, generator=generator)


def same(ours: LinearProbe, theirs: LinearProbe) -> bool:
    return torch.allclose(ours.weight, theirs.weight, atol=1e-4) and torch.allclose(ours.bias, theirs.bias, atol=1e-3)


def test_cache_resid_post(chapter_01: dict):
    model = random_model("bert", n_layers=3)
    tokens = torch.randint(1, 50, (2, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    layers = [2, "embed", 0]
    answer = chapter_01["cache_resid_post"](model, tokens, mask, layers)
    assert torch.allclose(answer, activations.cache_resid_post(model, tokens, mask, layers), atol=1e-6)


def test_pool_mean(chapter_01: dict):
    acts = torch.randn(2, 3, 7, 5, generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(7) < torch.tensor([[3], [7], [5]])).long()
    assert torch.allclose(chapter_01["pool_mean"](acts, mask), activations.pool_mean(acts, mask), atol=1e-6)


def test_fit_mass_mean_probe(chapter_01: dict, data):
    acts, labels, _ = data
    assert same(chapter_01["fit_mass_mean_probe"](acts, labels), probes.fit_mass_mean_probe(acts, labels))


def test_fit_ridge_probe(chapter_01: dict, data):
    acts, _, targets = data
    assert same(chapter_01["fit_ridge_probe"](acts, targets, 4.0), probes.fit_ridge_probe(acts, targets, l2=4.0))


def test_score_by_layer(chapter_01: dict, data):
    acts, labels, _ = data
    acts, train, test = torch.stack([acts, acts.flip(0)]), torch.arange(60), torch.arange(60, 90)
    theirs = probes.score_by_layer(acts, labels, train, test, l2=4.0)
    assert torch.allclose(chapter_01["score_by_layer"](acts, labels, train, test, 4.0), theirs)


def test_choose_layer(chapter_01: dict, data):
    acts, labels, _ = data
    acts, train, validation = torch.stack([acts, acts.flip(0)]), torch.arange(60), torch.arange(60, 90)
    layer, probe = chapter_01["choose_layer"](acts, labels, train, validation, ["embed", 3], 4.0)
    best = int(probes.score_by_layer(acts, labels, train, validation, l2=4.0).argmax())
    assert layer == ["embed", 3][best]
    assert same(probe, probes.fit_ridge_probe(acts[best][train], labels[train].float()[:, None], l2=4.0))


def test_roc_auc(chapter_01: dict, data):
    acts, labels, _ = data
    scores = acts[:, 0].round()  # with ties
    assert chapter_01["roc_auc"](scores, labels) == pytest.approx(float(metrics.roc_auc(scores, labels)))


def test_logistic_regression_loss(chapter_01: dict, data):
    acts, labels, targets = data
    weight, bias = targets[:20, 0], torch.tensor(-0.3)
    log_loss = torch.nn.functional.binary_cross_entropy_with_logits(acts @ weight + bias, labels.float())
    theirs = log_loss + 0.4 / 2 * weight.square().sum()
    assert torch.allclose(chapter_01["logistic_regression_loss"](weight, bias, acts, labels, 0.4), theirs)


def test_fit_logistic_regression_probe(chapter_01: dict, data):
    acts, labels, _ = data
    for l2 in (0.01, 0.5):
        theirs = probes.fit_logistic_regression_probe(acts, labels, l2=l2)
        assert same(chapter_01["fit_logistic_regression_probe"](acts, labels, l2), theirs)


def test_every_exercise_of_chapter_01_is_compared(chapter_01: dict):
    exercises = build.load_chapter("01_linear_probes").exercises
    assert {f"test_{name}" for name in exercises} <= set(globals())
