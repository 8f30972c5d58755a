"""Uses of sparse autoencoders: against a trained one, on planted data, and what is refused."""

import pytest
import torch

from utils import sae_uses
from utils.metrics import roc_auc
from utils.sae_uses import find_mislabelled, inject_label_noise, output_effects, rank_latents, sae_edit
from utils.saes import SAE

NONE, NO_VALUES = torch.tensor([], dtype=torch.int64), torch.tensor([])


@pytest.fixture
def edit(generator) -> tuple[torch.Tensor, ...]:
    """Arguments of sae_edit, for a latent in both lists, too."""
    resid, latents = torch.randn(5, 6, generator=generator), torch.randn(5, 11, generator=generator).relu()
    directions = torch.randn(11, 6, generator=generator)
    return resid, latents, directions, torch.tensor([3, 7, 0]), torch.tensor([10, 3]), torch.tensor([1.5, 0.2])


# --- utils.sae_uses ---


def test_an_edit_changes_what_the_sae_reads_and_leaves_its_error(generator):
    """An SAE with directions at right angles reads back what was written."""
    directions = torch.linalg.qr(torch.randn(12, 8, generator=generator)).Q.T  # [latent d_model]
    offset = torch.randn(12, generator=generator)
    sae = SAE("standard", directions.T.clone(), torch.zeros(8), directions, offset)
    resid = 3 * torch.randn(20, 12, generator=generator)
    latents = sae.encode(resid)
    assert torch.allclose(sae_edit(resid, latents, sae.W_dec, NONE, NONE, NO_VALUES), resid)
    edited = sae_edit(resid, latents, sae.W_dec, torch.tensor([4, 1]), torch.tensor([6]), torch.tensor([2.5]))
    expected = latents.clone()
    expected[:, [4, 1]], expected[:, 6] = 0, 2.5
    was_on = latents[:, 6] > 0  # below 0 the SAE reads 0, and writing adds to what is hidden there
    assert torch.allclose(sae.encode(edited)[was_on], expected[was_on], atol=1e-4)
    error = resid - sae.decode(latents)
    assert torch.allclose(edited - sae.decode(expected), error, atol=1e-4)


def test_effects_reach_from_minus_two_to_two():
    wanted, unwanted = torch.tensor([True, False, False]), torch.tensor([False, True, False])
    clean = torch.tensor([-50.0, 50.0, 0.0])
    effects = output_effects(clean, torch.stack([-clean, clean, torch.tensor([0.0, 0.0, 90.0])]), wanted, unwanted)
    assert torch.allclose(effects, torch.tensor([2.0, 0.0, 1.0]), atol=1e-5)
    assert torch.equal(output_effects(clean, -clean[None], wanted | unwanted, wanted | unwanted), torch.zeros(1))


def test_planted_noise_is_found_and_seen_labels_are_not(generator, one_thread):
    """More dimensions than examples: held out, wrong labels stand out; a fit on all examples explains them away."""
    right = torch.arange(120) % 2 == 0
    direction = torch.randn(150, generator=generator)
    acts = torch.randn(120, 150, generator=generator) + torch.where(right[:, None], direction, -direction)
    noisy = inject_label_noise(right, 0.1, seed=3)
    flipped = noisy ^ right
    assert int(flipped.sum()) == 12 and int(flipped[right].sum()) == 6
    suspicion = find_mislabelled(acts, noisy, l2=0.01)
    assert roc_auc(suspicion, flipped) > 0.95
    seen = sae_uses.fit_logistic_regression_probe(acts, noisy, l2=0.01)(acts)
    assert ((seen > 0) == noisy).all() and suspicion[flipped].min() > 0.69


def test_noise_leaves_the_global_random_state_alone():
    state = torch.get_rng_state()
    first, again, other = (inject_label_noise(torch.arange(60) < 20, 0.3, seed) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert int(first[:20].sum()) == 14 and int(first[20:].sum()) == 12


def test_ranks_are_the_same_by_hand():
    first, second = torch.zeros(4, 5), torch.zeros(8, 5)
    for latent, (n_first, n_second) in enumerate(((4, 8), (1, 0), (0, 6), (3, 4), (2, 0))):
        first[:n_first, latent], second[:n_second, latent] = 0.1, 9.0
    assert rank_latents(first, second).tolist() == [2, 4, 1, 3, 0]  # .75 .5 .25 .25 0
    assert rank_latents(first, second, 2 / 12).tolist() == [2, 4, 3, 0, 1]
    assert rank_latents(first, second, 1.0).tolist() == [0, 1, 2, 3, 4]
    assert rank_latents(second, first, 0.5).tolist() == [2, 3, 0, 1, 4]


def test_what_does_not_fit_is_refused(edit):
    resid, latents, directions, off, on, values = edit
    labels, marked = torch.arange(6) % 2 == 0, torch.tensor([True, False])
    with pytest.raises(ValueError, match="resid must be"):
        sae_edit(resid, latents, directions.T, off, on, values)
    with pytest.raises(ValueError, match="one value for each latent"):
        sae_edit(resid, latents, directions, off, on, values[:1])
    with pytest.raises(ValueError, match=r"in 0\.\.10, got 3\.\.11"):
        sae_edit(resid, latents, directions, off[:2], on + 1, values)
    with pytest.raises(ValueError, match="logits_clean must be"):
        output_effects(torch.zeros(3), torch.zeros(4, 2), marked, ~marked)
    with pytest.raises(ValueError, match="unwanted must be"):
        output_effects(torch.zeros(2), torch.zeros(4, 2), marked, marked & False)
    with pytest.raises(ValueError, match="wanted must be"):
        output_effects(torch.zeros(2), torch.zeros(4, 2), marked.long(), ~marked)
    with pytest.raises(ValueError, match="one layer"):
        find_mislabelled(torch.zeros(2, 6, 3), labels)
    with pytest.raises(ValueError, match="n_folds must"):
        find_mislabelled(torch.zeros(6, 3), labels, 7)
    with pytest.raises(ValueError, match="share must be"):
        inject_label_noise(labels, 10)
    with pytest.raises(ValueError, match="labels must be bool"):
        inject_label_noise(labels.long(), 0.1)
    with pytest.raises(ValueError, match="pool over tokens"):
        rank_latents(torch.zeros(3, 4), torch.zeros(3, 5))
    with pytest.raises(ValueError, match="pool over tokens"):
        rank_latents(torch.zeros(0, 4), torch.zeros(3, 4))
