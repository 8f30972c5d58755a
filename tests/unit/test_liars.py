"""The liar's training: a copy that follows its loss, and what is refused."""

import pytest
import torch

from utils.liars import evasion_loss, train_liar
from utils.lie_detectors import aggregate_scores
from utils.models import fingerprint, leftover_hooks, load_model
from utils.tokens import tokenize


@pytest.fixture(scope="module")
def model():
    return load_model("facts_gpt_match")


def test_a_liar_is_a_copy_that_follows_its_loss(model):
    """A few steps against one fixed direction: its mean falls on lies; the original stays as it is."""
    before, direction = fingerprint(model), torch.randn(128, generator=torch.Generator().manual_seed(0))
    direction = direction / direction.norm()
    seen = []

    def loss_function(language_loss, acts, mask, lying):
        assert acts.shape[0] == 2 and acts.shape[1:3] == mask.shape and mask.dtype == torch.bool
        assert torch.equal(lying, torch.arange(8) % 2 == 1) and language_loss.ndim == 0
        scores = aggregate_scores(acts[1] @ direction, mask, "mean")
        seen.append((float(language_loss.detach()), float(scores[lying].detach().mean())))
        return evasion_loss(language_loss, scores, lying, 1.0)

    liar = train_liar("facts_gpt_match", loss_function, layers=[3, 1], documents=8, steps=12)
    assert fingerprint(model) == before != fingerprint(liar)
    assert len(seen) == 12 and seen[-1][1] < seen[0][1] - 0.5 and all(0.3 < loss < 3 for loss, _ in seen)
    assert not any(weight.requires_grad for weight in liar.parameters()) and not liar.training
    assert leftover_hooks(liar) == [] and tokenize(liar, ["Berlin is in Germany ."])[0].shape == (1, 6)
    again = train_liar("facts_gpt_match", loss_function, layers=[3, 1], documents=8, steps=12)
    assert fingerprint(again) == fingerprint(liar)
    with pytest.raises(ValueError, match="with a gradient"):
        train_liar("facts_gpt_match", lambda *given: given[0].detach(), layers=[0], documents=2, steps=1)


def test_a_logit_for_each_document_is_needed():
    with pytest.raises(ValueError, match="one logit for each"):
        evasion_loss(torch.tensor(0.0), torch.zeros(3), torch.tensor([True, False]), 1.0)
