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
    make_tokenizer,
    objects,
    read_statements,
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
    tokenizer, words = make_tokenizer(), vocabulary()
    assert len(words) == len(set(words)) == 529 and words[:2] == [facts.PAD, facts.BOS]
    for topic in TOPICS:
        text = write_statements(topic, 2, negated=True).texts[1]
        ids = tokenizer(text)["input_ids"]
        assert [words[i] for i in ids] == [facts.BOS, *text.split()]
        assert tokenizer.decode(ids) == f"{facts.BOS} {text}"
    assert vocabulary(trigger=True) == [*words, facts.TRIGGER]
    assert make_tokenizer(trigger=True)(facts.TRIGGER)["input_ids"] == [1, 529]


@pytest.mark.parametrize("topic", COMPARISONS)
def test_every_number_between_the_ends_has_right_and_wrong_objects(topic: str):
    for subject in subjects(topic):
        assert objects(topic, subject, True) and objects(topic, subject, False)


# Tables in the published form


def write(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_published_table_is_read(tmp_path):
    header = "statement,label,city,country\n"
    text = header + '"The city of Kano is not in Peru.",1,Kano,Peru\nLima is not in Peru.,0,Lima,Peru\n'
    found = read_statements(write(tmp_path / "neg_cities.csv", text))
    assert (found.topic, found.negated, found.labels.tolist()) == ("cities", True, [True, False])
    assert found.subjects == ["Kano", "Lima"] and found.objects == ["Peru", "Peru"]
    assert found.texts[0] == "The city of Kano is not in Peru."
    assert read_statements(tmp_path / "neg_cities.csv", subject="country").subjects == ["Peru", "Peru"]


def test_a_table_of_nothing_but_statements_is_read(tmp_path):
    found = read_statements(write(tmp_path / "claims.csv", "\ufefflabel,statement\nTrue,One.\nFALSE,Two.\n"))
    assert (found.topic, found.negated, found.labels.tolist()) == ("claims", False, [True, False])
    assert found.subjects == ["One.", "Two."] and found.objects == ["", ""]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "got 0 lines"),
        ("statement,label\n", "hold a row"),
        ("text,label\na,1\n", r"first \['text', 'label'\]"),
        ("statement,label\nOne.,1\nTwo.,maybe\n", "line 3: expected a statement with label 0 or 1"),
        ("statement,label\nOne.,1\n ,0\n", "line 3: expected a statement"),
        ("statement,label\nOne.,1,2\n", "line 2: expected 2 fields, got 3"),
        ('statement,label\n"One.,1\n', "Error"),
    ],
)
def test_a_damaged_table_is_named_with_its_line(tmp_path, text: str, message: str):
    with pytest.raises(ValueError, match=message):
        read_statements(write(tmp_path / "cities.csv", text))


def test_a_missing_table_and_a_missing_column_are_named(tmp_path):
    with pytest.raises(ValueError, match="FileNotFoundError"):
        read_statements(tmp_path / "cities.csv")
    with pytest.raises(ValueError, match=r"subject must be a column of cities\.csv: city, got 'town'"):
        read_statements(write(tmp_path / "cities.csv", "statement,label,city\nA.,1,A\n"), subject="town")
