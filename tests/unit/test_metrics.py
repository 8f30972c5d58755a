"""Scores against scikit-learn, intervals against planted truth, and everything both must refuse."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

from utils.metrics import accuracy, bootstrap_interval, r2, roc_auc

SCORES = [accuracy, r2, roc_auc]


pytestmark = pytest.mark.usefixtures("one_thread")


def draw(layer: tuple[int, ...] = (), target: tuple[int, ...] = (), n: int = 60, seed: int = 0):
    """Predictions [*layer batch *target] and numbers [batch *target] that correlate."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(n, *target, generator=generator)
    return numbers + torch.randn(*layer, n, *target, generator=generator), numbers


def truth_for(score, numbers):
    return numbers if score is r2 else numbers > 0


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("layer", [(), (2,), (2, 3)])
@pytest.mark.parametrize("target", [(), (4,), (4, 2)])
def test_one_score_per_layer_and_target_equals_scikit_learn(score, layer, target):
    predictions, numbers = draw(layer, target)
    truth = truth_for(score, numbers)
    scores = score(predictions, truth)
    assert scores.shape == (*layer, *target) and scores.dtype == torch.float64
    for index in np.ndindex(*layer, *target):
        own, wanted = index[: len(layer)], index[len(layer) :]
        p = predictions[(*own, slice(None), *wanted)].numpy()
        t = truth[(slice(None), *wanted)].numpy()
        expected = {accuracy: lambda p, t: accuracy_score(t, p > 0), r2: lambda p, t: r2_score(t, p)}.get(
            score, lambda p, t: roc_auc_score(t, p)
        )(p, t)
        assert float(scores[index]) == pytest.approx(expected, abs=1e-6)


def test_mean_r2_is_the_uniform_average_of_scikit_learn():
    predictions, numbers = draw(target=(3,))
    expected = r2_score(numbers.numpy(), predictions.numpy(), multioutput="uniform_average")
    assert float(r2(predictions, numbers).mean()) == pytest.approx(expected, abs=1e-6)


def test_r2_of_the_mean_is_0_of_the_truth_1_and_can_be_negative():
    numbers = torch.randn(50) + 1000
    assert float(r2(numbers.mean().expand(50), numbers)) == pytest.approx(0, abs=1e-6)
    assert float(r2(numbers, numbers)) == 1
    assert float(r2(torch.zeros(50), numbers)) < -1000


def test_accuracy_counts_0_as_false():
    assert float(accuracy(torch.tensor([0.0, 0.0, 1.0, -1.0]), torch.tensor([True, False, True, True]))) == 0.5


def test_roc_auc_counts_ties_half():
    labels = torch.tensor([True, True, False, False])
    assert float(roc_auc(torch.zeros(4), labels)) == 0.5
    assert float(roc_auc(torch.tensor([1.0, 0.0, 0.0, -1.0]), labels)) == 3.5 / 4
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        scores = torch.randint(5, (80,), generator=generator).float()
        labels = torch.rand(80, generator=generator) < 0.1 + 0.15 * scores
        assert float(roc_auc(scores, labels)) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_roc_auc_depends_on_the_order_only():
    scores, numbers = draw(n=300)
    labels = numbers > 0
    auc = roc_auc(scores, labels)
    assert torch.equal(roc_auc(scores.double().exp() + 7, labels), auc)
    assert float(roc_auc(-scores, labels)) == pytest.approx(1 - float(auc))
    assert float(roc_auc(scores, ~labels)) == pytest.approx(1 - float(auc))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p, t: (p.tolist(), t), "(logits|scores|predictions) must be a float tensor, got a list; pass what"),
        (lambda p, t: (p > 0, t), "(logits|scores|predictions) must be a float tensor, got torch.bool"),
        (lambda p, t: (p, t.int()), "(labels must be a bool|targets must be a float) tensor, got torch.int32"),
        (lambda p, t: (p[:-1], t), r"is \(60, 2\) as in (labels|targets), got \(59, 2\); score the split"),
        (lambda p, t: (p[:, :1], t), r"got \(60, 1\)"),
        (lambda p, t: (p[:, 0], t), r"got \(60,\)"),
        (lambda p, t: (p[:0], t[:0]), r"\[batch \*target\] is \(0, 2\)"),
        (lambda p, t: (p / 0, t), "(logits|scores|predictions) must be finite, got 120 NaN or infinite of 120"),
        (lambda p, t: (p.to("meta"), t), "must be on cpu like (labels|targets), got meta"),
    ],
)
def test_scores_refuse_what_does_not_fit(score, spoil, words):
    predictions, numbers = draw(target=(2,))
    with pytest.raises(ValueError, match=words):
        score(*spoil(predictions, truth_for(score, numbers)))


def test_undefined_scores_are_refused():
    predictions, numbers = draw(target=(2,))
    one_class = (numbers > 0) | torch.tensor([False, True])
    with pytest.raises(ValueError, match=r"labels must contain both classes.* got one class in target 1; check"):
        roc_auc(predictions, one_class)
    with pytest.raises(ValueError, match=r"targets must vary, .* got the same value in all examples in target 0; drop"):
        r2(predictions, numbers * torch.tensor([0.0, 1.0]))
    with pytest.raises(ValueError, match="got one class; check"):
        roc_auc(predictions[:, 0], one_class[:, 1])
    assert accuracy(predictions, one_class).shape == (2,)  # defined all the same


# bootstrap_interval


def test_interval_covers_the_planted_mean_as_often_as_it_says():
    covered = []
    for seed in range(300):
        values = torch.randn(60, generator=torch.Generator().manual_seed(seed)) * 2 + 5
        low, high = bootstrap_interval(values, seed=seed, n_resamples=500)
        covered.append(low <= 5 <= high)
    assert 0.90 <= np.mean(covered) <= 0.98  # 0.95, give or take three standard errors of 0.013


def test_group_interval_covers_where_the_plain_one_fails():
    """30 groups of 10 examples that share most of what they are."""
    covered = {"plain": [], "grouped": []}
    groups = torch.arange(30).repeat_interleave(10)
    for seed in range(300):
        generator = torch.Generator().manual_seed(seed)
        values = torch.randn(30, generator=generator)[groups] + 0.3 * torch.randn(300, generator=generator)
        for name, of in (("plain", None), ("grouped", groups)):
            low, high = bootstrap_interval(values, groups=of, seed=seed, n_resamples=300)
            covered[name].append(low <= 0 <= high)
    assert 0.89 <= np.mean(covered["grouped"]) <= 0.98  # a little below 0.95 with only 30 groups
    assert np.mean(covered["plain"]) < 0.6  # about sqrt(10) too narrow


def test_interval_is_as_wide_as_the_standard_error_says():
    values = torch.randn(2000, generator=torch.Generator().manual_seed(0))
    for level, z in ((0.95, 1.96), (0.68, 0.994)):
        low, high = bootstrap_interval(values, level=level, n_resamples=4000)
        assert (high - low) / 2 == pytest.approx(z * float(values.std()) / 2000**0.5, rel=0.06)


@pytest.mark.parametrize("groups", [None, torch.arange(50) // 7 * 100 - 3, [f"group {i % 9}" for i in range(50)]])
def test_the_fast_mean_equals_any_other_statistic(groups):
    values = torch.randn(50, generator=torch.Generator().manual_seed(0))
    fast = bootstrap_interval(values, groups=groups, n_resamples=200, seed=3)
    slow = bootstrap_interval(values, groups=groups, n_resamples=200, seed=3, statistic=lambda drawn: drawn.mean())
    assert fast == pytest.approx(slow, abs=1e-6)


def test_other_statistics_see_whole_rows():
    scores, numbers = draw(n=200)
    pairs = torch.stack([scores, (numbers > 0).float()], dim=1)  # a score and its label stay together
    low, high = bootstrap_interval(pairs, statistic=lambda rows: roc_auc(rows[:, 0], rows[:, 1] > 0), n_resamples=300)
    assert low < float(roc_auc(scores, numbers > 0)) < high
    assert 0.05 < high - low < 0.2


def test_interval_of_correctness_is_one_of_accuracy():
    correct = torch.arange(100) < 80
    low, high = bootstrap_interval(correct)
    assert 0.70 < low < 0.75 and 0.85 < high < 0.90  # 0.8 ± 1.96 · 0.04


def test_intervals_repeat_with_the_seed_and_ignore_the_global_one():
    values = torch.randn(40)
    torch.manual_seed(1)
    first = bootstrap_interval(values)
    torch.manual_seed(2)
    assert bootstrap_interval(values) == first != bootstrap_interval(values, seed=1)


def test_many_examples_are_drawn_in_chunks(monkeypatch):
    monkeypatch.setattr("utils.metrics.CHUNK", 100)
    values = torch.randn(40, generator=torch.Generator().manual_seed(0))
    low, high = bootstrap_interval(values, n_resamples=1001)
    assert low < float(values.mean()) < high


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ([1.0, 2.0], {}, "values must be a tensor .* got a list"),
        (torch.ones(1), {}, r"values must be .* at least 2 examples, got torch.float32 of shape \(1,\)"),
        (torch.tensor(1.0), {}, "values must be"),
        (torch.tensor([1.0, torch.nan]), {}, "values must be finite, got 1 NaN or infinite of 2"),
        (torch.ones(4), {"level": 95}, "level must lie between 0 and 1, got 95; 0.95 is usual"),
        (torch.ones(4), {"n_resamples": 0}, "n_resamples must be at least 1, got 0"),
        (torch.ones(4), {"groups": [1, 2]}, r"groups must hold one group for each of the 4 values, got \(2,\)"),
        (torch.ones(4), {"groups": ["a"] * 4}, "groups must hold at least 2 groups, got 1; group by something finer"),
    ],
)
def test_interval_refuses_what_it_cannot_resample(values, options, words):
    with pytest.raises(ValueError, match=words):
        bootstrap_interval(values, **options)
