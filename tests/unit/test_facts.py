"""The world of facts: what is said is true or false as labelled, and the object alone does not tell."""

import random
from collections import Counter

import pytest

from utils import facts
from utils.facts import (
    COMPARISONS,
    NUMBERS,
    TOPICS,
    load_facts,
    load_tokenizer,
    objects,
    subjects,
    vocabulary,
    write_statement,
    write_statements,
)


def is_true(text: str) -> bool:
    """Read a sentence slowly: find what it says, look it up."""
    words = text.split()
    negated = "not" in words
    words = [word for word in words if word != "not"]
    match words:
        case [subject, "is", "in", obj, "."]:
            match_ = load_facts()["cities"][subject] == obj
        case [subject, "is", "ruled", "from", obj, "."]:
            match_ = load_facts()["capitals"][subject] == obj
        case [subject, "is", "part", "of", obj, "."]:
            match_ = load_facts()["continents"][subject] == obj
        case ["Money", "in", subject, "is", obj, "."]:
            match_ = load_facts()["currencies"][subject] == obj
        case [subject, "is", "larger", "than", obj, "."]:
            match_ = NUMBERS.index(subject) > NUMBERS.index(obj)
        case [subject, "is", "smaller", "than", obj, "."]:
            match_ = NUMBERS.index(subject) < NUMBERS.index(obj)
    return match_ != negated


@pytest.mark.parametrize("negated", [False, True])
@pytest.mark.parametrize("topic", TOPICS)
def test_every_label_is_the_truth_of_the_sentence(topic: str, negated: bool):
    statements = write_statements(topic, 200, negated=negated)
    assert [is_true(text) for text in statements.texts] == statements.labels.tolist()
    assert statements.labels.sum() == 100
    assert all(("not" in text.split()) == negated for text in statements.texts)


def test_the_facts_are_the_worlds():
    known = load_facts()
    assert len(known["cities"]) == 420 and len(known["capitals"]) == 35
    assert known["cities"]["Nairobi"] == "Kenya" and known["capitals"]["Ethiopia"] == "Addis_Ababa"
    assert known["continents"]["Japan"] == "Asia" and known["currencies"]["Spain"] == "Euro"
    assert set(Counter(known["cities"].values()).values()) == {12}


def test_the_object_alone_does_not_tell_the_truth():
    """Wrong objects are as frequent as they are right for others."""
    rng = random.Random(0)
    for topic in ("cities", "capitals", "currencies", "continents"):
        right, wrong = Counter(), Counter()
        for subject in subjects(topic):
            for _ in range(20):
                right[write_statement(topic, subject, False, True, rng).object] += 1
                wrong[write_statement(topic, subject, False, False, rng).object] += 1
        frequent = right.most_common(1)[0][0]
        assert 0.4 < wrong[frequent] / right[frequent] < 1.6


def test_a_match_is_what_is_true_without_not():
    rng = random.Random(0)
    for topic in TOPICS:
        for negated in (False, True):
            for truth in (False, True):
                statement = write_statement(topic, rng.choice(subjects(topic)), negated, truth, rng)
                assert is_true(statement.text) == truth and statement.match == (truth != negated)
                assert statement.object in objects(topic, statement.subject, statement.match)


def test_statements_are_those_of_the_seed_and_of_the_subjects_asked_for():
    one, same, other = (write_statements("cities", 50, seed=seed).texts for seed in (0, 0, 1))
    assert one == same != other
    few = write_statements("cities", 50, among=["Nairobi", "Lyon"])
    assert set(few.subjects) == {"Nairobi", "Lyon"}


def test_unknown_topics_and_subjects_are_named():
    with pytest.raises(ValueError, match=r"topic must be one of cities, .* got 'rivers'"):
        write_statements("rivers", 4)
    with pytest.raises(ValueError, match="'Atlantis' is no subject of cities"):
        write_statements("cities", 4, among=["Nairobi", "Atlantis"])


def test_every_word_is_one_token_and_comes_back():
    tokenizer, words = load_tokenizer(), vocabulary()
    assert len(words) == len(set(words)) == 529 and words[:2] == [facts.PAD, facts.BOS]
    for topic in TOPICS:
        text = f"{facts.BOS} {write_statements(topic, 2, negated=True).texts[1]}"
        ids = tokenizer(text)["input_ids"]
        assert [words[i] for i in ids] == text.split() and tokenizer.decode(ids) == text


@pytest.mark.parametrize("topic", COMPARISONS)
def test_every_number_between_the_ends_has_right_and_wrong_objects(topic: str):
    for subject in subjects(topic):
        assert objects(topic, subject, True) and objects(topic, subject, False)
