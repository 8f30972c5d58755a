"""What sparse autoencoders compute and minimise, as functions of tensors; and the toy model of superposition.

    loss = toy_loss(weight, bias, features, importance)        # five features in two dimensions
    latents = sae_encode(acts, W_enc, b_enc, b_dec, k=32)      # [batch d_sae], 0 or above
    reconstruction = sae_decode(latents, W_dec, b_dec)         # [batch d_model]
    loss = sae_loss(acts, latents, reconstruction, W_dec, l1)  # all of these pass a gradient on
    latents = topk(pre, k)                                     # of each vector, as sae_encode does with k
    latents = batch_topk(pre, k, threshold=0.3)                # alike alone and in any batch
    latents = jumprelu(pre, threshold)
    gradient = l0_threshold_gradient(pre, threshold, window=0.1)                # straight through the step
    probabilities = resampling_probabilities(acts, reconstruction)              # where a dead latent starts again

A trained SAE as one object, from a file, is in utils/saes.py; how ours are trained is in utils/training/sae.py.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def toy_loss(
    weight: Float[Tensor, "feature hidden"],
    bias: Float[Tensor, " feature"],
    features: Float[Tensor, "batch feature"],
    importance: Float[Tensor, " feature"],
) -> Float[Tensor, ""]:
    """What is lost of features that go through few dimensions: x' = relu(x W W^T + bias), against x.

    Elhage et al. 2022, Toy Models of Superposition, arXiv:2209.10652. Squared errors, each weighed by its feature's
    importance, summed over features; mean over the batch.

    Args:
        features: 0 or above, sparse; a feature is what the toy represents, and known here.

    Raises:
        ValueError: If the shapes do not fit.
    """
    if weight.ndim != 2 or features.ndim != 2 or features.shape[1] != len(weight):
        raise ValueError(
            f"weight must be [feature hidden] and features [batch feature], got {tuple(weight.shape)} and "
            f"{tuple(features.shape)}; give one row of weight to each feature"
        )
    _check_shape("bias", bias, "feature", weight.shape[:1])
    _check_shape("importance", importance, "feature", weight.shape[:1])
    reconstruction = torch.relu(features @ weight @ weight.T + bias)  # [batch feature]
    return ((features - reconstruction).square() @ importance).mean()


def sae_encode(
    acts: Float[Tensor, "batch d_model"],
    W_enc: Float[Tensor, "d_model d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    b_dec: Float[Tensor, " d_model"],
    k: int | None = None,
) -> Float[Tensor, "batch d_sae"]:
    """Latents of activations: relu of (acts - b_dec) W_enc + b_enc, with k of its k largest in each vector.

    Without k as in Bricken et al. 2023, Towards Monosemanticity; with k as in Gao et al. 2024, arXiv:2406.04093, and
    a relu, so that a vector with fewer than k pre-activations above 0 has fewer than k latents.

    Args:
        acts: in the units that the SAE was trained on.

    Raises:
        ValueError: If the shapes do not fit, or k is not from 1 to d_sae.
    """
    if W_enc.ndim != 2 or acts.ndim != 2 or acts.shape[1] != len(W_enc):
        raise ValueError(
            f"acts must be [batch d_model] and W_enc [d_model d_sae], got {tuple(acts.shape)} and "
            f"{tuple(W_enc.shape)}; use the SAE on the model and layer that it was trained on"
        )
    _check_shape("b_enc", b_enc, "d_sae", W_enc.shape[1:])
    _check_shape("b_dec", b_dec, "d_model", W_enc.shape[:1])
    pre = (acts - b_dec) @ W_enc + b_enc  # [batch d_sae]
    if k is None:
        return pre.relu()
    _check_k(k, W_enc.shape[1])
    return topk(pre, k)


def sae_decode(
    latents: Float[Tensor, "batch d_sae"],
    W_dec: Float[Tensor, "d_sae d_model"],
    b_dec: Float[Tensor, " d_model"],
) -> Float[Tensor, "batch d_model"]:
    """The reconstruction: each latent times its own row of W_dec, as long as it is, summed, plus b_dec.

    Raises:
        ValueError: If the shapes do not fit.
    """
    if W_dec.ndim != 2 or latents.ndim != 2 or latents.shape[1] != len(W_dec):
        raise ValueError(
            f"latents must be [batch d_sae] and W_dec [d_sae d_model], got {tuple(latents.shape)} and "
            f"{tuple(W_dec.shape)}; W_dec has one row for each latent"
        )
    _check_shape("b_dec", b_dec, "d_model", W_dec.shape[1:])
    return latents @ W_dec + b_dec


def sae_loss(
    acts: Float[Tensor, "batch d_model"],
    latents: Float[Tensor, "batch d_sae"],
    reconstruction: Float[Tensor, "batch d_model"],
    W_dec: Float[Tensor, "d_sae d_model"],
    l1: float,
) -> Float[Tensor, ""]:
    """Squared error, summed over d_model, plus l1 times the latents, each weighed by its row's length, summed.

    Means over the batch. Conerly et al. 2024, Anthropic's Circuits Updates of April 2024: with the lengths in it, small
    latents with long rows are not cheaper. With rows of length 1, as Bricken et al. 2023 keep them, this is plain L1.

    Args:
        latents: 0 or above; negative ones would lower the penalty.
        l1: price of the latents, 0 or above.

    Raises:
        ValueError: If the shapes do not fit, or l1 is negative.
    """
    if acts.ndim != 2 or reconstruction.shape != acts.shape:
        raise ValueError(
            f"acts and reconstruction must both be [batch d_model], got {tuple(acts.shape)} and "
            f"{tuple(reconstruction.shape)}; decode the latents of these acts"
        )
    if W_dec.ndim != 2 or latents.shape != (len(acts), len(W_dec)) or W_dec.shape[1:] != acts.shape[1:]:
        raise ValueError(
            f"latents must be [batch d_sae] and W_dec [d_sae d_model], for acts {tuple(acts.shape)}, got "
            f"{tuple(latents.shape)} and {tuple(W_dec.shape)}; W_dec has one row for each latent"
        )
    if l1 < 0:
        raise ValueError(f"l1 must be 0 or above, got {l1}; it is what latents cost")
    error = (acts - reconstruction).square().sum(dim=1)  # [batch]
    return (error + l1 * (latents @ torch.linalg.vector_norm(W_dec, dim=1))).mean()


def topk(pre: Float[Tensor, "*batch d_sae"], k: int) -> Float[Tensor, "*batch d_sae"]:
    """Latents, 0 or above: relu of the k largest of each vector, 0 elsewhere. Gao et al. 2024, arXiv:2406.04093."""
    top = pre.topk(k, dim=-1)  # [*batch k]
    return torch.zeros_like(pre).scatter(-1, top.indices, top.values.relu())


def batch_topk(
    pre: Float[Tensor, "batch d_sae"], k: int, threshold: float | None = None
) -> Float[Tensor, "batch d_sae"]:
    """Latents, 0 or above: in training the batch * k largest of the whole batch, for use all above a threshold.

    BatchTopK, Bussmann et al. 2024, arXiv:2412.06410. In training a vector's latents depend on its neighbours. With a
    threshold they do not: a vector is encoded alike alone and in any batch, as by a JumpReLU SAE with one threshold.

    Args:
        pre: pre-activations, (acts - b_dec) W_enc + b_enc.
        k: latents per vector, on average; plays no part where a threshold is given.
        threshold: what is strictly above it is kept; from training, about the smallest latent that got through.

    Raises:
        ValueError: If pre is no matrix, or k is not from 1 to d_sae in training.
    """
    if pre.ndim != 2:
        raise ValueError(f"pre must be [batch d_sae], got {tuple(pre.shape)}; write pre[None] for a single vector")
    if threshold is not None:
        return pre.relu() * (pre > threshold)
    _check_k(k, pre.shape[1])
    return topk(pre.flatten(), k * len(pre)).view_as(pre)


def _check_shape(name: str, value: Tensor, axis: str, wanted: torch.Size) -> None:
    if value.shape != wanted:
        raise ValueError(
            f"{name} must be [{axis}] {tuple(wanted)}, got {tuple(value.shape)}; take that of the same model"
        )


def _check_k(k: int, d_sae: int) -> None:
    if not 1 <= k <= d_sae:
        raise ValueError(f"k must be from 1 to d_sae {d_sae}, got {k}; it is how many latents of a vector are kept")


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
