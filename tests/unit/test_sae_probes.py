"""Probes on few latents and the paired comparison of methods: planted truths, and what is refused."""

import pytest
import torch

from utils.probes import fit_logistic_regression_probe
from utils.sae_probes import (
    fit_k_sparse_probe,
    quiver_gain,
    select_by_validation,
    select_latents,
    stratified_interval,
)


@pytest.fixture
def planted() -> tuple[torch.Tensor, torch.Tensor]:
    """Sparse latents [example latent] and labels: 3 is on for True, 17 more strongly for False, 9 is always on."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(300, generator=generator) < 0.2
    latents = torch.randn(300, 25, generator=generator).relu()
    latents[:, 3] += 2 * labels
    latents[:, 17] += 3 * ~labels
    latents[:, 9] += 30
    return latents, labels


def test_planted_latents_are_chosen_and_read(planted):
    latents, labels = planted
    chosen = select_latents(latents[:200], labels[:200], 2)
    assert chosen.tolist() == [17, 3]
    probe = fit_k_sparse_probe(latents[:200], labels[:200], chosen)
    assert probe.weight.nonzero().flatten().tolist() == [3, 17] and probe.weight[3] > 0 > probe.weight[17]
    assert ((probe(latents[200:]) > 0) == labels[200:]).float().mean() > 0.95
    noise = fit_k_sparse_probe(latents[:200], labels[:200], torch.tensor([0, 1]))
    assert not (noise(latents[200:]) > 0).any()  # the majority's label: these latents say nothing


def test_all_latents_chosen_is_the_dense_probe(planted):
    latents, labels = planted
    probe, dense = fit_k_sparse_probe(latents, labels, torch.arange(25)), fit_logistic_regression_probe(latents, labels)
    assert torch.equal(probe.weight, dense.weight) and torch.equal(probe.bias, dense.bias)


def test_double_precision_stays(planted):
    latents, labels = planted
    assert fit_k_sparse_probe(latents.double(), labels, torch.tensor([3])).weight.dtype == torch.float64


def test_latents_that_cannot_be_chosen_are_refused(planted):
    latents, labels = planted
    for flags in (torch.ones(300).bool(), torch.zeros(300).bool()):
        with pytest.raises(ValueError, match=r"labels must hold both classes, got (300|0) True of 300"):
            select_latents(latents, flags, 2)
    for k in (0, 26):
        with pytest.raises(ValueError, match=f"k must be from 1 to the number of latents 25, got {k}"):
            select_latents(latents, labels, k)
    for wrong in (labels[:5], labels.float(), labels[:, None]):
        with pytest.raises(ValueError, match="index both with the same split"):
            select_latents(latents, wrong, 2)
    for chosen in ([3, 3], [25], [-1], []):
        with pytest.raises(ValueError, match="chosen must be"):
            fit_k_sparse_probe(latents, labels, torch.tensor(chosen).long())
    with pytest.raises(ValueError, match="l2 must be a number > 0"):
        fit_k_sparse_probe(latents, labels, torch.tensor([3]), l2=0.0)


def test_luck_on_validation_does_not_carry_over(method_scores):
    validation, test, is_sae = method_scores
    winner, score = select_by_validation(validation, test)
    assert (validation[torch.arange(500), winner] >= validation.nan_to_num(nan=-1).amax(dim=1)).all()
    assert abs(score.mean() - 0.5) < 0.01 and test.amax(dim=1).mean() > 0.57
    gains = quiver_gain(validation, test, is_sae)
    assert abs(gains.mean()) < 0.01 and (gains < 0).float().mean() > 0.1
    assert torch.equal(gains != 0, is_sae[winner])  # 0 wherever a dense method wins
    better = torch.where(is_sae, 0.5, 0.0)
    assert abs(quiver_gain(validation + better, test + better, is_sae).mean() - 0.5) < 0.01


def test_scores_that_cannot_be_compared_are_refused(method_scores):
    validation, test, is_sae = method_scores
    unable, undense = validation.clone(), validation.clone()
    unable[7], undense[3, ~is_sae] = torch.nan, torch.nan
    with pytest.raises(ValueError, match=r"every task must have a method .* in 1 of 500, the first is task 7"):
        select_by_validation(unable, test)
    with pytest.raises(ValueError, match=r"every task's dense part .* the first is task 3"):
        quiver_gain(undense, test, is_sae)
    with pytest.raises(ValueError, match="validation and test must be"):
        select_by_validation(validation, test[:, :3])
    for wrong in (is_sae | True, is_sae & False, is_sae[:3], is_sae.float()):
        with pytest.raises(ValueError, match="is_sae must be a bool for each of the 12 methods and hold both kinds"):
            quiver_gain(validation, test, wrong)


def test_intervals_hold_planted_means_as_often_as_they_promise():
    """Two models with 64 and 24 tasks: of 200 intervals about 187 hold the mean of their means."""
    generator, model_of = torch.Generator().manual_seed(0), torch.tensor([5] * 64 + [-2] * 24)
    planted, held = torch.where(model_of == 5, 0.05, -0.03), 0
    for world in range(200):
        gains = planted + torch.where(model_of == 5, 0.02, 0.06) * torch.randn(88, generator=generator)
        mean, low, high = stratified_interval(gains, model_of, 300, seed=world)
        held += low <= 0.01 <= high
        assert low < mean < high
    assert 173 <= held <= 198  # 93.5 %, 4 standard deviations of 3.5; not all of them


def test_what_moves_an_interval():
    gains, model_of = torch.tensor([0.1, 0.3, 0.1, 0.3, -0.5]), torch.tensor([0, 0, 0, 0, 1])
    mean, low, high = stratified_interval(gains, model_of, 2000)
    assert mean == pytest.approx(-0.15) and (low, high) == pytest.approx((-0.2, -0.1))  # each end has 1/16 of the draws
    assert stratified_interval(gains, model_of, 2000) == (mean, low, high)
    assert stratified_interval(gains, model_of * 7 - 3, 2000) == (mean, low, high)
    assert stratified_interval(gains[4:], model_of[4:]) == (-0.5, -0.5, -0.5)
    for wrong in (gains[:0], gains[:3], gains[:, None], gains.log()):
        with pytest.raises(ValueError, match="gains must be"):
            stratified_interval(wrong, model_of)
    with pytest.raises(ValueError, match="n_resamples must be at least 1, got 0"):
        stratified_interval(gains, model_of, 0)
