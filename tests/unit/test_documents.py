"""Documents by honest and lying authors: how often they lie, what is asked for, and what is refused."""

import pytest
import torch

from utils import facts
from utils.documents import write_documents


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


def test_what_cannot_be_written_is_refused():
    with pytest.raises(ValueError, match="topics must be"):
        write_documents(4, topics=("rivers",))
    with pytest.raises(ValueError, match="topics must be"):
        write_documents(4, topics="cities")
    with pytest.raises(ValueError, match="'Atlantis' is no subject"):
        write_documents(4, among={"cities": ["Atlantis"]})
    with pytest.raises(ValueError, match="at least 1"):
        write_documents(0)
