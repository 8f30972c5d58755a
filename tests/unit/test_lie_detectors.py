"""Detectors of lies: a threshold keeps its promise, and what does not fit is refused."""

import pytest
import torch

from utils.lie_detectors import (
    aggregate_scores,
    attention_pool,
    auroc_by_position,
    cascade_cost,
    statement_mask,
    tpr_at_fpr,
)


def test_a_threshold_keeps_its_promise_in_spite_of_rounding():
    """0.29 * 100 is a little less than 29."""
    scores = torch.arange(100.0)
    assert tpr_at_fpr(scores, scores, 0.29) == pytest.approx((70, 0.29))


def test_what_does_not_fit_is_refused():
    resid, mask = torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    lying, scores = torch.tensor([True, False]), torch.zeros(2, 3)
    with pytest.raises(ValueError, match="fpr must be"):
        tpr_at_fpr(torch.zeros(3), torch.zeros(3), 1.0)
    with pytest.raises(ValueError, match="aggregate over tokens first"):
        tpr_at_fpr(scores, torch.zeros(3), 0.1)
    with pytest.raises(ValueError, match="one of mean, max, last"):
        aggregate_scores(scores, mask, "sum")
    with pytest.raises(ValueError, match=r"attention_mask.bool"):
        aggregate_scores(scores, mask.long(), "mean")
    with pytest.raises(ValueError, match="none at index 1"):
        attention_pool(resid, torch.tensor([[True] * 3, [False] * 3]), torch.zeros(4), torch.zeros(4))
    with pytest.raises(ValueError, match="query and value"):
        attention_pool(resid, mask, torch.zeros(3), torch.zeros(4))
    with pytest.raises(ValueError, match="the pair that tokenize"):
        statement_mask(torch.zeros(2, 3).long(), torch.ones(2, 2).long(), torch.zeros(1, 3).long())
    with pytest.raises(ValueError, match="lying must have both"):
        cascade_cost(torch.zeros(2), torch.zeros(2), lying | True, (0.0, 0.0), (1.0, 1.0))
    with pytest.raises(ValueError, match="all of the same documents"):
        auroc_by_position(scores, mask, lying[:1])
