"""One pass in batches, of whatever size and on whatever machine, gives the probes of all activations at once."""

from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close

from utils.interventions import fit_leace_eraser
from utils.probe_statistics import ProbeStatistics
from utils.probes import fit_mass_mean_probe, fit_ridge_probe

pytestmark = pytest.mark.usefixtures("one_thread")
N_LAYERS, N_ROWS, D_MODEL = 3, 157, 12


def draw(target: tuple[int, ...] = (), *, offset: float = 0.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Acts [layer row d_model] in float64 of very different variances, and labels [row *target] that they tell of."""
    generator = torch.Generator().manual_seed(seed)
    acts = torch.randn(N_LAYERS, N_ROWS, D_MODEL, dtype=torch.float64, generator=generator)
    acts = acts @ torch.randn(D_MODEL, D_MODEL, dtype=torch.float64, generator=generator) + offset
    noise = torch.randn(N_ROWS, *target, dtype=torch.float64, generator=generator)
    shared = (acts[0, :, 0] - acts[0, :, 0].mean()).reshape(-1, *(1,) * len(target))
    return acts, noise + shared > 0


def gather(acts: torch.Tensor, targets: torch.Tensor, size: int) -> ProbeStatistics:
    statistics = ProbeStatistics.zeros(len(acts), acts.shape[2], tuple(targets.shape[1:]))
    for rows in torch.arange(len(targets)).split(size):
        statistics.add(acts[:, rows], targets[rows])
    return statistics


def equal(found, expected) -> None:
    assert_close(
        found.weight.double(), expected.weight.double(), rtol=2e-6, atol=1e-6 * float(expected.weight.abs().max())
    )
    assert_close(found.bias.double(), expected.bias.double(), rtol=2e-6, atol=1e-6 * float(expected.bias.abs().max()))
    assert found.weight.dtype == found.bias.dtype == torch.float32


@pytest.mark.parametrize("target", [(), (1,), (2, 3)])
@pytest.mark.parametrize("size", [1, 7, N_ROWS])
def test_probes_equal_those_of_all_at_once(size: int, target: tuple[int, ...]):
    acts, labels = draw(target)
    statistics = gather(acts, labels, size)
    equal(statistics.mass_mean_probe(), fit_mass_mean_probe(acts, labels))
    for l2 in (1e-3, 10.0):
        equal(statistics.ridge_probe(l2=l2), fit_ridge_probe(acts, labels.double(), l2=l2))


def test_targets_may_be_numbers():
    acts, _ = draw()
    targets = acts[1, :, :2] * 3 + 100
    equal(gather(acts, targets, 20).ridge_probe(), fit_ridge_probe(acts, targets))
    with pytest.raises(ValueError, match=r"labels \(bool\) of both classes, got numbers"):
        gather(acts, targets, 20).mass_mean_probe()


def test_ridge_with_fewer_examples_than_dimensions():
    acts, labels = (part[..., :5, :] if part.ndim == 3 else part[:5] for part in draw())
    equal(gather(acts, labels, 2).ridge_probe(l2=0.1), fit_ridge_probe(acts, labels.double(), l2=0.1))


@pytest.mark.parametrize("size", [1, 50])
def test_the_eraser_equals_that_of_all_at_once(size: int):
    acts, labels = draw()
    for layer in range(N_LAYERS):
        found, expected = gather(acts, labels, size).leace_eraser(layer), fit_leace_eraser(acts[layer], labels)
        assert_close(found.matrix.double(), expected.matrix, atol=1e-6, rtol=1e-5)
        assert_close(found.bias.double(), expected.bias, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cut", [0, 1, 60, N_ROWS])
def test_two_parts_merged_are_the_whole(cut: int):
    acts, labels = draw((2,))
    whole = gather(acts, labels, 10)
    parts = [gather(acts[:, rows], labels[rows], 9) for rows in (slice(0, cut), slice(cut, None))]
    parts[0].merge(parts[1])
    assert parts[0].count == whole.count == N_ROWS
    for name in ("mean_acts", "mean_targets", "products", "cross"):
        assert_close(getattr(parts[0], name), getattr(whole, name), rtol=1e-12, atol=1e-10)


def test_a_large_offset_costs_no_digits():
    """With sums of squares, an offset of 10 million standard deviations leaves 2 of 16 digits: the control fails."""
    acts, labels = draw()
    far = acts + 1e7
    statistics, near = gather(far, labels, 10), gather(acts, labels, 10)
    assert_close(statistics.products, near.products, rtol=1e-6, atol=1e-5)
    squares = far.mT @ far - N_ROWS * far.mean(dim=1)[:, :, None] * far.mean(dim=1)[:, None]
    assert (squares - near.products).abs().max() > 0.01
    equal(statistics.ridge_probe(), fit_ridge_probe(far, labels.double()))


def test_rounded_activations_are_summed_exactly():
    acts, labels = draw()
    rounded = acts.bfloat16()
    equal(gather(rounded, labels, 10).mass_mean_probe(), fit_mass_mean_probe(rounded.double(), labels))


def test_a_batch_of_which_a_split_left_nothing_changes_nothing():
    acts, labels = draw()
    statistics = gather(acts, labels, 10)
    before = statistics.products.clone()
    statistics.add(acts[:, :0], labels[:0])
    assert statistics.count == N_ROWS and torch.equal(statistics.products, before)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda s, a, y: s.add(a[:2], y), r"\[layer row d_model\] \(3, 'row', 12\)"),
        (lambda s, a, y: s.add(a, y[1:]), "index both with the same rows"),
        (lambda s, a, y: s.add(a, y.long()), "bools or floats"),
        (lambda s, a, y: s.add(a.long(), y), "acts must be floats"),
        (lambda s, a, y: s.add(a / 0, y), "finite, got NaN"),
        (lambda s, a, y: s.merge(gather(a[:2], y, 50)), r"same layers, targets and d_model \(3, 12\), got \(2, 12\)"),
        (lambda s, a, y: s.mass_mean_probe(), "of both classes, got 0 True of 0"),
        (lambda s, a, y: s.ridge_probe(), "there must be examples"),
        (lambda s, a, y: gather(a, y, 50).ridge_probe(l2=0), "l2 above 0, got 157 and 0"),
        (lambda s, a, y: gather(a, y | True, 50).mass_mean_probe(), "got 157 True of 157"),
        (lambda s, a, y: gather(a, y[:, None], 50).leace_eraser(0), r"one label, got axes \(1,\)"),
    ],
)
def test_what_does_not_fit_is_named(wrong: Callable, words: str):
    with pytest.raises(ValueError, match=words):
        wrong(ProbeStatistics.zeros(N_LAYERS, D_MODEL), *draw())
