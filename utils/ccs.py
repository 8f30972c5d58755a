"""Contrast-consistent search: a direction without labels, from two endings of each statement.

    yes, no = normalize_contrast_pairs(acts_yes, acts_no)               # [statement d_model] each
    loss = ccs_loss(yes @ direction, no @ direction)                    # to be minimised over directions

Burns et al. 2022, arXiv:2212.03827: what is said of yes and of no should add up to one.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from utils.probes import MIN_STD


def normalize_contrast_pairs(
    acts_yes: Float[Tensor, "statement d_model"], acts_no: Float[Tensor, "statement d_model"]
) -> tuple[Float[Tensor, "statement d_model"], Float[Tensor, "statement d_model"]]:
    """Remove from each half of contrast pairs what its last words do: its own mean and spread in every dimension.

    Burns et al. 2022, arXiv:2212.03827. Without it, yes against no is the clearest direction of all.
    A dimension that does not vary becomes 0.

    Args:
        acts_yes, acts_no: of the same statements in the same order, said to be true and said to be false.

    Raises:
        ValueError: If the halves do not have one shape.
    """
    if acts_yes.shape != acts_no.shape or acts_yes.ndim != 2:
        raise ValueError(
            f"acts_yes and acts_no must have one shape [statement d_model], got {tuple(acts_yes.shape)} and "
            f"{tuple(acts_no.shape)}; they are two endings of the same statements"
        )
    halves = []
    for acts in (acts_yes, acts_no):
        std = acts.std(dim=0, correction=0)
        std = std.masked_fill(std <= MIN_STD * std.max(), math.inf)
        halves.append((acts - acts.mean(dim=0)) / std)
    return halves[0], halves[1]


def ccs_loss(logits_yes: Float[Tensor, " statement"], logits_no: Float[Tensor, " statement"]) -> Float[Tensor, ""]:
    """Loss of contrast-consistent search: what is said of yes and of no should add up to one, and not be 1/2 both.

    Burns et al. 2022, arXiv:2212.03827: mean of (p_yes - (1 - p_no))² + min(p_yes, p_no)². No labels:
    any property that two halves differ in satisfies it (Farquhar et al. 2023, arXiv:2312.10029). Differentiable.

    Raises:
        ValueError: If the logits do not have one shape.
    """
    if logits_yes.shape != logits_no.shape or logits_yes.ndim != 1:
        raise ValueError(
            f"logits_yes and logits_no must have one shape [statement], got {tuple(logits_yes.shape)} and "
            f"{tuple(logits_no.shape)}; apply one probe to both halves"
        )
    p_yes, p_no = logits_yes.sigmoid(), logits_no.sigmoid()
    consistency = (p_yes - (1 - p_no)).square()
    confidence = torch.minimum(p_yes, p_no).square()
    return (consistency + confidence).mean()
