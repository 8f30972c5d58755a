"""The measures of SAEs as functions of tensors, and what is refused."""

import time

import pytest
import torch
from torch.testing import assert_close

from utils import saes
from utils.models import random_model
from utils.sae_measures import board_coverage, loss_recovered, replaced_losses
from utils.sae_objectives import jumprelu, l0_threshold_gradient, resampling_probabilities

pytestmark = pytest.mark.usefixtures("one_thread")


def test_losses_of_texts_and_of_tokens_recover_the_same():
    """The three losses taken by hand around a small model, padding left out."""
    model = random_model("gpt2", n_layers=2, d_model=16)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 50, (6, 10), generator=generator)
    mask = torch.ones_like(tokens)
    mask[:2, 7:] = 0
    real, name = mask.bool(), "blocks.0.hook_resid_post"
    weights = torch.randn(16, 24, generator=generator) / 4
    sae = saes.SAE("standard", weights, torch.zeros(24), weights.T.contiguous(), torch.zeros(16))
    resid = model.run_with_cache(tokens, attention_mask=mask)[1][name]

    def losses(stream):
        hooks = [(name, lambda resid, hook: stream)]
        logits = model.run_with_hooks(tokens, attention_mask=mask, return_type="logits", fwd_hooks=hooks)
        log_probs = logits[:, :-1].log_softmax(dim=-1).gather(-1, tokens[:, 1:, None])[..., 0]
        return -log_probs[real[:, 1:]].detach()

    mean = resid[real].mean(dim=0).expand_as(resid)
    found = loss_recovered(losses(resid), losses(mean), losses(sae.decode(sae.encode(resid))))
    assert found == pytest.approx(loss_recovered(*replaced_losses(model, sae, tokens, mask, 0)), abs=1e-3)


def test_coverage_of_planted_latents_survives_noise(generator: torch.Generator):
    """Property 0 has a latent, property 1 one that is noisy, property 2 none; a shuffle of test leaves nothing."""
    n = 1500
    holds = torch.rand(2 * n, 3, generator=generator) < torch.tensor([0.2, 0.4, 0.3])
    latents = (torch.randn(2 * n, 40, generator=generator) - 1).relu()
    latents[:, 7] = holds[:, 0] * (2 + torch.rand(2 * n, generator=generator)) + 0.3 * latents[:, 7]
    latents[:, 9] = (holds[:, 1] ^ (torch.rand(2 * n, generator=generator) < 0.1)).float()
    coverage = board_coverage(latents[:n], holds[:n], latents[n:], holds[n:])
    assert coverage[0] > 0.98 and 0.83 < coverage[1] < 0.92 and coverage[2] < 0.5
    order = torch.randperm(n, generator=generator)
    shuffled = board_coverage(latents[:n], holds[:n], latents[n:][order], holds[n:])
    assert (shuffled < 0.5).all()


def test_coverage_is_fast(generator: torch.Generator):
    """3,000 positions, 1,024 latents, 128 properties, ten thresholds: a second on an idle thread, eight at most."""
    latents = (torch.randn(3000, 1024, generator=generator) - 1).relu()
    holds = torch.rand(3000, 128, generator=generator) < 0.2
    start = time.process_time()
    board_coverage(latents, holds, latents, holds)
    assert time.process_time() - start < 8


def test_probabilities_draw_hard_inputs(generator: torch.Generator):
    acts = torch.zeros(3, 2)
    odds = resampling_probabilities(acts, torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]))
    assert_close(odds, torch.tensor([1 / 17, 16 / 17, 0.0]))
    drawn = torch.multinomial(odds, 2000, replacement=True, generator=generator)
    assert 0.91 < (drawn == 1).float().mean() < 0.97 and not (drawn == 2).any()
    for scale in (1e-15, 1e15):
        assert_close(resampling_probabilities(acts + scale, acts), torch.full((3,), 1 / 3))
    assert_close(resampling_probabilities(acts, acts), torch.full((3,), 1 / 3))


def test_jumprelu_is_what_an_sae_does(generator: torch.Generator):
    w = torch.randn(6, 10, generator=generator)
    threshold = torch.rand(10, generator=generator)
    sae = saes.SAE("jumprelu", w, torch.ones(10), w.T.contiguous(), torch.zeros(6), threshold=threshold)
    acts = torch.randn(20, 6, generator=generator)
    assert_close(jumprelu(acts @ w + 1, threshold), sae.encode(acts))


def test_autograd_sees_no_step_and_the_window_does(generator: torch.Generator):
    """The true gradient of every single vector's L0 is 0; the mean falls by the density, -φ(θ)."""
    pre = torch.randn(200_000, 2, generator=generator)
    threshold = torch.tensor([0.5, 1.5], requires_grad=True)
    mean_l0 = (jumprelu(pre, threshold) > 0).float().sum(dim=1).mean()
    assert not mean_l0.requires_grad
    jumprelu(pre.requires_grad_(), threshold).sum().backward()
    assert threshold.grad is None or not threshold.grad.any()
    density = torch.distributions.Normal(0, 1).log_prob(threshold.detach()).exp()
    found = l0_threshold_gradient(pre.detach(), threshold.detach(), 0.2)
    assert (found + density).abs().max() < 0.015  # a standard error is .003


def test_what_does_not_fit_the_measures_is_refused():
    one, acts, holds = torch.ones(3), torch.zeros(4, 5), torch.zeros(4, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="ablated must have another mean than clean, got 1 for both"):
        loss_recovered(one, one, one)
    with pytest.raises(ValueError, match=r"must all be \[token\].*got \(3,\), \(2,\)"):
        loss_recovered(one, one[:2], one)
    with pytest.raises(ValueError, match=r"latents_test must be \[position latent\].*\(3, 5\) and \(4, 2\)"):
        board_coverage(acts, holds, acts[:3], holds)
    with pytest.raises(ValueError, match=r"properties_train must be bool, got torch\.float32"):
        board_coverage(acts, holds.float(), acts, holds)
    with pytest.raises(ValueError, match="the same latents and properties, got 5 and 4 latents"):
        board_coverage(acts, holds, acts[:, :4], holds)
    with pytest.raises(ValueError, match="at least one number, got none"):
        board_coverage(acts, holds, acts, holds, ())
    with pytest.raises(ValueError, match=r"\[batch d_model\].*\(4, 5\) and \(4, 4\)"):
        resampling_probabilities(acts, acts[:, :4])
    for function in (jumprelu, lambda *given: l0_threshold_gradient(*given, 0.1)):
        with pytest.raises(ValueError, match=r"threshold \[d_sae\], got \(4, 5\) and \(4,\)"):
            function(acts, torch.ones(4))
    with pytest.raises(ValueError, match="0 or above, got -1"):
        jumprelu(acts, -torch.ones(5))
    with pytest.raises(ValueError, match="window must be above 0, got 0"):
        l0_threshold_gradient(acts, torch.ones(5), 0)
