"""What a sparse autoencoder is judged by: its error, what the network loses, what single latents stand for.

explained_variance(acts, reconstruction)                   # 1 is perfect, 0 no better than the mean
mean_l0(latents), dead_latents(latents)
clean, ablated, reconstructed = replaced_losses(model, sae, tokens, attention_mask, layer)
loss_recovered(clean, ablated, reconstructed)              # 1: as good as the network itself
coverage = board_coverage(latents_train, properties_train, latents_test, properties_test)  # F1 of each property
"""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.models import TransformerBridge
from utils.saes import SAE
from utils.steering import run_with_edit

Ablation = Literal["mean", "zero"]
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of a latent's maximum: the thresholds that are tried


def explained_variance(
    acts: Float[Tensor, "batch d_model"], reconstruction: Float[Tensor, "batch d_model"]
) -> Float[Tensor, ""]:
    """Share of the variance that the reconstruction holds: 1 - squared error / squared distance from the mean.

    Both are summed over all dimensions before the division, so that large dimensions count more. Below 0 where the
    mean of acts would have been better.
    """
    error = (acts - reconstruction).square().sum()
    return 1 - error / (acts - acts.mean(dim=0)).square().sum()


def mean_l0(latents: Float[Tensor, "batch d_sae"]) -> Float[Tensor, ""]:
    """How many latents are above 0 in a vector, on average."""
    return (latents > 0).float().sum(dim=-1).mean()


def dead_latents(latents: Float[Tensor, "batch d_sae"]) -> Bool[Tensor, " d_sae"]:
    """Latents that are 0 in all of these vectors; take many, a rare latent is not a dead one."""
    return ~(latents > 0).any(dim=0)


def loss_recovered(
    clean: Float[Tensor, " token"], ablated: Float[Tensor, " token"], reconstructed: Float[Tensor, " token"]
) -> float:
    """How much of what a layer contributes to predicting the next token its reconstruction keeps: 1 all, 0 nothing.

    Averages first, then one division. Not clipped: below 0 the mean would have been better.

    Args:
        clean: next-token loss of each token, in nats, of the network as it is; real tokens only. Or of each text,
            summed over its tokens: what counts is the sum over all.
        ablated: the same with the layer's stream replaced by its mean. Zeros are nothing that a network ever sees;
            where they hurt it more, they are the easier baseline.
        reconstructed: the same with the reconstruction put in.

    Raises:
        ValueError: If ablated and clean have the same mean, or the three are not of one shape.
    """
    if clean.ndim != 1 or not clean.shape == ablated.shape == reconstructed.shape or not len(clean):
        raise ValueError(
            f"clean, ablated and reconstructed must all be [token], at least one, got {tuple(clean.shape)}, "
            f"{tuple(ablated.shape)} and {tuple(reconstructed.shape)}; take the losses of the same real tokens"
        )
    own, without, back = (float(losses.double().mean()) for losses in (clean, ablated, reconstructed))
    if without == own:
        raise ValueError(
            f"ablated must have another mean than clean, got {own:.4g} for both; this layer does not matter"
        )
    return (without - back) / (without - own)


@torch.no_grad()
def replaced_losses(
    model: TransformerBridge,
    sae: SAE,
    tokens: Int[Tensor, "batch pos"],
    attention_mask: Int[Tensor, "batch pos"],
    layer: int,
    *,
    ablation: Ablation = "mean",
) -> Float[Tensor, "3 batch"]:
    """Loss of each text, summed over its tokens but the first: as it is, with a layer ablated, and reconstructed.

    Raises:
        ValueError: If there is no such ablation.
    """
    if ablation not in get_args(Ablation):
        raise ValueError(f'ablation must be "mean" or "zero", got {ablation!r}')
    real, kept = attention_mask.bool(), {}

    def loss(replace: Callable[[Tensor], Tensor]) -> Float[Tensor, " batch"]:
        logits = run_with_edit(model, tokens, attention_mask, layer, replace)
        log_probs = logits[:, :-1].log_softmax(dim=-1).gather(-1, tokens[:, 1:, None])[..., 0]  # [batch pos]
        return -log_probs.masked_fill(~real[:, 1:], 0).sum(dim=1)

    def keep(resid: Float[Tensor, "batch pos d_model"]) -> Tensor:
        kept["mean"] = resid[real].mean(dim=0) * (ablation == "mean")
        return resid

    clean = loss(keep)
    ablated = loss(lambda resid: kept["mean"].expand_as(resid))
    return torch.stack([clean, ablated, loss(lambda resid: sae.decode(sae.encode(resid)))])


def board_coverage(
    latents_train: Float[Tensor, "position latent"],
    properties_train: Bool[Tensor, "position property"],
    latents_test: Float[Tensor, "other latent"],
    properties_test: Bool[Tensor, "other property"],
    shares: Sequence[float] = SHARES,
) -> Float[Tensor, " property"]:
    """F1 on test of the single latent, above a single threshold, that fits each property best on train.

    After Karvonen et al. 2024, arXiv:2408.00113, who average over properties. Latent and threshold are chosen by F1 on
    train alone; of equals the first share wins, and then the first latent. Rows may be anything that has latents and
    properties, and columns any number that is 0 or above, such as neurons after a ReLU: they are compared alike.

    One matrix product for each share, [latent property] numbers at a time: 3,000 positions, 1,024 latents and 128
    properties take about a second on one thread.

    Args:
        latents_train, latents_test: 0 or above.
        properties_train, properties_test: True where the property holds.
        shares: thresholds, as shares of a latent's maximum over the train positions; a latent fires strictly above.

    Returns:
        F1 = 2 TP / (2 TP + FP + FN) of each property, from 0 to 1; 0 if it never holds on one of the sides, or if no
        latent fires where it holds.

    Raises:
        ValueError: If the shapes do not fit, properties are not bool, or there are no shares.
    """
    for side, latents, properties in (
        ("train", latents_train, properties_train),
        ("test", latents_test, properties_test),
    ):
        if latents.ndim != 2 or properties.ndim != 2 or len(latents) != len(properties) or not len(latents):
            raise ValueError(
                f"latents_{side} must be [position latent] and properties_{side} [position property], got "
                f"{tuple(latents.shape)} and {tuple(properties.shape)}; flatten games and moves into positions"
            )
        if properties.dtype != torch.bool:
            raise ValueError(f"properties_{side} must be bool, got {properties.dtype}; compare the board with a state")
    if latents_train.shape[1] != latents_test.shape[1] or properties_train.shape[1] != properties_test.shape[1]:
        raise ValueError(
            f"train and test must have the same latents and properties, got {latents_train.shape[1]} and "
            f"{latents_test.shape[1]} latents, {properties_train.shape[1]} and {properties_test.shape[1]} properties"
        )
    if not len(shares):
        raise ValueError("shares must hold at least one number, got none; (0.0,) asks whether a latent fires at all")
    top, holds = latents_train.amax(dim=0), properties_train.float()  # counts below 2²⁴ are exact in float32
    n_holds = holds.sum(dim=0)  # [property]
    best = torch.zeros_like(n_holds)
    latent, threshold = torch.zeros_like(n_holds, dtype=torch.long), torch.full_like(n_holds, torch.inf)
    for share in shares:
        on = (latents_train > share * top).float()
        f1 = 2 * (on.T @ holds) / (on.sum(dim=0)[:, None] + n_holds).clamp(min=1)  # [latent property]
        value, which = f1.max(dim=0)
        better = value > best
        best, latent = torch.where(better, value, best), torch.where(better, which, latent)
        threshold = torch.where(better, share * top[which], threshold)
    fires = latents_test[:, latent] > threshold  # [other property], each by its own latent; never above infinity
    hits = (fires & properties_test).sum(dim=0)
    return 2 * hits / (fires.sum(dim=0) + properties_test.sum(dim=0)).clamp(min=1)
