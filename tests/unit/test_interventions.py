"""Erasers and patterns against their theorems, planted truths, and everything they must refuse."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from utils.interventions import LinearEraser, fit_leace_eraser, pattern_from_filter
from utils.metrics import accuracy
from utils.probes import fit_logistic_regression_probe, fit_mass_mean_probe, fit_ridge_probe

pytestmark = pytest.mark.usefixtures("one_thread")


def draw(n: int = 400, d_model: int = 10, *, seed: int = 0, distance: float = 3.0) -> tuple[Tensor, Tensor]:
    """Acts [n d_model] in correlated noise with scales from 0.3 to 3, off the origin, and labels, one in three True."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3 == 0
    direction = torch.nn.functional.normalize(torch.randn(d_model, generator=generator), dim=0)
    noise = torch.randn(n, d_model, generator=generator) * torch.logspace(-0.5, 0.5, d_model)
    turn = torch.linalg.qr(torch.randn(d_model, d_model, generator=generator)).Q
    centre = torch.randn(d_model, generator=generator) * 4
    return (noise + distance * labels[:, None] * direction) @ turn + centre, labels


def mean_difference(acts: Tensor, labels: Tensor) -> Tensor:
    return acts[labels].mean(dim=0) - acts[~labels].mean(dim=0)


def gap(eraser: LinearEraser, acts: Tensor, labels: Tensor) -> float:
    """Distance of the class means after erasing, in parts of the distance before."""
    return float(mean_difference(eraser(acts), labels).norm() / mean_difference(acts, labels).norm())


# fit_leace_eraser


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [400, 11, 4])  # many, one more than dimensions, fewer
def test_class_means_are_equal_and_the_mean_stays(seed, n):
    acts, labels = draw(n, seed=seed)
    eraser = fit_leace_eraser(acts, labels)
    assert gap(eraser, acts, labels) < 1e-5
    assert torch.allclose(eraser(acts).mean(dim=0), acts.mean(dim=0), atol=1e-4)


def test_no_probe_beats_the_constant_one_on_the_erased_examples():
    acts, labels = draw()
    assert accuracy(fit_logistic_regression_probe(acts, labels)(acts), labels) > 0.95
    erased = fit_leace_eraser(acts, labels)(acts)
    for l2 in (1e-4, 1.0):
        probe = fit_logistic_regression_probe(erased, labels, l2=l2)
        assert accuracy(probe(erased), labels) == (~labels).double().mean()
        assert fit_ridge_probe(erased, labels.float(), l2=l2)(erased).std() < 1e-3  # the same for all, but for rounding


def test_on_fresh_examples_the_label_is_gone_only_if_the_eraser_saw_many():
    acts, labels = draw(12_000, 64, distance=4.0)
    fresh, test = torch.arange(6000, 9000), torch.arange(9000, 12_000)
    found = []
    for n in (96, 6000):
        erased = fit_leace_eraser(acts[:n], labels[:n])(acts)
        probe = fit_logistic_regression_probe(erased[fresh], labels[fresh])
        found.append(float(accuracy(probe(erased[test]), labels[test])))
    majority = float((~labels[test]).double().mean())
    assert found[0] > majority + 0.1 and found[1] < majority + 0.02


def oblique_erasers(acts: Tensor, labels: Tensor, n: int) -> list[Tensor]:
    """Matrices [d_model d_model] that make the class means equal: orthogonal, oblique, and oblique with more on top."""
    line, d_model = mean_difference(acts, labels), acts.shape[1]
    generator = torch.Generator().manual_seed(1)
    reads = [line, *torch.randn(n, d_model, generator=generator)]
    plain = [torch.eye(d_model) - torch.outer(line, read) / (read @ line) for read in reads]
    turns = torch.eye(d_model) + 0.3 * torch.randn(len(plain), d_model, d_model, generator=generator)
    return [*plain, *(turn @ matrix for turn, matrix in zip(turns, plain, strict=True))]


@pytest.mark.parametrize("seed", range(3))
def test_no_other_eraser_changes_less_in_any_quadratic_measure(seed):
    acts, labels = draw(seed=seed)
    centred, d_model = acts - acts.mean(dim=0), acts.shape[1]
    generator = torch.Generator().manual_seed(2)
    measures = [torch.eye(d_model), torch.linalg.inv(torch.cov(acts.T))]  # Euclidean, and whitened
    measures += [root @ root.T for root in torch.randn(5, d_model, d_model, generator=generator)]
    eraser, others = fit_leace_eraser(acts, labels), oblique_erasers(acts, labels, 20)

    def change(matrix: Tensor, measure: Tensor) -> float:
        moved = centred @ matrix.T - centred
        return float((moved @ measure * moved).sum(dim=1).mean())

    for matrix in others:
        assert mean_difference(centred @ matrix.T, labels).norm() < 1e-3
    for measure in measures:
        mine, best_other = change(eraser.matrix, measure), min(change(matrix, measure) for matrix in others)
        assert mine < 0.99 * best_other, f"LEACE changes {mine:.3f}, another eraser {best_other:.3f}"


def test_what_goes_is_uncorrelated_with_what_remains():
    """The condition for the smallest change: nothing of it could have been kept."""
    acts, labels = draw()
    erased = fit_leace_eraser(acts, labels)(acts)
    gone = (acts - erased) @ mean_difference(acts, labels)  # [batch], how far each example was moved
    remains = erased - erased.mean(dim=0)
    correlation = (gone - gone.mean()) @ remains / len(acts) / gone.std() / remains.std(dim=0)
    assert correlation.abs().max() < 1e-4


def test_other_coordinates_give_the_same_erasure():
    acts, labels = draw()
    generator = torch.Generator().manual_seed(3)
    change = torch.randn(10, 10, generator=generator) + 3 * torch.eye(10)
    there = fit_leace_eraser(acts @ change + 7, labels)(acts @ change + 7)
    assert torch.allclose(there, fit_leace_eraser(acts, labels)(acts) @ change + 7, atol=1e-3)


def test_one_direction_goes_and_it_goes_once():
    acts, labels = draw()
    eraser = fit_leace_eraser(acts, labels)
    sizes = torch.linalg.svdvals(torch.eye(10) - eraser.matrix)
    assert sizes[0] > 0.9 and sizes[1] < 1e-5
    assert torch.allclose(eraser(eraser(acts)), eraser(acts), atol=1e-4)
    assert torch.allclose(eraser(acts), fit_leace_eraser(acts, ~labels)(acts), atol=1e-4)  # the line has no sign


def test_another_feature_stays():
    acts, labels = draw()
    other = torch.arange(400) // 3 % 2 == 0  # half of each class
    acts = acts + 6 * other[:, None] * torch.nn.functional.normalize(torch.arange(10.0), dim=0)
    erased = fit_leace_eraser(acts, labels)(acts)
    before, after = (accuracy(fit_logistic_regression_probe(x, other)(x), other) for x in (acts, erased))
    assert before > 0.95 and after > before - 0.02


@pytest.mark.parametrize("dead", [0.0, 0.1, 1234.567])
def test_directions_that_do_not_vary_are_left_alone(dead):
    """12 examples in 30 dimensions, two of which are constant; float32 cannot hold the mean of 0.1 exactly."""
    acts, labels = draw(12, 28)
    acts = torch.cat([acts, torch.full((12, 2), dead)], dim=1)
    eraser = fit_leace_eraser(acts, labels)
    assert gap(eraser, acts, labels) < 1e-4
    unseen = torch.linalg.svd((acts - acts.mean(dim=0)).double()).Vh[11:].T.float()
    assert torch.allclose(eraser.matrix @ unseen, unseen, atol=1e-4)


def test_equal_means_are_left_alone():
    acts, labels = draw()
    acts, labels = torch.cat([acts, acts]), torch.arange(800) < 400
    assert torch.equal(fit_leace_eraser(acts, labels)(acts), acts)


def test_an_offset_1000_times_the_spread_changes_the_bias_only():
    acts, labels = draw()
    near, far = fit_leace_eraser(acts, labels), fit_leace_eraser(acts + 1000, labels)
    assert torch.allclose(near.matrix, far.matrix, atol=1e-3)  # float32 keeps 1e-4 of acts + 1000
    assert gap(far, acts + 1000, labels) < 1e-3
    assert torch.allclose(far(acts + 1000) - 1000, near(acts), atol=1e-2)


@pytest.mark.parametrize(("dtype", "left"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.1)])
def test_the_eraser_has_the_dtype_of_acts(dtype, left):
    acts, labels = draw()
    acts = (acts - acts.mean(dim=0)).to(dtype)
    eraser = fit_leace_eraser(acts, labels)
    assert eraser.matrix.dtype == eraser.bias.dtype == eraser(acts).dtype == dtype
    assert gap(eraser, acts, labels) < left


def test_fitting_leaves_acts_alone_and_builds_no_graph():
    acts, labels = draw()
    copy, weight = acts.clone(), torch.ones(10)
    eraser = fit_leace_eraser(acts.requires_grad_(), labels)
    pattern = pattern_from_filter(acts, weight)
    assert torch.equal(acts, copy) and torch.equal(weight, torch.ones(10))
    assert not eraser.matrix.requires_grad and not eraser.bias.requires_grad and not pattern.requires_grad


@pytest.mark.parametrize(
    ("acts", "labels", "words"),
    [
        (torch.ones(4, 2), [True] * 4, "labels must be of both classes, got 4 True of 4; check the split"),
        (torch.ones(4, 2), [False] * 4, "labels must be of both classes, got 0 True of 4"),
        (torch.full((4, 2), 3.0), [True, False] * 2, "acts must vary, got the same vector for all examples; check lay"),
    ],
)
def test_refuses_what_has_no_line_to_erase(acts, labels, words):
    with pytest.raises(ValueError, match=words):
        fit_leace_eraser(acts, torch.tensor(labels))


# LinearEraser


def test_erased_is_matrix_times_acts_plus_bias():
    eraser = LinearEraser(matrix=torch.tensor([[1.0, 2.0], [0.0, 3.0]]), bias=torch.tensor([10.0, 20.0]))
    assert eraser(torch.tensor([1.0, 1.0])).tolist() == [13, 23]
    acts = torch.randn(2, 3, 4, 2)
    assert torch.allclose(eraser(acts)[1, 2, 3], eraser(acts[1, 2, 3]), atol=1e-6)
    assert eraser(acts.half()).dtype == torch.float32


def test_gradients_flow_through_an_eraser():
    acts = torch.ones(3, 2, requires_grad=True)
    LinearEraser(torch.eye(2), torch.zeros(2))(acts).sum().backward()
    assert acts.grad.tolist() == [[1, 1]] * 3


@pytest.mark.parametrize(
    ("matrix", "bias", "words"),
    [
        (torch.eye(3), torch.zeros(4), r"matrix must be .* got \(3, 3\) and \(4,\); the bias is a vector"),
        (torch.zeros(3, 4), torch.zeros(3), r"got \(3, 4\) and \(3,\)"),
        (torch.eye(3), torch.zeros(3, 3), r"got \(3, 3\) and \(3, 3\)"),
        (torch.eye(3), 0.0, r"got \(3, 3\) and a float"),
        ([1.0], torch.zeros(1), r"got a list and \(1,\)"),
        (torch.tensor(1.0), torch.tensor(0.0), r"got \(\) and \(\)"),
        (torch.eye(3), torch.zeros(3).double(), "bias must be torch.float32 like matrix, got torch.float64; use bias"),
    ],
)
def test_refuses_what_is_no_eraser(matrix, bias, words):
    with pytest.raises(ValueError, match=words):
        LinearEraser(matrix=matrix, bias=bias)


@pytest.mark.parametrize("shape", [(5, 4), (4,), (2, 3, 4)])
def test_refuses_acts_of_another_d_model(shape):
    with pytest.raises(ValueError, match=r"with d_model 3, got .*; use the eraser on the model and layer that it was"):
        LinearEraser(torch.eye(3), torch.zeros(3))(torch.ones(shape))


# pattern_from_filter


@pytest.mark.parametrize("n", [400, 6])  # more and fewer examples than dimensions
@pytest.mark.parametrize("seed", range(3))
def test_reading_the_pattern_gives_one(n, seed):
    acts, _ = draw(n, seed=seed)
    weight = torch.randn(10, generator=torch.Generator().manual_seed(seed))
    assert float(weight @ pattern_from_filter(acts, weight)) == pytest.approx(1, abs=1e-5)
    assert torch.allclose(pattern_from_filter(acts, 4 * weight), pattern_from_filter(acts, weight) / 4, atol=1e-6)


def test_the_pattern_is_the_slope_of_each_dimension_on_the_logit():
    acts, _ = draw()
    weight = torch.randn(10, generator=torch.Generator().manual_seed(1))
    slopes = fit_ridge_probe((acts @ weight)[:, None], acts, l2=1e-4).weight[:, 0]
    assert torch.allclose(pattern_from_filter(acts, weight), slopes, atol=1e-4)


def test_a_channel_of_noise_has_a_weight_and_no_pattern():
    signal, noise = torch.randn(2, 5000, generator=torch.Generator().manual_seed(0))
    acts = torch.stack([signal + 2 * noise, 2 * noise], dim=1)
    weight = fit_ridge_probe(acts, signal, l2=1e-3).weight
    assert torch.allclose(weight, torch.tensor([1.0, -1.0]), atol=1e-3)
    assert torch.allclose(pattern_from_filter(acts, weight), torch.tensor([1.0, 0.0]), atol=0.05)  # 1/√5000 = 0.014


@pytest.mark.parametrize("offset", [1.0, 100.0])
def test_an_offset_does_not_change_the_pattern(offset):
    acts, _ = draw()
    weight = torch.randn(10, generator=torch.Generator().manual_seed(1))
    far = pattern_from_filter(acts + offset * torch.arange(10), weight)
    assert torch.allclose(far, pattern_from_filter(acts, weight), atol=1e-3)  # float32 keeps 1e-4 of acts + 900


def test_the_pattern_of_least_squares_is_the_mass_mean_direction():
    acts, labels = draw()
    weight = fit_ridge_probe(acts, labels.float(), l2=1e-4).weight
    means = fit_mass_mean_probe(acts, labels).weight
    assert cosine_similarity(means, weight, dim=0) < 0.9
    assert cosine_similarity(means, pattern_from_filter(acts, weight), dim=0) > 0.99999


def test_the_pattern_keeps_the_dtype():
    acts, _ = draw(40, 3)
    for dtype in (torch.float32, torch.float64):
        assert pattern_from_filter(acts.to(dtype), torch.ones(3, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("acts", "weight", "words"),
    [
        (torch.randn(5, 3), torch.ones(4), r"acts must be .* got \(5, 3\) and \(4,\)"),
        (torch.randn(3), torch.ones(3), r"got \(3,\) and \(3,\)"),
        (torch.randn(5, 3), torch.ones(3, 1), r"got \(5, 3\) and \(3, 1\)"),
        (torch.randn(2, 5, 3), torch.ones(5, 3), r"got \(2, 5, 3\)"),
        (torch.randn(5, 3), torch.zeros(3), "weight must give .* different logits, got the same for all; is it zero"),
        (torch.full((5, 3), 2.0), torch.ones(3), "weight must give examples different logits"),
    ],
)
def test_refuses_what_has_no_pattern(acts, weight, words):
    with pytest.raises(ValueError, match=words):
        pattern_from_filter(acts, weight)


@pytest.mark.parametrize(
    ("acts", "labels", "words"),
    [
        (torch.randn(4, 3), torch.tensor([0, 1, 0, 1]), "labels bool"),
        (torch.randn(4, 3), torch.tensor([True, False]), "the same split"),
        (torch.randn(2, 4, 3), torch.tensor([True, False]), "acts must be"),
        (torch.full((2, 3), torch.nan), torch.tensor([True, False]), "must be finite"),
    ],
)
def test_an_eraser_names_what_does_not_fit(acts, labels, words):
    with pytest.raises(ValueError, match=words):
        fit_leace_eraser(acts, labels)


def test_erasing_twice_changes_nothing_more():
    """The means are equal after the first time, up to rounding."""
    generator = torch.Generator().manual_seed(0)
    acts = torch.randn(200, 6, generator=generator) + 100
    labels = torch.arange(200) % 2 == 0
    acts[labels] += 1
    erased = fit_leace_eraser(acts, labels)(acts)
    assert torch.allclose(fit_leace_eraser(erased, labels)(erased), erased, atol=1e-3)
