"""Edits while the model runs: they reach what comes after them, nothing stays behind, and what is refused."""

import pytest
import torch

from utils.activations import cache_resid_post
from utils.models import leftover_hooks, load_model
from utils.steering import add_direction, normalized_indirect_effect, run_with_edit, swap_vector
from utils.tokens import tokenize


@pytest.fixture(scope="module")
def model():
    return load_model("facts_gpt_match")


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


def test_what_does_not_fit_is_refused():
    resid, pos = torch.zeros(2, 3, 4), torch.tensor([0, 2])
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
