"""What SAEs compute and minimise: against the SAEs of utils.saes, what the losses are for, and what is refused."""

import pytest
import torch

from utils.sae_objectives import batch_topk, sae_decode, sae_encode, sae_loss, toy_loss
from utils.saes import SAE


def encoder(weights: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return weights["W_enc"], weights["b_enc"], weights["b_dec"]


def pre_activations(acts: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    return (acts - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]


def test_the_functions_are_what_an_sae_does(sae_acts, sae_weights):
    for kind, k in (("standard", None), ("topk", 4)):
        sae = SAE(kind, **sae_weights, k=k)
        latents = sae_encode(sae_acts, *encoder(sae_weights), k)
        assert torch.allclose(latents, sae.encode(sae_acts), atol=1e-5)
        assert torch.allclose(
            sae_decode(latents, sae_weights["W_dec"], sae_weights["b_dec"]), sae.decode(latents), atol=1e-5
        )
    for threshold in (0.7, 0.0, -1.0):
        sae = SAE("jumprelu", **sae_weights, threshold=torch.full((15,), threshold))
        assert torch.allclose(
            batch_topk(pre_activations(sae_acts, sae_weights), 3, threshold), sae.encode(sae_acts), atol=1e-5
        )


def test_a_threshold_keeps_what_the_batch_kept(sae_acts, sae_weights):
    """The smallest latent that got through, a little lowered, is the threshold that gives the same latents."""
    pre = pre_activations(sae_acts, sae_weights)
    trained = batch_topk(pre, 3)
    assert int((trained > 0).sum()) == 120 and (trained > 0).sum(dim=1).unique().numel() > 2
    assert torch.equal(batch_topk(pre, 3, float(trained[trained > 0].min()) - 1e-5), trained)


def test_with_k_of_all_there_is_only_a_relu(sae_acts, sae_weights):
    pre = pre_activations(sae_acts, sae_weights)
    assert torch.allclose(sae_encode(sae_acts, *encoder(sae_weights), 15), pre.relu(), atol=1e-5)
    assert torch.equal(batch_topk(pre, 15), pre.relu())


def test_plain_l1_can_be_cheated_and_this_one_not(sae_acts, sae_weights):
    """Gradient descent on a common scale of latents and rows: plain L1 falls, the weighed one has no slope."""
    latents = sae_encode(sae_acts, *encoder(sae_weights))
    reconstruction = sae_decode(latents, sae_weights["W_dec"], sae_weights["b_dec"])
    log_scale = torch.zeros(15, requires_grad=True)
    small, long = latents * (-log_scale).exp(), sae_weights["W_dec"] * log_scale.exp()[:, None]
    plain = small.sum(dim=1).mean()
    assert torch.autograd.grad(plain, log_scale, retain_graph=True)[0].max() < 0
    weighed = sae_loss(sae_acts, small, reconstruction, long, 0.5)
    assert torch.autograd.grad(weighed, log_scale)[0].abs().max() < 1e-5


def test_rare_features_find_more_room_than_dense_ones():
    """In two dimensions: at least four of five (some runs end in a square); dense ones share squared lengths of 2."""
    norms = {}
    for name, probability in (("sparse", 0.1), ("dense", 1.0)):
        generator = torch.Generator().manual_seed(0)
        weight = (0.5 * torch.randn(5, 2, generator=generator)).requires_grad_()
        bias = torch.zeros(5, requires_grad=True)
        optimizer = torch.optim.Adam([weight, bias], lr=0.05)
        for _ in range(200):
            present = torch.rand(256, 5, generator=generator) < probability
            features = torch.rand(256, 5, generator=generator) * present
            loss = toy_loss(weight, bias, features, 0.9 ** torch.arange(5.0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        norms[name] = weight.detach().norm(dim=1)
    assert int((norms["sparse"] > 0.9).sum()) >= 4, norms
    assert norms["dense"].min() < 0.2 and 1.7 < norms["dense"].square().sum() < 2.3, norms


def test_what_does_not_fit_is_refused(sae_acts, sae_weights):
    pre, latents = torch.zeros(4, 15), torch.zeros(40, 15)
    with pytest.raises(ValueError, match="one row of weight to each feature"):
        toy_loss(torch.zeros(5, 2), torch.zeros(5), torch.zeros(3, 2), torch.ones(5))
    with pytest.raises(ValueError, match=r"importance must be \[feature\] \(5,\)"):
        toy_loss(torch.zeros(5, 2), torch.zeros(5), torch.zeros(3, 5), torch.ones(1))
    with pytest.raises(ValueError, match=r"bias must be \[feature\]"):
        toy_loss(torch.zeros(5, 2), torch.zeros(2), torch.zeros(3, 5), torch.ones(5))
    with pytest.raises(ValueError, match="model and layer that it was trained on"):
        sae_encode(sae_acts[:, :5], *encoder(sae_weights))
    with pytest.raises(ValueError, match=r"b_dec must be \[d_model\] \(6,\), got \(15,\)"):
        sae_encode(sae_acts, sae_weights["W_enc"], sae_weights["b_enc"], sae_weights["b_enc"])
    for k in (0, 16):
        with pytest.raises(ValueError, match=f"k must be from 1 to d_sae 15, got {k}"):
            sae_encode(sae_acts, *encoder(sae_weights), k)
        with pytest.raises(ValueError, match=f"k must be from 1 to d_sae 15, got {k}"):
            batch_topk(pre, k)
    with pytest.raises(ValueError, match="one row for each latent"):
        sae_decode(latents, sae_weights["W_dec"].T, sae_weights["b_dec"])
    with pytest.raises(ValueError, match="decode the latents of these acts"):
        sae_loss(sae_acts, latents, sae_acts[:1], sae_weights["W_dec"], 0.1)
    with pytest.raises(ValueError, match="one row for each latent"):
        sae_loss(sae_acts, latents[:1], sae_acts, sae_weights["W_dec"], 0.1)
    with pytest.raises(ValueError, match="l1 must be 0 or above"):
        sae_loss(sae_acts, latents, sae_acts, sae_weights["W_dec"], -0.1)
    with pytest.raises(ValueError, match=r"pre\[None\]"):
        batch_topk(pre[0], 2)
