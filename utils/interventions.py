"""Changing activations on purpose: erase a feature, and turn a probe's weight into the direction to push along.

    eraser = fit_leace_eraser(acts, labels)               # on the training split
    erased = eraser(acts)                                 # [batch d_model]: no linear probe finds labels any more
    direction = pattern_from_filter(acts, probe.weight)   # [d_model]

Everything is fitted on acts in model units. What an eraser misses on new examples is part of its result: fit the
probe that looks for the feature on examples that the eraser has not seen.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

RELATIVE_VARIANCE = 1e-6  # directions with less than this share of the largest variance count as constant
MIN_DISTANCE = 1e-4  # of class means in whitened acts, where the spread is 1; nearer than that is rounding of float32


@dataclass(frozen=True, eq=False)
class LinearEraser:
    """An affine map of activations: erased = acts · matrixᵀ + bias.

    matrix: [d_model d_model].
    bias: [d_model].
    """

    matrix: Float[Tensor, "d_model d_model"]
    bias: Float[Tensor, " d_model"]

    def __post_init__(self) -> None:
        matrix, bias = (value.shape if isinstance(value, Tensor) else None for value in (self.matrix, self.bias))
        if bias is None or len(bias) != 1 or matrix != (*bias, *bias):
            raise ValueError(
                f"matrix must be [d_model d_model] and bias [d_model], got {_shape(self.matrix)} and "
                f"{_shape(self.bias)}; the bias is a vector, what the matrix took away from the mean"
            )
        if self.matrix.dtype != self.bias.dtype:
            raise ValueError(f"bias must be {self.matrix.dtype} like matrix, got {self.bias.dtype}; use bias.to(...)")

    def __call__(self, acts: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Erase from activations in model units.

        Raises:
            ValueError: If acts have another d_model.
        """
        if acts.shape[-1:] != self.bias.shape:
            raise ValueError(
                f"acts must be [*batch d_model] with d_model {len(self.bias)}, got {tuple(acts.shape)}; "
                "use the eraser on the model and layer that it was fitted on"
            )
        return acts.to(self.matrix.dtype) @ self.matrix.mT + self.bias


@torch.no_grad()
def fit_leace_eraser(acts: Float[Tensor, "batch d_model"], labels: Bool[Tensor, " batch"]) -> LinearEraser:
    """Fit LEACE for one label: the smallest change after which both classes have the same mean.

    Belrose et al. 2023, arXiv:2306.03819: after it no linear probe beats the constant one on these
    examples, and among all such maps it changes acts least, in every quadratic measure at once. On other examples that
    holds only as far as mean and covariance are the same: with 384 dimensions a probe still finds the label there
    until the eraser has seen many thousand.

    Args:
        acts: resid_post of one layer and position, in model units; training split only.
        labels: True for the positive class; both classes must occur.

    Returns:
        Eraser in the dtype of acts; computed in float64.

    Raises:
        ValueError: If only one class occurs, all examples are alike, or acts or labels are not as above.
    """
    if acts.ndim != 2 or labels.dtype != torch.bool or labels.shape != acts.shape[:1]:
        raise ValueError(
            f"acts must be [batch d_model] and labels bool [batch], got {tuple(acts.shape)} and {labels.dtype} "
            f"{tuple(labels.shape)}; use labels > 0 or labels.bool(), and index both with the same split"
        )
    n_pos = int(labels.sum())
    if n_pos in (0, len(labels)):
        raise ValueError(f"labels must be of both classes, got {n_pos} True of {len(labels)}; check the split")
    if not acts.isfinite().all():
        raise ValueError("acts must be finite, got NaN or infinity; look for a wrong hook or padding")
    x = acts.double()
    mean = x.mean(dim=0)
    difference = x[labels].mean(dim=0) - x[~labels].mean(dim=0)
    return leace_from_moments(mean, (x - mean).T @ (x - mean) / len(x), difference, dtype=acts.dtype)


def leace_from_moments(
    mean: Float[Tensor, " d_model"],
    covariance: Float[Tensor, "d_model d_model"],
    difference: Float[Tensor, " d_model"],
    *,
    dtype: torch.dtype,
) -> LinearEraser:
    """LEACE for one label from all that it needs to know, in float64: see fit_leace_eraser.

    Args:
        mean, covariance: of all examples; the covariance divides by their number.
        difference: of the two class means.
        dtype: of the eraser.

    Raises:
        ValueError: If all examples are alike.
    """
    variance, axes = torch.linalg.eigh(covariance)  # ascending; axes in columns
    kept = variance > RELATIVE_VARIANCE * variance[-1]
    if not kept.any():
        raise ValueError("acts must vary, got the same vector for all examples; check layer and position")
    scale, axes = variance[kept].sqrt(), axes[:, kept]
    line = difference @ axes / scale  # [kept], the class means after whitening
    line = line / line.norm() if line.norm() > MIN_DISTANCE else torch.zeros_like(line)  # equal already: nothing goes
    gone = torch.outer(axes @ (scale * line), axes @ (line / scale))  # [d_model d_model]
    matrix = torch.eye(len(mean), dtype=gone.dtype, device=gone.device) - gone
    return LinearEraser(matrix=matrix.to(dtype), bias=(gone @ mean).to(dtype))


@torch.no_grad()
def pattern_from_filter(
    acts: Float[Tensor, "batch d_model"], weight: Float[Tensor, " d_model"]
) -> Float[Tensor, " d_model"]:
    """Turn the weight that reads a feature into the direction that goes with it: how acts change per unit of logit.

    Haufe et al. 2014, doi:10.1016/j.neuroimage.2013.10.067, one target: covariance · weight / variance of the logit.
    The weight of a probe also cancels noise, so its large entries need not belong to the feature. For a least-squares
    probe the pattern is the mass-mean direction, up to its length.

    Args:
        acts: in model units; the examples the probe was fitted on.
        weight: of one probe.

    Raises:
        ValueError: If shapes do not fit, or the logit is the same for all examples.
    """
    if acts.ndim != 2 or weight.shape != acts.shape[1:]:
        raise ValueError(
            f"acts must be [batch d_model] and weight [d_model], got {tuple(acts.shape)} and {tuple(weight.shape)}"
        )
    centred = acts - acts.mean(dim=0)
    logits = centred @ weight  # [batch]
    variance = logits.square().sum()
    if not variance > 0:
        raise ValueError("weight must give examples different logits, got the same for all; is it zero?")
    return logits @ centred / variance


def _shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else f"a {type(value).__name__}"
