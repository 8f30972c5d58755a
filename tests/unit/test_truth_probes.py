"""Truth probes on what their checks do not reach: other architectures, batches, half precision, refusals."""

import pytest
import torch
import transformers
from torch import Tensor

from utils import facts
from utils.ccs import ccs_loss, normalize_contrast_pairs
from utils.models import TransformerBridge, load_model
from utils.splits import split_folds
from utils.truth_probes import (
    generalization_matrix,
    object_log_probs,
    principal_components,
    statement_acts,
    transfer_accuracy,
    truth_and_polarity_directions,
)

TEXTS = ["Cairo is in Egypt .", "Money in Japan is not Rupee .", "two is larger than one .", "Osaka is not in India ."]
TINY = {
    "llama": (
        transformers.LlamaConfig,
        dict(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2),
    ),
    "gpt_neox": (
        transformers.GPTNeoXConfig,
        dict(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, rotary_pct=0.5),
    ),
}


@pytest.fixture(scope="module", params=TINY)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A tiny random network of another kind, with its tokenizer in the same folder: Hugging Face's model, and ours."""
    kind, settings = TINY[request.param]
    tokenizer, folder = facts.make_tokenizer(), tmp_path_factory.mktemp(request.param)
    config = kind(vocab_size=len(facts.vocabulary()), bos_token_id=1, eos_token_id=None, pad_token_id=0, **settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hf_model = transformers.AutoModelForCausalLM.from_config(config).eval()
    hf_model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return hf_model, load_model(str(folder))


@torch.no_grad()
def run_alone(hf_model, model: TransformerBridge, text: str) -> tuple[tuple[Tensor, ...], Tensor]:
    """Streams and logits of one statement without padding, from Hugging Face's model."""
    tokens = model.tokenizer(text, return_tensors="pt").input_ids
    result = hf_model(tokens, output_hidden_states=True)
    return result.hidden_states, result.logits[0].log_softmax(dim=-1)[:-1].gather(1, tokens[0, 1:, None])[:, 0]


def test_other_architectures_are_read_at_the_same_token(checkpoint):
    hf_model, model = checkpoint
    for position in (-1, -2, -4):
        acts = statement_acts(model, TEXTS, ["embed", 0, 1], position)
        alone = [run_alone(hf_model, model, text)[0] for text in TEXTS]
        for row in range(3):  # Hugging Face's last hidden state is normalised, the others are streams
            expected = torch.stack([streams[row][0, position] for streams in alone])
            assert torch.allclose(acts[row], expected, atol=1e-4)


def test_other_architectures_have_object_log_probs(checkpoint):
    hf_model, model = checkpoint
    expected = torch.stack([run_alone(hf_model, model, text)[1][-2] for text in TEXTS])
    for batch_size in (1, 3, 32):
        assert torch.allclose(object_log_probs(model, TEXTS, batch_size=batch_size), expected, atol=1e-4)


def test_other_architectures_go_through_the_whole_chain(checkpoint):
    """An untrained network knows nothing: on held-out entities every accuracy is near one half."""
    _, model = checkpoint
    sets = [facts.write_statements("cities", 240, negated=negated, seed=negated) for negated in (False, True)]
    acts = torch.stack([statement_acts(model, part.texts, [2], -2)[0] for part in sets])
    labels = torch.stack([part.labels for part in sets])
    cities = facts.subjects("cities")
    fold_of = {cities[i]: n for n, (_, test) in enumerate(split_folds(cities)) for i in test.tolist()}
    folds = torch.tensor([[fold_of[city] for city in part.subjects] for part in sets])
    accuracies = generalization_matrix(acts, labels, folds).float().mean(dim=-1)
    assert accuracies.shape == (2, 2) and accuracies.min() > 0.3 and accuracies.max() < 0.7
    assert 0.3 < transfer_accuracy(acts[0], labels[0], acts[1], labels[1]) < 0.7


def test_the_batch_size_does_not_matter():
    model = load_model("facts_gpt_match")
    whole = statement_acts(model, TEXTS, [0, 3], -2)
    assert torch.allclose(statement_acts(model, TEXTS, [0, 3], -2, max_tokens=1), whole, atol=1e-4)
    assert torch.allclose(object_log_probs(model, TEXTS, batch_size=1), object_log_probs(model, TEXTS), atol=1e-4)


def test_the_worlds_differ_where_their_cards_say():
    """Mass-mean from affirmed to negated cities at the object's token, layer 1."""
    for name, low, high in (("match", 0, 0.1), ("truth", 0.9, 1), ("affirmed", 0, 0.1)):
        model, acts = load_model(f"facts_gpt_{name}"), []
        sets = [facts.write_statements("cities", 200, negated=negated, seed=negated) for negated in (False, True)]
        acts = [statement_acts(model, part.texts, [1], -2)[0] for part in sets]
        assert low <= transfer_accuracy(acts[0], sets[0].labels, acts[1], sets[1].labels) <= high


def test_half_precision_is_computed_in_float32():
    acts = torch.randn(30, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([5.0, 2, 1, 1, 1, 1]) + 3
    components, shares = principal_components(acts.bfloat16(), 2)
    expected, expected_shares = principal_components(acts, 2)
    assert components.dtype == shares.dtype == torch.float32
    assert ((components * expected).sum(dim=1).abs() > 0.99).all()
    assert torch.allclose(shares, expected_shares, atol=0.01)
    truth, negated = torch.arange(30) % 2 == 0, torch.arange(30) % 3 == 0
    pairs = zip(*(truth_and_polarity_directions(x, truth, negated) for x in (acts.bfloat16(), acts)), strict=True)
    assert all(torch.allclose(ours, theirs, atol=0.05) for ours, theirs in pairs)
    transfer_accuracy(acts.bfloat16(), truth, acts.bfloat16(), negated)


def test_shares_of_all_components_add_up_to_one():
    _, shares = principal_components(torch.randn(30, 6, generator=torch.Generator().manual_seed(0)), 6)
    assert shares.sum() == pytest.approx(1, abs=1e-5) and (shares.diff() <= 0).all()


ACTS, LABELS = torch.randn(8, 5, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2 == 0
SETS, FOLDS = torch.stack([ACTS, ACTS]), torch.arange(8).div(4, rounding_mode="floor").expand(2, -1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statement_acts(load_model("facts_gpt_match"), TEXTS, [0], 0), "position must be from -6 .* got 0"),
        (lambda: statement_acts(load_model("facts_gpt_match"), TEXTS, [0], -7), "the shortest statement, index 0"),
        (lambda: statement_acts(load_model("facts_gpt_match"), ["Atlantis is in Egypt ."], [0], -1), "'Atlantis'"),
        (lambda: object_log_probs(load_model("facts_gpt_match"), ["."]), "position must be from -2"),
        (lambda: principal_components(ACTS, 6), "n must be from 1 to 5 .* got 6"),
        (lambda: principal_components(ACTS, 0), "n must be from 1 to 5 .* got 0"),
        (lambda: principal_components(ACTS[None], 1), r"\[statement d_model\] .*; take one layer"),
        (lambda: principal_components(torch.ones(8, 5), 1), "acts must vary"),
        (lambda: transfer_accuracy(ACTS, LABELS, ACTS[:, 1:], LABELS), "the d_model of acts_train, 5, got 4"),
        (lambda: transfer_accuracy(ACTS, LABELS[:4], ACTS, LABELS), "labels_train must be a bool tensor"),
        (lambda: transfer_accuracy(ACTS, LABELS, ACTS, LABELS.float()), "labels_test must be a bool tensor"),
        (lambda: transfer_accuracy(ACTS, LABELS | True, ACTS, LABELS), "labels must be of both classes"),
        (lambda: generalization_matrix(SETS, LABELS, FOLDS), r"labels \(bool\) and folds \[set statement\], got"),
        (lambda: generalization_matrix(SETS, torch.stack([LABELS] * 2), FOLDS * 0), "at least 2 different numbers"),
        (lambda: generalization_matrix(SETS, FOLDS == 0, FOLDS), "labels must be of both classes"),
        (lambda: truth_and_polarity_directions(ACTS, LABELS, ~LABELS), "affirmed statements must be of both classes"),
        (lambda: truth_and_polarity_directions(ACTS, LABELS, LABELS & False), "negated .* got 0 true of 0"),
        (lambda: truth_and_polarity_directions(ACTS, LABELS.int(), LABELS), "truth must be a bool tensor"),
        (lambda: normalize_contrast_pairs(ACTS, ACTS[:4]), "two endings of the same statements"),
        (lambda: ccs_loss(ACTS[:, 0], ACTS[:4, 0]), "apply one probe to both halves"),
    ],
)
def test_what_does_not_fit_is_refused(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()
