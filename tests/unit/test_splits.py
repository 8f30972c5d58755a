"""Splits share nothing between their sides, follow their seed alone, and say what cannot be split."""

from collections import Counter

import pytest
import torch

from utils.datasets import load_colours, load_places, load_sentiment_words
from utils.splits import control_labels, split_by_vocabulary, split_folds, split_groups, word_stems


def test_stems_are_the_first_letters():
    assert word_stems(["abandon", "abandoned", "ok"]) == ["aband", "aband", "ok"]
    assert word_stems(["abandon"], n_letters=2) == ["ab"]


@pytest.mark.parametrize("words, n_letters, message", [([], 5, "words must hold"), (["a"], 0, "at least 1, got 0")])
def test_stems_refuse_nothing_to_shorten(words, n_letters, message):
    with pytest.raises(ValueError, match=message):
        word_stems(words, n_letters=n_letters)


@pytest.mark.parametrize("seed", range(20))
def test_no_group_stands_on_both_sides_of_a_split(seed):
    stems = word_stems(load_sentiment_words().words)
    train, test = split_groups(stems, seed=seed)
    assert not {stems[i] for i in train} & {stems[i] for i in test}
    assert torch.equal(torch.cat([train, test]).sort().values, torch.arange(len(stems)))
    assert (train.diff() > 0).all() and (test.diff() > 0).all()
    assert abs(len(test) / len(stems) - 0.3) < 0.01  # the largest of 2,166 stems has 33 of 7,118 words


@pytest.mark.parametrize("test_fraction", [0.01, 0.2, 0.5, 0.99])
def test_the_share_held_out_is_as_near_as_groups_allow_and_never_all_or_nothing(test_fraction):
    countries = load_places().countries
    largest = max(Counter(countries).values())
    for seed in range(20):
        train, test = split_groups(countries, test_fraction=test_fraction, seed=seed)
        assert len(train) and len(test)
        assert abs(len(test) - test_fraction * len(countries)) <= largest


def test_a_split_follows_its_seed_and_not_the_order_of_the_examples():
    groups = [f"group {i % 7}" for i in range(50)]
    _, test = split_groups(groups, seed=3)
    assert torch.equal(test, split_groups(groups, seed=3)[1])
    assert len({tuple(split_groups(groups, seed=seed)[1].tolist()) for seed in range(20)}) > 5
    held_out = {groups[i] for i in test}
    assert held_out == {groups[::-1][i] for i in split_groups(groups[::-1], seed=3)[1]}
    before = torch.random.get_rng_state()
    split_groups(groups, seed=4)
    assert torch.equal(before, torch.random.get_rng_state()), "the global generator was used"


def test_numbers_split_like_names():
    numbers = torch.tensor([4, 4, 0, 9, 9, 9, 2])
    for seed in range(10):
        train, test = split_groups(numbers, seed=seed)
        assert not set(numbers[train].tolist()) & set(numbers[test].tolist())
        as_names = split_groups([str(number) for number in numbers.tolist()], seed=seed)
        assert torch.equal(train, as_names[0]) and torch.equal(test, as_names[1])


@pytest.mark.parametrize(
    "groups, test_fraction, message",
    [
        ([], 0.3, "at least 2 different groups, got 0 in 0 examples"),
        (["a", "a"], 0.3, "at least 2 different groups, got 1 in 2 examples; .* group by something finer"),
        (torch.zeros(3, dtype=torch.int64), 0.3, "got 1 in 3 examples"),
        (torch.zeros(0, dtype=torch.int64), 0.3, "got 0 in 0 examples"),
        (torch.zeros(2, 3, dtype=torch.int64), 0.3, r"one axis \[example\], got shape \[2, 3\]"),
        (["a", "b"], 0.0, r"test_fraction must lie between 0 and 1, got 0\.0"),
        (["a", "b"], 1.0, r"test_fraction must lie between 0 and 1, got 1\.0"),
        (["a", "b"], float("nan"), "test_fraction must lie between 0 and 1, got nan"),
    ],
)
def test_a_split_that_cannot_be_made_says_why(groups, test_fraction, message):
    with pytest.raises(ValueError, match=message):
        split_groups(groups, test_fraction=test_fraction)


@pytest.mark.parametrize("seed", range(5))
def test_folds_test_every_example_once_and_share_no_group(seed):
    countries = load_places().countries
    folds = split_folds(countries, seed=seed)
    assert torch.equal(torch.cat([test for _, test in folds]).sort().values, torch.arange(2500))
    for train, test in folds:
        assert not {countries[i] for i in train} & {countries[i] for i in test}
        assert torch.equal(torch.cat([train, test]).sort().values, torch.arange(2500))
        assert (train.diff() > 0).all() and (test.diff() > 0).all()
        assert abs(len(test) - 500) < 20  # the largest of 155 countries has 396 of 2,500 cities


def test_folds_have_a_group_each_even_where_one_group_holds_nearly_everything():
    folds = split_folds(["a"] * 90 + ["b", "c", "d", "e"])
    assert sorted(len(test) for _, test in folds) == [1, 1, 1, 1, 90]


def test_folds_follow_their_seed_and_not_the_order_of_the_examples():
    names = [f"name {i}" for i in range(60)]
    held_out = [{names[i] for i in test} for _, test in split_folds(names, n_folds=3, seed=1)]
    assert held_out == [{names[::-1][i] for i in test} for _, test in split_folds(names[::-1], n_folds=3, seed=1)]
    assert held_out != [{names[i] for i in test} for _, test in split_folds(names, n_folds=3, seed=2)]
    numbers = torch.tensor([7, 7, 3, 3, 5])
    assert [len(test) for _, test in split_folds(numbers, n_folds=3)] == [2, 2, 1]
    before = torch.random.get_rng_state()
    split_folds(names)
    assert torch.equal(before, torch.random.get_rng_state()), "the global generator was used"


@pytest.mark.parametrize(
    "groups, n_folds, message",
    [
        (["a", "b", "a"], 3, "between 2 and the number of different groups, 2, got 3"),
        (["a", "b", "c"], 1, "between 2 and the number of different groups, 3, got 1"),
        ([], 5, "number of different groups, 0, got 5"),
        (torch.zeros(2, 3, dtype=torch.int64), 2, r"one axis \[example\], got shape \[2, 3\]"),
    ],
)
def test_folds_that_cannot_be_made_say_why(groups, n_folds, message):
    with pytest.raises(ValueError, match=message):
        split_folds(groups, n_folds=n_folds)


def test_a_vocabulary_split_shares_no_word_and_loses_only_names_that_mix():
    words = [set(name.replace("/", " ").split()) for name in load_colours().names]
    train, test = split_by_vocabulary(words, seed=0)
    train_words, test_words = (set().union(*(words[i] for i in side)) for side in (train, test))
    assert not train_words & test_words
    left_out = set(range(len(words))) - set(train.tolist()) - set(test.tolist())
    assert left_out and all(words[i] - train_words and words[i] - test_words for i in left_out)


def test_a_vocabulary_split_follows_its_seed_and_not_the_order_of_the_examples():
    words = [{a, b} for a in "abcdefghij" for b in "abcdefghij"]
    _, test = split_by_vocabulary(words, seed=1)
    _, turned = split_by_vocabulary(words[::-1], seed=1)
    assert {frozenset(words[i]) for i in test} == {frozenset(words[::-1][i]) for i in turned}
    assert any(not torch.equal(test, split_by_vocabulary(words, seed=seed)[1]) for seed in range(2, 6))


@pytest.mark.parametrize(
    ("words", "fraction", "message"),
    [
        ([{"a"}, {"b"}], 0.1, "examples on both sides"),
        ([{"a", "b"}], 0.5, "both sides"),
        ([{"a"}], 1.0, "between 0 and 1"),
    ],
)
def test_a_vocabulary_split_that_cannot_be_made_says_why(words, fraction, message):
    with pytest.raises(ValueError, match=message):
        split_by_vocabulary(words, test_fraction=fraction)


def test_labels_by_lot_belong_to_words_and_keep_their_number():
    words = [f"word{i}" for i in range(1000)] * 2
    labels = (torch.arange(1000) % 3 == 0).repeat(2)
    control = control_labels(words, labels, seed=0)
    assert torch.equal(control[:1000], control[1000:]) and control.sum() == labels.sum()
    assert abs(float((control == labels).float().mean()) - (1 / 9 + 4 / 9)) < 0.06  # chance; standard error 0.014
    assert not torch.equal(control, control_labels(words, labels, seed=1))
    assert torch.equal(control.flip(0), control_labels(words[::-1], labels.flip(0), seed=0))


def test_labels_by_lot_say_what_does_not_fit():
    with pytest.raises(ValueError, match="True and False for 'a'"):
        control_labels(["a", "a"], torch.tensor([True, False]))
    with pytest.raises(ValueError, match="as many, got 1 and 2"):
        control_labels(["a"], torch.tensor([True, False]))
