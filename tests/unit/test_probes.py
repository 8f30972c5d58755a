"""Probes against scikit-learn, planted truths, and everything they must refuse."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import cosine_similarity

from utils import log_loss
from utils.probes import LinearProbe, fit_logistic_regression_probe, fit_mass_mean_probe, fit_ridge_probe

LABEL_FITTERS = [fit_mass_mean_probe, fit_logistic_regression_probe]
FITTERS = [*LABEL_FITTERS, fit_ridge_probe]


pytestmark = pytest.mark.usefixtures("one_thread")


def draw(
    n: int = 400, d_model: int = 24, n_targets: int = 3, *, n_layers: int = 0, noise: float = 1.0, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Acts [*layer batch d_model] with scales from 1 to 0.05, and numbers [batch target] that depend on them."""
    generator = torch.Generator().manual_seed(seed)
    acts = torch.randn(max(n_layers, 1), n, d_model, generator=generator) * torch.logspace(0, -1.3, d_model)
    acts = acts @ torch.linalg.qr(torch.randn(d_model, d_model, generator=generator))[0]
    numbers = acts[0] @ torch.randn(d_model, n_targets, generator=generator)
    numbers = numbers + noise * torch.randn(n, n_targets, generator=generator) + torch.linspace(-1, 0.5, n_targets)
    return (acts if n_layers else acts[0]), numbers


def fit(fitter, acts: Tensor, numbers: Tensor, **options) -> LinearProbe:
    return fitter(acts, numbers if fitter is fit_ridge_probe else numbers > 0, **options)


def objective(logits: Tensor, labels: Tensor, weight: Tensor, l2: float) -> float:
    """Mean log-loss + l2/2 ‖weight‖², as scikit-learn defines it up to the factor C."""
    log_loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
    return float(log_loss + l2 / 2 * weight.square().sum())


def expect_optimum(probe: LinearProbe, acts: Tensor, labels: Tensor, l2: float, *, rtol: float = 5e-3) -> None:
    """Fail unless a probe of one target is as good as scikit-learn's optimum, and the same within rtol."""
    scaler = StandardScaler().fit(acts.double().numpy())
    standard = scaler.transform(acts.double().numpy())
    oracle = LogisticRegression(C=1 / (len(acts) * l2), solver="newton-cholesky", tol=1e-9, max_iter=1000)
    oracle.fit(standard, labels.numpy())
    best_weight, best_logits = torch.from_numpy(oracle.coef_[0]), torch.from_numpy(oracle.decision_function(standard))
    weight, logits = probe.weight.double() * torch.from_numpy(scaler.scale_), probe(acts).double()
    found, best = (objective(z, labels, w, l2) for z, w in ((logits, weight), (best_logits, best_weight)))
    assert found - best < 1e-6, f"objective {found:.8f}, scikit-learn {best:.8f}"
    assert (weight - best_weight).norm() < rtol * best_weight.norm()
    assert (logits - best_logits).abs().max() < rtol * best_logits.abs().max()


# LinearProbe


def test_logit_is_weight_times_acts_plus_bias():
    probe = LinearProbe(weight=torch.tensor([1.0, -2.0]), bias=torch.tensor(0.5))
    assert probe(torch.tensor([[3.0, 1.0], [0.0, 1.0]])).tolist() == [1.5, -1.5]


@pytest.mark.parametrize("layer", [(), (2,), (2, 3)])
@pytest.mark.parametrize("target", [(), (4,), (4, 2)])
def test_axes_are_layers_then_batch_then_targets(layer, target):
    weight, bias, acts = torch.randn((*layer, *target, 5)), torch.randn((*layer, *target)), torch.randn((*layer, 7, 5))
    logits = LinearProbe(weight=weight, bias=bias)(acts)
    assert logits.shape == (*layer, 7, *target)
    for index in np.ndindex(*layer, 7, *target):
        own = index[: len(layer)] + index[len(layer) + 1 :]
        expected = weight[own] @ acts[index[: len(layer) + 1]] + bias[own]
        assert torch.isclose(logits[index], expected, atol=1e-5)  # float32 sums of 5


def test_a_probe_can_be_trained_through():
    weight, acts = torch.zeros(3, requires_grad=True), torch.ones(2, 3, requires_grad=True)
    LinearProbe(weight=weight, bias=torch.tensor(0.0))(acts).sum().backward()
    assert weight.grad.tolist() == [2, 2, 2] and acts.grad is not None


def test_half_precision_acts_are_computed_in_the_dtype_of_the_weight():
    probe = LinearProbe(weight=torch.full((2,), 0.1), bias=torch.tensor(0.0))
    assert probe(torch.ones(1, 2, dtype=torch.float16)).dtype == torch.float32


@pytest.mark.parametrize(
    ("weight", "bias", "words"),
    [
        (torch.ones(3), 0.5, "bias must be a tensor of floats, got a float; use for example torch.tensor"),
        (torch.ones(3), torch.tensor(1), "bias must be a tensor of floats, got torch.int64"),
        (np.ones(3), torch.tensor(0.0), "weight must be a tensor of floats, got a ndarray"),
        (torch.ones(3), torch.zeros(1), r"got weight \(3,\) and bias \(1,\); one probe .* bias.squeeze"),
        (torch.tensor(1.0), torch.tensor(0.0), "bias must be of the shape of weight without its last axis"),
        (torch.ones(3), torch.tensor(0.0).double(), "bias must be torch.float32 like weight, got torch.float64"),
        (torch.tensor([1, torch.nan]), torch.tensor(0.0), r"weight must be finite, got 1 NaN .* index \[1\]"),
        (torch.ones(3), torch.tensor(torch.inf), "bias must be finite, got 1 NaN or infinite of 1"),
    ],
)
def test_refuses_what_is_no_probe(weight, bias, words):
    with pytest.raises(ValueError, match=words):
        LinearProbe(weight=weight, bias=bias)


@pytest.mark.parametrize(
    ("acts", "words"),
    [
        (torch.ones(3), r"acts must be a float tensor .* got torch.float32 of shape \(3,\); use acts\[None\]"),
        (torch.ones(2, 3, dtype=torch.long), "acts must be a float tensor .* got torch.int64"),
        (torch.ones(2, 4), r"to fit weight .* \(3,\), got \(2, 4\); apply a probe to the model and layers"),
        (torch.ones(2, 2, 3), r"to fit weight .* \(3,\), got \(2, 2, 3\)"),
    ],
)
def test_refuses_acts_that_do_not_fit_the_probe(acts, words):
    with pytest.raises(ValueError, match=words):
        LinearProbe(weight=torch.ones(3), bias=torch.tensor(0.0))(acts)


# All fitters


@pytest.mark.parametrize("fitter", FITTERS)
@pytest.mark.parametrize("n_layers", [0, 3])
@pytest.mark.parametrize("target", [(), (3,), (3, 2)])
def test_all_layers_and_targets_at_once_equal_a_loop(fitter, n_layers, target):
    acts, numbers = draw(n_targets=6, n_layers=n_layers)
    numbers = {(): numbers[:, 0], (3,): numbers[:, :3], (3, 2): numbers.reshape(-1, 3, 2)}[target]
    probe = fit(fitter, acts, numbers)
    layer = (n_layers,) if n_layers else ()
    assert probe.weight.shape == (*layer, *target, 24) and probe.bias.shape == (*layer, *target)
    assert probe.weight.dtype == probe.bias.dtype == torch.float32
    for index in np.ndindex(*layer, *target):
        single = fit(fitter, acts[index[: len(layer)]], numbers[(slice(None), *index[len(layer) :])])
        assert torch.allclose(probe.weight[index], single.weight, rtol=1e-3, atol=1e-3)  # stops at gradient 1e-5
        assert torch.allclose(probe.bias[index], single.bias, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("fitter", FITTERS)
@pytest.mark.parametrize("n", [16, 400])  # fewer and more examples than the 24 dimensions
def test_a_common_offset_100_times_the_spread_changes_only_the_bias(fitter, n):
    acts, numbers = draw(n)
    near, far = fit(fitter, acts, numbers), fit(fitter, acts + 100, numbers)
    assert cosine_similarity(near.weight, far.weight, dim=-1).min() > 0.9999  # float32 keeps 1e-5 of acts + 100
    shift = (far(acts + 100) - near(acts)).abs().max() / near(acts).std()
    assert shift < 5e-3, f"logits move by {shift:.1e} of their spread"


@pytest.mark.parametrize("fitter", [fit_mass_mean_probe, fit_ridge_probe])  # standardising picks out the axes
def test_rotated_acts_give_the_rotated_weight(fitter):
    acts, numbers = draw()
    rotation = torch.linalg.qr(torch.randn(24, 24, generator=torch.Generator().manual_seed(1)))[0]
    plain, rotated = fit(fitter, acts, numbers), fit(fitter, acts @ rotation, numbers)
    assert torch.allclose(plain.weight @ rotation, rotated.weight, atol=1e-4)
    assert torch.allclose(plain.bias, rotated.bias, atol=1e-4)


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_logistic_regression_does_not_care_about_units(factor):
    acts, numbers = draw()
    scale = torch.where(torch.arange(24) % 2 == 0, factor, 1.0)
    plain, scaled = (fit_logistic_regression_probe(a, numbers > 0) for a in (acts, acts * scale))
    assert torch.allclose(plain(acts), scaled(acts * scale), atol=1e-3)


@pytest.mark.parametrize("fitter", FITTERS)
def test_finds_a_planted_direction(fitter):
    generator = torch.Generator().manual_seed(0)
    direction = torch.nn.functional.normalize(torch.randn(32, generator=generator), dim=0)
    labels = torch.arange(2000) % 3 == 0
    acts = 3 * torch.where(labels, 1.0, -1.0)[:, None] * direction + torch.randn(2000, 32, generator=generator) + 5
    probe = fit(fitter, acts, torch.where(labels, 1.0, -1.0))
    assert cosine_similarity(probe.weight, direction, dim=0) > 0.97  # 0.98 or more over 20 seeds
    assert ((probe(acts) > 0) == labels).float().mean() > 0.99  # the classes are 6 standard deviations apart


@pytest.mark.parametrize("fitter", FITTERS)
def test_constant_dimensions_get_weight_0(fitter):
    acts, numbers = draw()
    padded = torch.cat([acts, torch.full((len(acts), 1), 1234.567), torch.zeros(len(acts), 1)], dim=1)
    probe, plain = fit(fitter, padded, numbers), fit(fitter, acts, numbers)
    assert probe.weight[:, -2:].abs().max() < 1e-2 * probe.weight.abs().max()  # rounding of 1234.567
    assert torch.allclose(probe(padded), plain(acts), atol=1e-2)
    if fitter is fit_logistic_regression_probe:
        assert probe.weight[:, -2:].tolist() == [[0, 0]] * 3


def test_dimensions_that_hardly_vary_get_weight_0():
    """As in MiniLM's layer 5, where standardising would blow up what is left of them."""
    acts, numbers = draw()
    tiny = 5e-9 * numbers[:, :1] + 1e-32 * torch.randn(len(acts), 1, generator=torch.Generator().manual_seed(1))
    probe = fit(fit_logistic_regression_probe, torch.cat([acts, tiny], dim=1), numbers)
    assert probe.weight[:, -1].tolist() == [0] * 3


@pytest.mark.parametrize("fitter", FITTERS)
def test_acts_that_are_all_the_same_say_nothing(fitter):
    probe = fit(fitter, torch.full((90, 4), 7.3), torch.where(torch.arange(90) % 3 == 0, 1.0, -1.0))
    assert probe.weight.abs().max() < 1e-3
    expected = {fit_ridge_probe: -1 / 3, fit_logistic_regression_probe: np.log(0.5), fit_mass_mean_probe: 0.0}[fitter]
    assert abs(float(probe(torch.full((1, 4), 7.3))) - expected) < 1e-3  # the prior alone


@pytest.mark.parametrize("fitter", FITTERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_acts_are_computed_in_float32(fitter, dtype):
    acts, numbers = draw(n_layers=2)
    half = fit(fitter, acts.to(dtype), numbers)
    exact = fit(fitter, acts.to(dtype).float(), numbers)
    assert half.weight.dtype == torch.float32 and torch.equal(half.weight, exact.weight)


@pytest.mark.parametrize("fitter", FITTERS)
def test_inputs_stay_as_they_were_and_need_no_gradient(fitter):
    acts, numbers = draw()
    acts.requires_grad_()
    before, kept = acts.detach().clone(), numbers.clone()
    probe = fit(fitter, acts, numbers)
    assert torch.equal(acts, before) and torch.equal(numbers, kept)
    assert not probe.weight.requires_grad


# Mass-mean


def test_mass_mean_weight_is_the_difference_of_the_means_and_its_threshold_halfway():
    acts, numbers = draw(n_layers=2)
    labels = numbers > 0
    probe = fit_mass_mean_probe(acts, labels)
    for target in range(3):
        high, low = acts[:, labels[:, target]].mean(dim=1), acts[:, ~labels[:, target]].mean(dim=1)  # [layer d_model]
        assert torch.allclose(probe.weight[:, target], high - low, atol=1e-5)
        halfway = probe(((high + low) / 2)[:, None])[:, 0, target]
        assert halfway.abs().max() < 1e-5


# Ridge


@pytest.mark.parametrize(("n", "d_model"), [(500, 40), (41, 40), (40, 40), (20, 40), (2, 3), (50, 1)])
@pytest.mark.parametrize("l2", [0.1, 1.0, 100.0])
def test_ridge_equals_scikit_learn(n, d_model, l2):
    acts, numbers = draw(n, d_model)
    oracle = Ridge(alpha=l2).fit(acts.double().numpy(), numbers.double().numpy())
    for dtype, atol in ((torch.float32, 1e-3), (torch.float64, 1e-9)):  # condition number up to 1e4
        probe = fit_ridge_probe(acts.to(dtype), numbers.to(dtype), l2=l2)
        assert probe.weight.dtype == dtype
        assert np.allclose(probe.weight, oracle.coef_, atol=atol)
        assert np.allclose(probe.bias, oracle.intercept_, atol=atol)


def test_ridge_reproduces_a_linear_map_without_noise():
    acts, _ = draw(300)
    weight, bias = torch.randn(2, 24), torch.tensor([3.0, -1000.0])
    probe = fit_ridge_probe(acts, acts @ weight.T + bias, l2=1e-4)
    assert torch.allclose(probe.weight, weight, atol=0.02)  # l2 pulls the weakest of the directions in by up to 1 %
    assert torch.allclose(probe.bias, bias, rtol=1e-3)


def test_ridge_refuses_to_solve_what_rounding_decides():
    generator = torch.Generator().manual_seed(0)
    acts = 1e4 * torch.randn(500, 2, generator=generator) @ torch.randn(2, 40, generator=generator)  # rank 2
    with pytest.raises(ValueError, match=r"l2 must be large enough .* got 1e-09 beside .*; raise l2 or pass"):
        fit_ridge_probe(acts, torch.randn(500, generator=generator), l2=1e-9)


# Logistic regression


@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize(("n", "d_model"), [(600, 24), (30, 40), (80, 1)])
def test_logistic_regression_reaches_the_optimum_of_scikit_learn(n, d_model, l2):
    acts, numbers = draw(n, d_model, 2)
    probe = fit_logistic_regression_probe(acts, numbers > 0, l2=l2)
    for target in range(2):
        single = LinearProbe(weight=probe.weight[target], bias=probe.bias[target])
        expect_optimum(single, acts, numbers[:, target] > 0, l2)


def test_logistic_regression_in_float64_finds_a_gradient_of_zero():
    acts, numbers = draw()
    labels, l2 = numbers[:, 0] > 0, 0.03
    probe = fit_logistic_regression_probe(acts.double(), labels, l2=l2)
    standard = (acts.double() - acts.double().mean(dim=0)) / acts.double().std(dim=0, correction=0)
    residual = torch.sigmoid(probe(acts.double())) - labels.double()
    gradient = residual @ standard / len(acts) + l2 * probe.weight * acts.double().std(dim=0, correction=0)
    assert gradient.norm() < 1e-4 and residual.mean().abs() < 1e-4  # TOLERANCE times the length at weight 0


def test_rare_classes_outliers_and_separable_labels_converge():
    """What makes Newton's method diverge: saturated examples, heavy tails, hardly any penalty."""
    generator = torch.Generator().manual_seed(0)
    acts = torch.randn(400, 30, generator=generator) * torch.randn(400, 1, generator=generator).mul(2).exp()
    logit = acts @ torch.randn(30, generator=generator)
    labels = torch.stack([logit > logit.quantile(q) for q in (0.5, 0.9, 0.99)], dim=1)  # separable
    labels = torch.cat([labels, labels ^ (torch.rand(400, 3, generator=generator) < 0.1)], dim=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe = fit_logistic_regression_probe(acts, labels, l2=1e-4)
    for target in range(6):
        single = LinearProbe(weight=probe.weight[target], bias=probe.bias[target])
        expect_optimum(single, acts, labels[:, target], 1e-4)


@pytest.mark.parametrize("seed", range(60))
def test_hostile_problems_converge(seed):
    """Random sizes, correlated dimensions, examples of very different length, rare classes, weak penalties."""
    generator = torch.Generator().manual_seed(seed)
    n, d_model = (int(torch.randint(low, high, (), generator=generator)) for low, high in ((20, 400), (1, 60)))
    length = (2 * torch.rand((), generator=generator) * torch.randn(n, 1, generator=generator)).exp()
    acts = torch.randn(n, d_model, generator=generator) * length @ torch.randn(d_model, d_model, generator=generator)
    if seed % 3 == 0:
        acts = acts**3
    share = 0.05 + 0.9 * torch.rand((), generator=generator)
    score = acts @ torch.randn(d_model, generator=generator) / acts.std() + torch.randn(n, generator=generator)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = score > score.quantile(float(share))
        probe = fit_logistic_regression_probe(acts, labels, l2=10.0 ** -(seed % 5))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(probe(acts), labels.float())
    prior = labels.float().mean()
    assert loss <= torch.nn.functional.binary_cross_entropy(prior, prior) + 1e-5  # never worse than the bias alone


def test_targets_that_converge_early_are_not_mixed_up():
    """An easy target next to a hard one: freezing one must leave the other alone."""
    acts, numbers = draw(300, 24, 4)
    labels = numbers > torch.tensor([0.0, 2.0, -1.0, 1.0])
    labels = torch.cat([labels, torch.rand(300, 4, generator=torch.Generator().manual_seed(1)) > 0.9], dim=1)
    together = fit_logistic_regression_probe(acts, labels, l2=1e-3)
    for target in torch.randperm(8).tolist():
        alone = fit_logistic_regression_probe(acts, labels[:, target], l2=1e-3)
        assert torch.allclose(together.weight[target], alone.weight, atol=1e-2 * float(alone.weight.abs().max()))


def test_warns_where_it_does_not_converge(monkeypatch):
    monkeypatch.setattr(log_loss, "MAX_STEPS", 2)
    acts, numbers = draw()
    words = "3 of 3 targets have not converged after 2 steps, the first is target 0; raise l2"
    with pytest.warns(RuntimeWarning, match=words) as caught:
        fit_logistic_regression_probe(acts, numbers > 0, l2=1e-6)
    assert caught[0].filename == __file__  # it points at whoever called


# What fitters refuse


@pytest.mark.parametrize("fitter", LABEL_FITTERS)
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda labels: labels.float(), "labels must be a bool tensor .* got torch.float32 .* use labels > 0 or"),
        (lambda labels: labels.long(), "labels must be a bool tensor .* got torch.int64 .* labels.bool"),
        (lambda labels: labels.tolist(), "labels must be a bool tensor .* got a list"),
        (lambda labels: labels[:-1], r"labels must be .* a row for each of the 400 .* got \(399, 3\); index both"),
        (lambda labels: labels[0, 0], r"labels must be .* got \(\)"),
        (lambda labels: labels[:, :0], r"labels must be .* got \(400, 0\)"),
        (lambda labels: labels[:, 0] & False, "labels must be of both classes, got 0 True of 400; check the split"),
        (lambda labels: labels | torch.tensor([False, True, True]), "got 400 True of 400 in target 1; check the split"),
        (lambda labels: labels[..., None] & torch.tensor([True, False]), "got 0 True of 400 in target 0, 1; check"),
    ],
)
def test_refuses_labels_that_do_not_fit(fitter, spoil, words):
    acts, numbers = draw()
    with pytest.raises(ValueError, match=words):
        fitter(acts, spoil(numbers > 0))


@pytest.mark.parametrize("fitter", FITTERS)
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda acts: acts[0], r"acts must be a float tensor \[\*layer batch d_model\] .* use acts\[None\]"),
        (lambda acts: acts[:0], r"acts must be .* at least one example, got torch.float32 of shape \(0, 24\)"),
        (lambda acts: acts.long(), "acts must be a float tensor .* got torch.int64"),
        (lambda acts: acts.numpy(), "acts must be a float tensor .* got a ndarray"),
        (lambda acts: acts[:399], "(labels|targets) must be .* a row for each of the 399 examples"),
        (
            lambda acts: acts.index_fill(0, torch.tensor(7), torch.nan),
            r"acts must be finite, got 24 NaN or infinite of 9600, the first at index \[7, 0\]",
        ),
        (lambda acts: acts.index_fill(1, torch.tensor(3), -torch.inf), r"got 400 NaN .* the first at index \[0, 3\]"),
    ],
)
def test_refuses_acts_that_do_not_fit(fitter, spoil, words):
    acts, numbers = draw()
    with pytest.raises(ValueError, match=words):
        fit(fitter, spoil(acts), numbers)


@pytest.mark.parametrize("fitter", FITTERS)
def test_refuses_two_devices(fitter):
    acts, numbers = draw()
    words = r"(labels|targets) must be on cpu like acts, got meta; use (labels|targets).to\(acts.device\)"
    with pytest.raises(ValueError, match=words):
        fitter(acts, (numbers if fitter is fit_ridge_probe else numbers > 0).to("meta"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda targets: targets > 0, "targets must be a float tensor .* got torch.bool .* use targets.float"),
        (lambda targets: targets.long(), "targets must be a float tensor .* got torch.int64"),
        (lambda targets: targets / 0, "targets must be finite"),
        (lambda targets: targets[:5], r"targets must be .* got \(5, 3\)"),
    ],
)
def test_refuses_targets_that_do_not_fit(spoil, words):
    acts, numbers = draw()
    with pytest.raises(ValueError, match=words):
        fit_ridge_probe(acts, spoil(numbers))


@pytest.mark.parametrize("fitter", [fit_ridge_probe, fit_logistic_regression_probe])
@pytest.mark.parametrize("l2", [0, -1.0, float("nan"), float("inf")])
def test_refuses_a_penalty_that_is_none(fitter, l2):
    acts, numbers = draw()
    with pytest.raises(ValueError, match=r"l2 must be a number > 0, got .*; 1e-6 is next to no penalty"):
        fit(fitter, acts, numbers, l2=l2)


def test_a_sum_that_overflows_is_not_called_infinite():
    acts, numbers = draw()
    acts = (acts + 100).half()
    assert acts.sum().isinf()  # float16 ends at 65,504
    assert fit_mass_mean_probe(acts, numbers > 0).weight.isfinite().all()


def test_a_loose_tolerance_changes_weights_and_hardly_any_prediction():
    generator = torch.Generator().manual_seed(0)
    acts = torch.randn(2000, 30, generator=generator) * torch.linspace(0.1, 3, 30)
    labels = acts @ torch.randn(30, 5, generator=generator) + torch.randn(2000, 5, generator=generator) > 0
    exact, loose = (fit_logistic_regression_probe(acts, labels, l2=1e-3, tolerance=t) for t in (1e-5, 0.1))
    assert not torch.allclose(exact.weight, loose.weight, rtol=1e-3)
    assert ((exact(acts) > 0) == (loose(acts) > 0)).float().mean() > 0.98
