"""What a sparse autoencoder is judged by beside its error, and what its training needs: functions of tensors.

    loss_recovered(clean, ablated, reconstructed)              # 1: as good as the network itself
    coverage = board_coverage(latents_train, properties_train, latents_test, properties_test)  # F1 of each property
    probabilities = resampling_probabilities(acts, reconstruction)                 # where a dead latent starts again
    latents = jumprelu(pre, threshold)
    gradient = l0_threshold_gradient(pre, threshold, window=0.1)                   # straight through the step

Error, L0 and dead latents are in utils.saes, with a loss_recovered that runs the model itself.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of a latent's maximum: the thresholds that are tried


def loss_recovered(
    clean: Float[Tensor, " token"], ablated: Float[Tensor, " token"], reconstructed: Float[Tensor, " token"]
) -> float:
    """How much of what a layer contributes to predicting the next token its reconstruction keeps: 1 all, 0 nothing.

    Averages first, then one division. Not clipped: below 0 the mean would have been better.

    Args:
        clean: next-token loss of each token, in nats, of the network as it is; real tokens only.
        ablated: the same with the layer's stream replaced by its mean, a harder baseline than zeros.
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


def resampling_probabilities(
    acts: Float[Tensor, "batch d_model"], reconstruction: Float[Tensor, "batch d_model"]
) -> Float[Tensor, " batch"]:
    """Probability of each input to become the new direction of a dead latent: proportional to its loss squared.

    Bricken et al. 2023, Towards Monosemanticity, on resampling. The loss is the squared error of the input, summed over
    d_model; so the probability goes with the fourth power of the distance. Uniform if every loss is 0.

    Raises:
        ValueError: If the shapes differ, or there are no inputs.
    """
    if acts.ndim != 2 or reconstruction.shape != acts.shape or not len(acts):
        raise ValueError(
            f"acts and reconstruction must both be [batch d_model], at least one vector, got {tuple(acts.shape)} and "
            f"{tuple(reconstruction.shape)}; flatten positions into the batch"
        )
    losses = (acts - reconstruction).double().square().sum(dim=1)
    if not losses.any():
        return torch.full_like(acts[:, 0], 1 / len(acts))
    weights = (losses / losses.max()).square()  # the largest is 1, so nothing overflows
    return (weights / weights.sum()).to(acts.dtype)


def jumprelu(pre: Float[Tensor, "batch d_sae"], threshold: Float[Tensor, " d_sae"]) -> Float[Tensor, "batch d_sae"]:
    """Keep what is above its latent's threshold, as it is, and make the rest 0.

    Rajamanoharan et al. 2024, arXiv:2407.14435.

    Args:
        pre: the encoder's output before any nonlinearity.
        threshold: of each latent; 0 or above, so that no latent is negative.

    Raises:
        ValueError: If threshold does not fit pre, or is below 0 somewhere.
    """
    _check_threshold(pre, threshold)
    if (threshold < 0).any():
        raise ValueError(f"threshold must be 0 or above, got {float(threshold.min()):.3g}; train its logarithm")
    return torch.where(pre > threshold, pre, 0)


def l0_threshold_gradient(
    pre: Float[Tensor, "batch d_sae"], threshold: Float[Tensor, " d_sae"], window: float
) -> Float[Tensor, " d_sae"]:
    """Estimate of the gradient of the mean L0 with respect to each threshold, where autograd gives 0.

    Rajamanoharan et al. 2024, arXiv:2407.14435, with a rectangular window: minus the share of vectors whose pre lies
    within half a window of the threshold, per unit of window. It estimates minus the density of pre at the threshold.

    Args:
        window: width, in units of pre; wider is less noisy and more biased.

    Raises:
        ValueError: If threshold does not fit pre, or window is not above 0.
    """
    _check_threshold(pre, threshold)
    if window <= 0:
        raise ValueError(f"window must be above 0, got {window}; a tenth of the spread of pre is a start")
    near = (pre - threshold).abs() < window / 2  # [batch d_sae]
    return -near.to(pre.dtype).mean(dim=0) / window


def _check_threshold(pre: Float[Tensor, "batch d_sae"], threshold: Float[Tensor, " d_sae"]) -> None:
    if pre.ndim != 2 or threshold.shape != pre.shape[1:] or not len(pre):
        raise ValueError(
            f"pre must be [batch d_sae], at least one vector, and threshold [d_sae], got {tuple(pre.shape)} and "
            f"{tuple(threshold.shape)}; each latent has a threshold of its own"
        )
