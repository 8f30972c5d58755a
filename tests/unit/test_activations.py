"""Activations are those of Hugging Face, padding does not leak, memory and order hold, and errors name the cure."""

import pytest
import torch
import transformers
from torch.testing import assert_close

from utils import activations, models, weights
from utils.activations import cache_pooled, cache_positions, cache_resid_post, pool_mean
from utils.models import leftover_hooks, random_model
from utils.tokens import tokenize

TEXTS = ["rust", "deep blue", "a rather longer description of a colour between green and grey", "off white", "sea"]
ALL_LAYERS = ["embed", 0, 1, 2, 3, 4, 5]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=["bert", "gpt2"])
def model(request):
    return random_model(request.param, n_layers=3)


def batch_of(model, lengths, pos, *, left=False, seed=0):
    """Random tokens with rows of the given lengths; random tokens stand at the padding, too."""
    tokens = torch.randint(model.cfg.d_vocab, (len(lengths), pos), generator=torch.Generator().manual_seed(seed))
    real = torch.arange(pos) < torch.tensor(lengths).unsqueeze(1)
    return tokens, (real.flip(1) if left else real).long()


# ---- cache_resid_post


def test_every_layer_of_minilm_equals_hugging_face(minilm):
    hf_model = transformers.AutoModel.from_pretrained(weights.minilm_folder(), attn_implementation="eager").eval()
    tokens, mask = tokenize(minilm, TEXTS)
    with torch.no_grad():
        expected = hf_model(tokens, attention_mask=mask, output_hidden_states=True).hidden_states
    acts = cache_resid_post(minilm, tokens, mask, ALL_LAYERS)
    assert acts.shape == (7, *tokens.shape, 384)
    assert_close(acts, torch.stack(expected), atol=1e-5, rtol=0)


def test_layers_come_in_the_order_asked_for(model):
    tokens, mask = batch_of(model, [5, 3], 5)
    _, cache = model.run_with_cache(tokens, attention_mask=mask)
    places = ["2.hook_resid_post", "0.hook_resid_pre", "0.hook_resid_post", "2.hook_resid_post"]
    acts = cache_resid_post(model, tokens, mask, [2, "embed", 0, 2])
    assert torch.equal(acts, torch.stack([cache[f"blocks.{place}"] for place in places]))


@pytest.mark.parametrize("layers", [["embed"], [0], [1], [2], ["embed", 1], range(3), torch.arange(3)])
def test_nothing_runs_after_the_last_layer_needed(model, layers):
    tokens, mask = batch_of(model, [5, 3], 5)
    ran = []
    watched = [f"blocks.{layer}.attn.hook_out" for layer in range(3)] + ["unembed.hook_in"]
    hooks = [(name, lambda acts, hook, name=name: ran.append(name)) for name in watched]
    with model.hooks(fwd_hooks=hooks):
        acts = cache_resid_post(model, tokens, mask, layers)
    deepest = max(-1 if layer == "embed" else int(layer) for layer in layers)
    assert ran == watched[: deepest + 1] and len(acts) == len(layers)


def test_the_model_is_as_before(model):
    tokens, mask = batch_of(model, [5, 3], 5)
    logits, weights = model(tokens, attention_mask=mask), models.fingerprint(model)
    for layers in (["embed"], [1], [2]):
        cache_resid_post(model, tokens, mask, layers)
    assert torch.equal(model(tokens, attention_mask=mask), logits)
    assert leftover_hooks(model) == [] and models.fingerprint(model) == weights


def test_hooks_on_the_model_take_part(model):
    tokens, mask = batch_of(model, [5, 3], 5)
    clean = cache_resid_post(model, tokens, mask, [0, 1])
    with model.hooks(fwd_hooks=[("blocks.0.hook_resid_post", lambda resid, hook: resid + 1)]):
        edited = cache_resid_post(model, tokens, mask, [0, 1])
    assert_close(edited[0], clean[0] + 1)
    assert not torch.allclose(edited[1], clean[1], atol=1e-2)


def test_acts_own_their_memory_and_serve_in_autograd(model):
    tokens, mask = batch_of(model, [5, 3], 5)
    acts = cache_resid_post(model, tokens, mask, [0, 2])
    assert not acts.requires_grad and not acts.is_inference()
    assert acts.is_contiguous() and acts.untyped_storage().nbytes() == acts.numel() * acts.element_size()
    kept = acts.clone()
    acts.zero_()
    assert torch.equal(cache_resid_post(model, tokens, mask, [0, 2]), kept)
    weight = torch.zeros(model.cfg.d_model, requires_grad=True)
    (kept @ weight).sum().backward()
    assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize("left", [False, True])
def test_padding_does_not_reach_real_tokens(model, left):
    """Alone, right-padded, left-padded, whatever stands at the padding, mask of integers or booleans: all the same."""
    tokens, mask = batch_of(model, [4, 7, 2], 7, left=left)
    acts = cache_resid_post(model, tokens, mask, ["embed", 1, 2])
    for row in range(3):
        real = mask[row].bool()
        alone = tokens[row : row + 1, real]
        expected = cache_resid_post(model, alone, torch.ones_like(alone), ["embed", 1, 2])
        assert_close(acts[:, row, real], expected[:, 0], atol=1e-5, rtol=1e-5)
    garbage = torch.where(mask.bool(), tokens, 1)
    for again in (cache_resid_post(model, garbage, mask, [2]), cache_resid_post(model, tokens, mask.bool(), [2])):
        assert_close(again[0][mask.bool()], acts[2][mask.bool()], atol=1e-5, rtol=1e-5)


def test_the_mask_matters_on_minilm(minilm):
    """The control of the test above: without the mask, real tokens read the padding."""
    tokens, mask = tokenize(minilm, TEXTS)
    with_mask, without = (cache_resid_post(minilm, tokens, m, [5])[0, 0, :3] for m in (mask, torch.ones_like(mask)))
    assert (with_mask - without).abs().max() > 0.1


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([], "at least one entry"),
        ("embed", "must be a list .* got 'embed'"),
        (1, "must be a list .* got 1"),
        ([3], "from 0 to 2, got 3; the last of 3 blocks is layer 2"),
        ([-1], "from 0 to 2, got -1"),
        (["0"], "got '0'"),
        ([1.0], "got 1.0"),
        ([True], "got True"),
    ],
)
def test_wrong_layers_are_refused(model, layers, words):
    with pytest.raises(ValueError, match=words):
        cache_resid_post(model, *batch_of(model, [5, 3], 5), layers)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, m: (t.float(), m), "integer token ids, got torch.float32"),
        (lambda t, m: (t[:0], m[:0]), r"at least one token, got shape \(0, 5\)"),
        (lambda t, m: (t[0], m[0]), r"must be \[batch pos\]"),
        (lambda t, m: (t, m[:, :4]), r"shape of tokens \(2, 5\), got \(2, 4\)"),
        (lambda t, m: (t, m * 0), r"1 somewhere in every row, got none in rows \[0, 1\]"),
        (lambda t, m: (t + 50, m), r"must lie in 0..49, got .*tokenizer of this model"),
        (lambda t, m: (t.repeat(1, 9), m.repeat(1, 9)), "at most 32 positions, got 45"),
        (lambda t, m: (t.to("meta"), m), r"model's device cpu, got meta and cpu; move them with .to\('cpu'\)"),
        (lambda t, m: (t, m.to("meta")), "model's device cpu, got cpu and meta"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(model, change, words):
    with pytest.raises(ValueError, match=words):
        cache_resid_post(model, *change(*batch_of(model, [5, 3], 5)), [0])


# ---- pool_mean


@pytest.mark.parametrize("left", [False, True])
def test_pool_mean_averages_the_word_pieces_only(left):
    acts = torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(0))  # [layer batch pos d_model]
    lengths, mask = [6, 4, 3], torch.zeros(3, 6, dtype=torch.long)
    for row, length in enumerate(lengths):
        start = 6 - length if left else 0
        mask[row, start : start + length] = 1
        acts[:, row, start], acts[:, row, start + length - 1] = 1e9, torch.nan  # [CLS] and [SEP]
        acts[:, row, mask[row] == 0] = torch.nan
    pooled = pool_mean(acts, mask)
    for row, length in enumerate(lengths):
        start = 6 - length if left else 0
        assert_close(pooled[:, row], acts[:, row, start + 1 : start + length - 1].mean(dim=1))
    assert torch.equal(pool_mean(acts, mask.bool()), pooled)
    assert torch.equal(pool_mean(acts[1], mask), pooled[1])  # no layer axis
    assert torch.equal(pool_mean(acts.unsqueeze(0), mask), pooled.unsqueeze(0))  # two of them


def test_pool_mean_is_differentiable_and_leaves_its_input_alone():
    acts, mask = torch.ones(1, 4, 2, requires_grad=True), torch.tensor([[1, 1, 1, 1]])
    pool_mean(acts, mask).sum().backward()
    assert acts.grad[0, :, 0].tolist() == [0, 0.5, 0.5, 0] and torch.equal(acts, torch.ones(1, 4, 2))


def test_pool_mean_names_the_texts_it_cannot_pool():
    acts, mask = torch.ones(2, 3, 5, 4), torch.ones(3, 5)
    mask[1, 2:] = 0
    with pytest.raises(ValueError, match=r"none in texts \[1\]; drop empty texts"):
        pool_mean(acts, mask)
    mask[1, 2:] = 1
    acts[1, 2, 3, 0] = torch.nan
    with pytest.raises(ValueError, match=r"NaN or infinity in texts \[2\]"):
        pool_mean(acts, mask)
    with pytest.raises(ValueError, match=r"attention_mask \(3, 5\), got \(2, 5, 4\)"):
        pool_mean(acts[:, 0], mask)
    with pytest.raises(ValueError, match=r"got \(3, 5\)"):
        pool_mean(mask, mask)


# ---- cache_pooled


def test_cache_pooled_equals_one_text_at_a_time(minilm):
    pooled = cache_pooled(minilm, TEXTS, ["embed", 2, 5])
    assert pooled.shape == (3, len(TEXTS), 384) and not pooled.requires_grad
    for index, text in enumerate(TEXTS):
        tokens, mask = tokenize(minilm, [text])
        alone = pool_mean(cache_resid_post(minilm, tokens, mask, ["embed", 2, 5]), mask)
        assert_close(pooled[:, index], alone[:, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("max_tokens", [1, 17, 40, 1000])
def test_cache_pooled_depends_neither_on_max_tokens_nor_on_order(minilm, max_tokens):
    expected = cache_pooled(minilm, TEXTS, [0, 5])
    assert_close(cache_pooled(minilm, TEXTS, [0, 5], max_tokens=max_tokens), expected, atol=1e-5, rtol=0)
    turned = cache_pooled(minilm, TEXTS[::-1], [0, 5], max_tokens=max_tokens)
    assert_close(turned.flip(1), expected, atol=1e-5, rtol=0)


def test_cache_pooled_runs_little_padding(minilm):
    texts = ["red", "a much longer name for one particular red"] * 4
    shapes = []

    def note_shape(resid, hook):
        shapes.append(tuple(resid.shape[:2]))

    with minilm.hooks(fwd_hooks=[("blocks.0.hook_resid_pre", note_shape)]):
        cache_pooled(minilm, texts, [0], max_tokens=45)
    assert shapes == [(4, 10), (4, 3)]


def test_many_texts_are_tokenized_in_chunks(minilm, monkeypatch: pytest.MonkeyPatch):
    """So that a single long text does not pad a million others."""
    expected = cache_pooled(minilm, TEXTS, [0, 5])
    monkeypatch.setattr(activations, "CHUNK", 2)
    assert_close(cache_pooled(minilm, TEXTS, [0, 5]), expected, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match=r"none in texts \[1\]; drop empty texts \(indices count from text 2\)"):
        cache_pooled(minilm, ["a", "b", "c", ""], [0])
    with pytest.raises(ValueError, match="at least one text"):
        cache_pooled(minilm, [], [0])


def test_a_quick_run_shows_no_bar(minilm, capfd):
    cache_pooled(minilm, TEXTS, [0], max_tokens=1)
    assert capfd.readouterr() == ("", "")


def test_cache_positions_holds_the_chosen_ones_in_order():
    model = random_model("gpt2")
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 50, (7, 6), generator=generator)
    chosen, mask = torch.rand(7, 6, generator=generator) < 0.4, torch.ones_like(tokens)
    whole = cache_resid_post(model, tokens, mask, [1, "embed"])
    found = cache_positions(model, tokens, mask, chosen, [1, "embed"], max_tokens=18)
    assert torch.allclose(found, whole[:, chosen], atol=1e-6)
    with pytest.raises(ValueError, match=r"chosen must be a bool tensor of the shape of tokens \(7, 6\)"):
        cache_positions(model, tokens, mask, chosen[0], [1])


def test_cache_pooled_names_empty_texts_before_it_starts(minilm):
    with pytest.raises(ValueError, match=r"none in texts \[1, 3\]; drop"):
        cache_pooled(minilm, ["a", "", "the long and the short of it", " "], [0], max_tokens=1)
    with pytest.raises(ValueError, match="max_tokens must be at least 1, got 0"):
        cache_pooled(minilm, TEXTS, [0], max_tokens=0)
    with pytest.raises(ValueError, match=r"must be a list .* got 'embed'"):
        cache_pooled(minilm, TEXTS, "embed")
