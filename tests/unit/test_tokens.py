"""Texts become tokens with a mask, the token behind a text is found with any tokenizer, and errors name the cure."""

import pytest
import tokenizers
import torch
import transformers
from tokenizers import decoders, normalizers

from utils.models import load_model, random_model
from utils.tokens import next_token, tokenize

READ = ["The weather today is great", "The weather today is awful", "This is it"]


def test_tokenize_pads_on_the_right_and_masks(minilm):
    tokens, mask = tokenize(minilm, ["deep blue", "deep sea blue"])
    assert tokens.dtype == mask.dtype == torch.int64
    assert tokens.tolist() == [[101, 2784, 2630, 102, 0], [101, 2784, 2712, 2630, 102]]
    assert mask.tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert torch.equal(tokenize(minilm, ("deep blue",))[0], tokens[:1, :4])


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([], "at least one text, got an empty list"),
        ("blue", r"got the str 'blue'; write \[text\]"),
        (["blue", 3], "got int at index 1: 3"),
        (["blue", "red " * 600], "at most 512 tokens, got 602 at index 1; shorten"),
    ],
)
def test_tokenize_refuses_what_is_no_list_of_texts(minilm, texts, words):
    with pytest.raises(ValueError, match=words):
        tokenize(minilm, texts)


def test_tokenize_names_words_that_a_model_of_whole_words_does_not_know():
    model = load_model("facts_gpt_match")
    texts = ["Lagos is in Nigeria .", "Pariss is in France.", "Pariss is in qqq ."]
    expected = r"of the 529 words .* 'Pariss' \(index 1; nearest: Paris.*'France\.' \(index 1.*'qqq' \(index 2; nothing"
    with pytest.raises(ValueError, match=expected):
        tokenize(model, texts)
    tokens, mask = tokenize(model, [texts[0], "Lagos is not in Nigeria ."])
    assert mask.sum(dim=1).tolist() == [6, 7] and tokens[:, 0].tolist() == [1, 1]


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_tokenize_needs_a_tokenizer(kind):
    with pytest.raises(ValueError, match="must have a tokenizer, got one without"):
        tokenize(random_model(kind, n_layers=3), ["blue"])


def gpt2_kind() -> transformers.PreTrainedTokenizerFast:
    """A space belongs to the word behind it, and nothing stands around a text."""
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(READ, min_frequency=1)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer)


def llama2_kind() -> transformers.PreTrainedTokenizerFast:
    """A space in front of whatever it gets, and a token to begin with."""
    words = ["<unk>", "<s>", "▁", *(f"▁{word}" for word in " ".join(READ).split())]
    trained = tokenizers.Tokenizer(tokenizers.models.Unigram([(word, -1.0) for word in dict.fromkeys(words)], unk_id=0))
    trained.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trained.decoder = decoders.Metaspace()
    trained.post_processor = tokenizers.processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=trained, bos_token="<s>", unk_token="<unk>")


@pytest.mark.parametrize("kind", [gpt2_kind, llama2_kind])
def test_the_next_token_is_the_word_behind_the_text(kind):
    tokenizer = kind()
    for sentence in READ[:2]:
        text, word = sentence.rsplit(" ", 1)
        token = next_token(tokenizer, text, f" {word}")
        assert tokenizer.decode([token]).strip() == word
        assert token == tokenizer(sentence).input_ids[-1]


def test_a_word_split_alone_would_begin_with_a_space():
    """Why next_token splits both together: with Llama 2's kind, all words alone begin with the same token."""
    tokenizer = llama2_kind()
    alone = [tokenizer.encode(f" {word}", add_special_tokens=False)[0] for word in ("great", "awful")]
    behind = [next_token(tokenizer, "The weather today is", f" {word}") for word in ("great", "awful")]
    assert alone[0] == alone[1] and behind[0] != behind[1]


def test_the_next_token_stands_before_what_ends_a_text(minilm):
    """BERT's kind puts tokens before and after every text."""
    assert minilm.tokenizer.decode([next_token(minilm.tokenizer, "deep", " blue")]) == "blue"


@pytest.mark.parametrize(("text", "continuation"), [("It is", ""), ("It is ", "great"), ("It is gre", "at")])
def test_a_continuation_without_a_token_of_its_own_is_refused(text, continuation):
    with pytest.raises(ValueError, match=r"token of its own behind .*; move a space from the end of the text"):
        next_token(gpt2_kind(), text, continuation)
