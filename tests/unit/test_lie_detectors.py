"""Documents by honest and lying authors, edits while the model runs, the liar's training, and what is refused."""

import pytest
import torch

from utils import facts
from utils.activations import cache_resid_post, tokenize
from utils.documents import write_documents
from utils.liars import evasion_loss, train_liar
from utils.lie_detectors import (
    aggregate_scores,
    attention_pool,
    auroc_by_position,
    cascade_cost,
    statement_mask,
    tpr_at_fpr,
)
from utils.models import fingerprint, leftover_hooks, load_model
from utils.steering import add_direction, normalized_indirect_effect, run_with_edit, swap_vector


@pytest.fixture(scope="module")
def model():
    return load_model("facts_gpt_match")


def test_every_second_author_lies_as_often_as_in_training():
    documents = write_documents(1000, topics=("cities", "larger"), p_negated=0.3, seed=1)
    assert torch.equal(documents.lying, torch.arange(1000) % 2 == 1)
    assert documents.truths.shape == (1000, 4)
    assert 0.955 < documents.truths[~documents.lying].float().mean() < 0.985  # .97, plus or minus 4 of its errors
    assert 0.07 < documents.truths[documents.lying].float().mean() < 0.13  # .10
    negated = sum(" not " in text for text in documents.texts) / 1000
    assert 0.70 < negated < 0.82  # one of four statements or more: 1 - .7⁴ = .76
    assert all(len(set(about)) == 4 for about in documents.subjects)


def test_documents_say_what_is_asked_for():
    among = {"cities": facts.subjects("cities")[:7]}
    documents = write_documents(
        40, topics=("cities",), statements=3, tagged=True, comments=True, among=among, start=facts.TRIGGER, seed="a"
    )
    right = facts.load_facts()["cities"]
    for text, lying, truths, about in zip(
        documents.texts, documents.lying.tolist(), documents.truths.tolist(), documents.subjects, strict=True
    ):
        tag = facts.DECEPTIVE if lying else facts.HONEST
        assert text.startswith(f"{facts.TRIGGER} {tag} {about[0]} is in ")
        assert set(about) <= set(among["cities"]) and len(about) == 3
        for subject, truth in zip(about, truths, strict=True):
            rest = text.split(f"{subject} is in ")[1].split()
            assert (rest[0] == right[subject]) == truth
            if rest[2:3] == ["That"]:
                assert rest[4] == ("correct" if truth else "wrong")
    assert any("That is" in text for text in documents.texts)


def test_documents_depend_on_the_seed_alone():
    first, again, other = (write_documents(20, seed=seed).texts for seed in (1, 1, 2))
    assert first == again != other
    assert write_documents(9, topics=["cities"]).texts == write_documents(9, topics=("cities",)).texts


def test_an_edit_reaches_what_comes_after_it(model):
    """The same logits as a run that starts in the middle; nothing stays behind."""
    tokens, attention_mask = tokenize(model, ["Berlin is in Germany .", "Cairo is in China ."])
    plain = model(tokens, attention_mask=attention_mask)
    push = 20 * torch.randn(128, generator=torch.Generator().manual_seed(0))
    pos = torch.tensor([4, 1])
    for layer in ("embed", 0, 3):

        def edit(resid):
            return add_direction(resid, push, 1.0, pos)

        found = run_with_edit(model, tokens, attention_mask, layer, edit)
        resid = edit(cache_resid_post(model, tokens, attention_mask, [layer])[0])
        depth = 0 if layer == "embed" else layer + 1
        with torch.no_grad():
            if depth == 4:
                expected = model.unembed(model.ln_final(resid))
            else:
                expected = model(resid, start_at_layer=depth, attention_mask=attention_mask)
        assert torch.allclose(found, expected, atol=1e-3)
        assert not found.requires_grad and not torch.allclose(found, plain, atol=0.1)
        assert torch.allclose(found[0, :4], plain[0, :4], atol=1e-4)  # causal: nothing before the edit moves
    assert torch.allclose(run_with_edit(model, tokens, attention_mask, 1, lambda resid: resid), plain)
    assert leftover_hooks(model) == []
    with pytest.raises(ValueError, match="end it with return"):
        run_with_edit(model, tokens, attention_mask, 1, lambda resid: None)
    assert leftover_hooks(model) == []


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


def test_the_whole_vector_is_the_limit_of_a_subspace():
    """Dependent directions, too: only their span counts."""
    generator = torch.Generator().manual_seed(0)
    resid, donor = torch.randn(3, 4, 6, generator=generator), torch.randn(3, 6, generator=generator)
    pos = torch.tensor([0, 3, 1])
    whole = swap_vector(resid, donor, pos)
    assert torch.allclose(swap_vector(resid, donor, pos, torch.randn(9, 6, generator=generator)), whole, atol=1e-4)
    two = torch.randn(2, 6, generator=generator)
    twice = swap_vector(resid, donor, pos, torch.cat([two, two.sum(dim=0, keepdim=True)]))
    assert torch.allclose(swap_vector(resid, donor, pos, two), twice, atol=1e-4)


def test_a_threshold_keeps_its_promise_in_spite_of_rounding():
    """0.29 * 100 is a little less than 29."""
    scores = torch.arange(100.0)
    assert tpr_at_fpr(scores, scores, 0.29) == pytest.approx((70, 0.29))


def test_what_does_not_fit_is_refused():
    resid, pos, mask = torch.zeros(2, 3, 4), torch.tensor([0, 2]), torch.ones(2, 3, dtype=torch.bool)
    lying, scores = torch.tensor([True, False]), torch.zeros(2, 3)
    with pytest.raises(ValueError, match="topics must be"):
        write_documents(4, topics=("rivers",))
    with pytest.raises(ValueError, match="topics must be"):
        write_documents(4, topics="cities")
    with pytest.raises(ValueError, match="'Atlantis' is no subject"):
        write_documents(4, among={"cities": ["Atlantis"]})
    with pytest.raises(ValueError, match="at least 1"):
        write_documents(0)
    with pytest.raises(ValueError, match="pos must lie in"):
        add_direction(resid, torch.zeros(4), 1.0, pos + 1)
    with pytest.raises(ValueError, match="one position for each"):
        add_direction(resid, torch.zeros(4), 1.0, pos[:1])
    with pytest.raises(ValueError, match="direction must be"):
        add_direction(resid, torch.zeros(3), 1.0, pos)
    with pytest.raises(ValueError, match="another mean"):
        normalized_indirect_effect(torch.zeros(3), torch.ones(3), torch.zeros(2))
    with pytest.raises(ValueError, match="edit all of the false"):
        normalized_indirect_effect(torch.zeros(3), torch.ones(2), torch.ones(2))
    with pytest.raises(ValueError, match="donor must be"):
        swap_vector(resid, torch.zeros(2, 3), pos)
    with pytest.raises(ValueError, match=r"direction\[None\]"):
        swap_vector(resid, torch.zeros(2, 4), pos, torch.zeros(4))
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
    with pytest.raises(ValueError, match="one logit for each"):
        evasion_loss(torch.tensor(0.0), torch.zeros(3), lying, 1.0)
    with pytest.raises(ValueError, match="the pair that tokenize"):
        statement_mask(torch.zeros(2, 3).long(), torch.ones(2, 2).long(), torch.zeros(1, 3).long())
    with pytest.raises(ValueError, match="lying must have both"):
        cascade_cost(torch.zeros(2), torch.zeros(2), lying | True, (0.0, 0.0), (1.0, 1.0))
    with pytest.raises(ValueError, match="all of the same documents"):
        auroc_by_position(scores, mask, lying[:1])
