"""Loaders, damage detection and splits of utils.datasets."""

import dataclasses
import hashlib
import json
import shutil
from collections import Counter, defaultdict

import pytest
import torch

from utils import datasets
from utils.datasets import (
    bag_of_words,
    character_ngrams,
    load_agent_sentences,
    load_colours,
    load_places,
    load_sentiment_words,
)
from utils.globe import great_circle_km, unit_vectors
from utils.splits import split_groups

LOADERS = {"sentiment_words": load_sentiment_words, "colours": load_colours, "places": load_places}
tables = pytest.mark.parametrize("name", LOADERS)


@pytest.fixture
def assets(tmp_path, monkeypatch):
    """A copy of the tables and their cards, read instead of the real ones."""
    for name in LOADERS:
        for suffix in (".csv", ".card.json"):
            shutil.copy(datasets.ASSETS / f"{name}{suffix}", tmp_path)
    monkeypatch.setattr(datasets, "ASSETS", tmp_path)
    return tmp_path


def edit_card(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_sentiment_words_are_unique_and_rated_within_the_scale():
    data = load_sentiment_words()
    assert len(data.words) == len(set(data.words)) == 7118
    assert all(word.isascii() and word.isalpha() and word.islower() for word in data.words)
    assert data.valence.shape == data.rating_std.shape == (7118,)
    assert data.valence.dtype == data.rating_std.dtype == torch.float32
    assert data.valence.abs().max() <= 4 and (data.valence != 0).all()
    assert (data.rating_std >= 0).all()
    valence = dict(zip(data.words, data.valence.tolist(), strict=True))
    assert valence["love"] > 2 and valence["murder"] < -2


def test_colours_lie_between_0_and_1_and_mean_what_they_say():
    data = load_colours()
    assert len(data.names) == len(set(data.names)) == 943
    assert data.rgb.shape == (943, 3) and data.rgb.dtype == torch.float32
    assert data.rgb.min() == 0 and data.rgb.max() == 1
    rgb = dict(zip(data.names, data.rgb, strict=True))
    assert rgb["red"].argmax() == 0 and rgb["green"].argmax() == 1 and rgb["blue"].argmax() == 2
    assert "blue/green" in rgb and "blue green" in rgb


def test_places_are_unique_and_stand_where_they_are():
    data = load_places()
    assert len(data.names) == len(set(data.names)) == len(data.countries) == len(data.continents) == 2500
    assert data.latitude.shape == data.longitude.shape == data.population.shape == (2500,)
    assert data.latitude.abs().max() <= 90 and data.longitude.abs().max() <= 180
    assert data.population.dtype == torch.int64 and (data.population.diff() <= 0).all(), "largest first"
    assert set(data.continents) == {"Africa", "Asia", "Europe", "North America", "Oceania", "South America"}
    sydney = data.names.index("Sydney")
    assert data.countries[sydney] == "Australia" and data.latitude[sydney] < -30 and data.longitude[sydney] > 150


@tables
def test_what_a_caller_changes_does_not_reach_the_next_load(name):
    first, untouched = LOADERS[name](), LOADERS[name]()
    for field in dataclasses.fields(first):
        value = getattr(first, field.name)
        value.zero_() if isinstance(value, torch.Tensor) else value.clear()
    for field in dataclasses.fields(first):
        again, expected = getattr(LOADERS[name](), field.name), getattr(untouched, field.name)
        assert torch.equal(again, expected) if isinstance(again, torch.Tensor) else again == expected
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(first, dataclasses.fields(first)[0].name, [])


@tables
def test_an_undamaged_copy_loads(name, assets):
    LOADERS[name]()


@tables
def test_every_single_edit_of_a_table_is_noticed(name, assets):
    path = assets / f"{name}.csv"
    data = path.read_bytes()
    edits = {
        "one byte": data[:-2] + bytes([data[-2] ^ 1]) + data[-1:],
        "last row gone": data[: data[:-1].rindex(b"\n") + 1],
        "Windows line ends": data.replace(b"\n", b"\r\n"),
        "empty": b"",
    }
    for what, edited in edits.items():
        path.write_bytes(edited)
        with pytest.raises(ValueError) as error:
            LOADERS[name]()
        found = hashlib.sha256(edited).hexdigest()
        expected = hashlib.sha256(data).hexdigest()
        cures = ("git checkout -- utils/assets/", "python -m utils.training.tables")
        for word in (f"{name}.csv", expected, found, *cures):
            assert word in str(error.value), f"{what}: {word} is missing in: {error.value}"


@tables
@pytest.mark.parametrize("suffix", [".csv", ".card.json"])
def test_a_missing_file_is_named_with_its_cure(name, suffix, assets):
    (assets / f"{name}{suffix}").unlink()
    with pytest.raises(ValueError, match=rf"got no {name}{suffix}; run: git checkout -- "):
        LOADERS[name]()


@tables
@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"sha256": "0"}'])
def test_a_broken_card_is_named_with_its_cure(name, text, assets):
    (assets / f"{name}.card.json").write_text(text)
    with pytest.raises(ValueError, match=rf"{name}.card.json must be JSON .* git checkout -- "):
        LOADERS[name]()


@tables
def test_a_card_with_another_number_of_rows_is_noticed(name, assets):
    edit_card(assets / f"{name}.card.json", rows=3)
    with pytest.raises(ValueError, match=rf"{name}.csv must have 3 rows of . fields, got \d+ rows"):
        LOADERS[name]()


@tables
@pytest.mark.parametrize("ragged", [False, True])
def test_a_table_of_another_form_is_noticed_although_its_card_agrees(name, ragged, assets):
    path = assets / f"{name}.csv"
    header, first, _ = path.read_text(encoding="utf-8").split("\n", maxsplit=2)
    data = (f"{header}\n{first},1\n" if ragged else f"x{header}\n{first}\n").encode()
    path.write_bytes(data)
    edit_card(assets / f"{name}.card.json", rows=1, sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(ValueError, match="must have 1 rows of . fields, got 1 rows of" if ragged else "got x"):
        LOADERS[name]()


@pytest.fixture(scope="module")
def agent():
    return load_agent_sentences()


def test_agent_sentences_say_what_their_labels_say(agent):
    assert len(agent.sentences) == len(set(agent.sentences)) == 2880 and agent.labels.dtype == torch.bool
    for i, sentence in enumerate(agent.sentences):
        first, last = sentence.removesuffix(".").split()[1], sentence.removesuffix(".").split()[-1]
        doer = last if " by the " in sentence else first
        assert (agent.voices[i] == "passive") == (" by the " in sentence)
        assert {first, last} == {agent.animals[i], agent.occupations[i]}
        assert agent.labels[i] == (doer == agent.animals[i])
        assert f" {agent.verbs[i]} " in sentence


def test_no_bag_of_words_tells_who_is_the_agent(agent):
    labels_of_bag = defaultdict(list)
    for sentence, label in zip(agent.sentences, agent.labels.tolist(), strict=True):
        labels_of_bag[tuple(sorted(sentence.lower().removesuffix(".").split()))].append(label)
    assert all(sorted(labels) == [False, True] for labels in labels_of_bag.values())


@pytest.mark.parametrize("field", ["voices", "animals", "occupations", "verbs", "groups"])
def test_labels_are_balanced_within_every_noun_verb_voice_and_group(agent, field):
    values = getattr(agent, field)
    values = values.tolist() if isinstance(values, torch.Tensor) else values
    count, positive = Counter(values), Counter(v for v, label in zip(values, agent.labels, strict=True) if label)
    assert all(2 * positive[value] == n for value, n in count.items())


def test_first_noun_reads_actives_and_fails_on_passives(agent):
    first_is_animal = torch.tensor([s.split()[1] == a for s, a in zip(agent.sentences, agent.animals, strict=True)])
    active = torch.tensor([voice == "active" for voice in agent.voices])
    right = first_is_animal == agent.labels
    assert right[active].all() and not right[~active].any()


def test_bag_of_words_marks_known_words_once():
    counts = bag_of_words(["dark green green", "pale", "green dark"], ["dark", "green", "sea"])
    assert counts.tolist() == [[1, 1, 0], [0, 0, 0], [1, 1, 0]]


@pytest.mark.parametrize(("texts", "vocabulary"), [([], ["a"]), (["a"], []), (["a"], ["a", "b", "a"])])
def test_bag_of_words_refuses_what_has_no_meaning(texts: list[str], vocabulary: list[str]):
    with pytest.raises(ValueError, match=r"texts and vocabulary must|every word once"):
        bag_of_words(texts, vocabulary)


def test_ngrams_spell_out_a_name_with_its_ends():
    assert character_ngrams(["Lima"]) == ["_ l i m a _ _l li im ma a_ _li lim ima ma_"]
    assert character_ngrams([" São  Paulo"], n_letters=(3,)) == ["_sã são ão_ o_p _pa pau aul ulo lo_"]
    assert character_ngrams(["a"], n_letters=(9,)) == [""]


def test_a_bag_of_ngrams_tells_where_in_a_word_the_letters_stand():
    counts = bag_of_words(character_ngrams(["purna", "nagpur"]), ["pur", "ur_", "_pu"])
    assert counts.tolist() == [[1, 0, 1], [1, 1, 0]]


@pytest.mark.parametrize(("texts", "n_letters"), [([], (1,)), (["a"], ()), (["a"], (2, 0))])
def test_ngrams_refuse_what_has_no_meaning(texts: list[str], n_letters: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"texts must hold|n_letters must hold"):
        character_ngrams(texts, n_letters=n_letters)


def test_unit_vectors_point_where_they_should():
    latitude, longitude = torch.tensor([0.0, 0, 90, 0, -90]), torch.tensor([0.0, 90, 33, 180, 0])
    expected = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, 0, -1]])
    assert torch.allclose(unit_vectors(latitude, longitude), expected, atol=1e-6)


def test_nothing_jumps_at_the_date_line():
    fiji, samoa = unit_vectors(torch.tensor([-17.0, -14.0]), torch.tensor([179.0, -172.0]))
    assert great_circle_km(fiji, samoa) < 1100


def test_distances_on_the_globe_are_known_ones():
    x, y, _ = torch.eye(3)
    assert great_circle_km(x, y) == pytest.approx(10_007.5, abs=1)  # a quarter of the meridian of a sphere
    assert great_circle_km(x, -x) == pytest.approx(20_015.1, abs=1)
    near = unit_vectors(torch.tensor([50.0, 50.0]), torch.tensor([8.0, 8.01]))
    assert great_circle_km(near[0], near[1]) == pytest.approx(0.7148, rel=0.01)  # 0.01° of longitude, times cos 50°
    london, paris = unit_vectors(torch.tensor([51.507, 48.857]), torch.tensor([-0.128, 2.352]))
    assert great_circle_km(london, paris) == pytest.approx(344, abs=2)
    assert great_circle_km(0.2 * london, 7 * paris) == pytest.approx(float(great_circle_km(london, paris)), rel=1e-4)


@pytest.mark.parametrize("seed", range(10))
def test_agent_groups_share_no_noun(agent, seed):
    sides = split_groups(agent.groups, seed=seed)
    nouns = [{agent.animals[i] for i in side} | {agent.occupations[i] for i in side} for side in sides]
    assert not nouns[0] & nouns[1]
    assert len(nouns[0] | nouns[1]) == 60
    assert all(agent.labels[side].float().mean() == 0.5 for side in sides)
