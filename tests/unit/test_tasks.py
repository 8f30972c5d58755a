"""Tasks and regimes: no group on two sides, no name that an SAE saw alone, and each regime is what it says."""

import pytest
import torch

from utils.datasets import load_colours, load_places, load_sentiment_words
from utils.othello import square_name
from utils.saes import load_sae
from utils.tasks import SAES, SQUARES, Examples, Task, draw_dictionary, load_tasks, load_untrained_tasks
from utils.training.english import seen_in_training
from utils.training.sae_trainer import SAETrainer, Shape
from utils.trials import N_SCARCE, N_TRAIN, N_VALIDATION, NOISE, REGIMES, draw_trial

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def toy() -> Task:
    """600 groups of two examples each, whose acts hold group and label, so that every draw can be read off."""
    groups = torch.arange(600).repeat_interleave(2)
    labels = torch.rand(1200, generator=torch.Generator().manual_seed(0)) < 0.4
    acts = torch.stack([groups.float(), labels.float()], dim=1)
    examples = Examples(acts, acts + 1, labels, [str(group) for group in groups.tolist()])
    return Task("toy", "none", examples, examples._replace(acts=acts + 10_000), "moved")


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_group_stands_on_two_sides(toy: Task, regime: str, seed: int):
    train, validation, test = (set(part.groups) for part in draw_trial(toy, regime, seed=seed))
    assert not (train & validation or train & test or validation & test)


@pytest.mark.parametrize("regime", REGIMES)
def test_rows_stay_together(toy: Task, regime: str):
    for name, part in zip(("train", "validation", "test"), draw_trial(toy, regime), strict=True):
        moved = 10_000 * (regime == "shifted" and name == "test")
        assert (part.acts[:, 0] - moved).int().tolist() == [int(group) for group in part.groups]
        assert torch.equal(part.latents - 1, part.acts - moved)
        is_right = (part.acts[:, 1] - moved).bool() == part.labels
        if regime == "noisy" and name != "test":
            assert abs(float((~is_right).float().mean()) - NOISE) < 0.1
        else:
            assert is_right.all()


def test_regimes_are_as_large_as_they_say(toy: Task):
    for regime in REGIMES:
        train, validation, _ = draw_trial(toy, regime)
        sizes = (N_SCARCE, N_SCARCE) if regime == "scarce" else (N_TRAIN, N_VALIDATION)
        found = (len(train.labels), len(validation.labels))
        if regime == "imbalanced":  # no more than there are examples of False
            assert sizes[0] / 2 < found[0] <= sizes[0] and sizes[1] / 2 < found[1] <= sizes[1]
        else:
            assert found == sizes, regime
        share = float(train.labels.float().mean())
        assert abs(share - 0.05) < 0.005 if regime == "imbalanced" else 0.2 < share < 0.6, (regime, share)
    assert draw_trial(toy, "scarce", seed=1).train.groups != draw_trial(toy, "scarce", seed=2).train.groups
    assert draw_trial(toy, "scarce", seed=1).train.groups == draw_trial(toy, "scarce", seed=1).train.groups


def test_scarce_examples_are_of_both_classes_however_rare_one_is(toy: Task):
    rare = toy.examples._replace(labels=torch.arange(1200) % 50 == 0)
    for seed in range(5):
        train, validation, _ = draw_trial(Task("rare", "none", rare, rare, ""), "scarce", seed=seed)
        assert train.labels.sum() >= 2 and validation.labels.sum() >= 2


def test_an_unknown_regime_is_refused(toy: Task):
    with pytest.raises(ValueError, match="regime must be one of standard, scarce"):
        draw_trial(toy, "easy")


def test_the_tasks_are_27_of_three_networks():
    tasks = load_tasks()
    assert len(tasks) == len({task.name for task in tasks}) == 27
    assert [task.model for task in tasks].count("othello_gpt") == 9
    assert set(SAES) == {task.model for task in (*tasks, *load_untrained_tasks())}
    for task in tasks:
        d_sae = load_sae(SAES[task.model][0]).d_sae
        for part in (task.examples, task.shifted):
            n = len(part.labels)
            assert part.latents.shape == (n, d_sae) and len(part.acts) == len(part.groups) == n
            assert n >= 400 and 0.1 < part.labels.float().mean() < 0.9, (task.name, n)
            assert part.acts.isfinite().all() and (part.latents >= 0).all()
    assert {square_name(square) for square in SQUARES.values()} == set(SQUARES)


def test_a_dictionary_by_lot_is_as_large_and_as_sparse_as_the_sae():
    task = load_tasks()[0]
    sae = load_sae(SAES[task.model][0])
    by_lot = draw_dictionary(sae)
    latents = by_lot.encode(task.examples.acts)
    assert latents.shape == task.examples.latents.shape and (latents > 0).sum(dim=1).max() <= sae.k
    assert torch.allclose(by_lot.W_dec.norm(dim=1), torch.ones(sae.d_sae)) and torch.equal(by_lot.b_dec, sae.b_dec)
    untrained = SAETrainer(Shape("topk", sae.d_sae, sae.k), task.examples.acts, scale=1.0).finish()
    assert torch.equal(by_lot.W_dec, untrained.W_dec) and torch.equal(by_lot.W_enc, untrained.W_enc)


def test_the_untrained_twin_is_asked_the_same_about_the_same_positions():
    for trained, untrained in zip(load_tasks(), load_untrained_tasks(), strict=False):
        assert untrained.name == trained.name and untrained.model == "othello_gpt_untrained"
        assert torch.equal(untrained.examples.labels, trained.examples.labels)
        assert untrained.examples.groups == trained.examples.groups
        assert not torch.allclose(untrained.examples.acts, trained.examples.acts)


def test_names_of_minilm_were_not_seen_alone_by_its_sae():
    tables = {*load_sentiment_words().words, *load_colours().names, *load_places().names}
    for task in load_tasks():
        names = [group for group in task.examples.groups if group in tables]
        if task.model == "minilm" and task.name.startswith(("in ", "reddish", "light", "greenish")):
            assert names and not any(map(seen_in_training, names)), task.name
