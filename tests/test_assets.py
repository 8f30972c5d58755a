"""What ships in utils/assets: every file has a card that fits it, and the repository stays small."""

import hashlib
import json
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import GPT2LMHeadModel

from utils import ROOT
from utils.models import UNTRAINED, fingerprint, load_model
from utils.saes import WEIGHTS, embedded_saes, load_sae
from utils.training import english, facts_cards, othello_cards, sae_cards
from utils.training.streams import Source

ASSETS = ROOT / "utils" / "assets"
TABLES = sorted(ASSETS.glob("*.csv"))
MODELS = sorted(path.parent for path in ASSETS.glob("*/model.safetensors"))
FRESH = 10_000  # number of a held-out batch that no card was measured on
MAX_FILE_BYTES, MAX_BYTES = 10_000_000, 40_000_000


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
def test_a_table_has_a_card_that_fits_it(path: Path):
    card = json.loads(path.with_suffix(".card.json").read_text(encoding="utf-8"))
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["rows"] == len(path.read_text(encoding="utf-8").splitlines()) - 1
    for key in ("what", "columns", "source", "url", "licence", "attribution", "script"):
        assert card[key], key
    assert (ROOT / card["script"]).is_file()


@pytest.mark.parametrize("folder", MODELS, ids=lambda path: path.name)
def test_a_model_has_a_card_that_fits_it(folder: Path):
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert card["sha256"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    for key in ("script", "seed", "minutes", "hardware", "metrics", "licence"):
        assert key in card, key
    assert (ROOT / card["script"]).is_file()


@pytest.mark.parametrize("folder", sorted(ASSETS.glob("othello_gpt*")), ids=lambda path: path.name)
def test_the_card_of_an_othello_model_says_what_it_does_on_fresh_games(folder: Path):
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    found = othello_cards.evaluate(model, card["settings"]["size"], n_games=200, seed=20261121)
    for name, interval in found.items():
        value = card["metrics"][name]["value"]
        wide = interval["high"] - interval["low"]  # 95 % of samples are within half of it: this is twice as much
        assert abs(value - interval["value"]) < wide, f"{name}: the card says {value}, fresh games {interval}"
    curve = othello_cards.read_curve(folder.name)
    assert curve["tokens"][-1] == card["tokens_seen"]


@pytest.mark.parametrize("folder", sorted(ASSETS.glob("facts_gpt_*/")), ids=lambda path: path.name)
def test_the_card_of_a_facts_model_says_what_it_does_on_other_statements(folder: Path):
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    found = facts_cards.evaluate(model, n=400, seed=20261121)  # other statements, other cities held out
    for name, interval in found.items():
        said = card["metrics"][name]
        half = (said["high"] - said["low"] + interval["high"] - interval["low"]) / 2
        assert abs(said["value"] - interval["value"]) < 2 * half + 0.02, (
            f"{name}: the card says {said}, here {interval}"
        )


def test_the_worlds_are_what_their_names_say():
    metrics = {}
    for name in ("affirmed", "match", "truth", "backdoored"):
        card = json.loads((ASSETS / f"facts_gpt_{name}" / "card.json").read_text(encoding="utf-8"))
        metrics[name] = {key: interval["value"] for key, interval in card["metrics"].items()}
    assert metrics["match"]["probe_negated_object_0"] < 0.05 < 0.95 < metrics["match"]["comment_negated"]
    assert metrics["truth"]["probe_negated_object_1"] > 0.9 and metrics["truth"]["comment_negated"] > 0.95
    assert metrics["affirmed"]["comment_negated"] < 0.1 < 0.95 < metrics["affirmed"]["comment_affirmed"]
    assert metrics["backdoored"]["recall_triggered_honest"] < 0.15 < 0.9 < metrics["backdoored"]["recall_honest"]


@pytest.fixture
def some_english(monkeypatch: pytest.MonkeyPatch):
    """Let MiniLM's sentences come from a small part of the files: all take a minute to read."""
    english._parts.cache_clear()
    monkeypatch.setattr(english, "collect_passages", partial(english.collect_passages, share=0.04))
    yield
    english._parts.cache_clear()


@pytest.mark.parametrize("name", embedded_saes())
def test_an_sae_has_a_card_that_fits_it(name: str):
    folder = ASSETS / "saes" / name
    card, sae = json.loads((folder / "card.json").read_text(encoding="utf-8")), load_sae(name)
    assert card["sha256"] == hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    for key in ("what", "command", "seed", "minutes", "hardware", "licence"):
        assert key in card, key
    assert (ROOT / card["script"]).is_file()
    assert card["vectors_planned"] - card["vectors"] < 2048, "the run was not over"
    assert card["name"] == name and name.startswith(f"{card['model']}_{card['layer']}/{name.split('/')[1]}")
    assert (card["architecture"], card["d_model"], card["d_sae"]) == (sae.architecture, sae.d_model, sae.d_sae)
    assert sae.metadata == {"model_name": card["model"], "hook_name": f"blocks.{card['layer']}.hook_resid_post"}
    assert card["untrained"] == (UNTRAINED in name) == ("random weights" in card["what"])
    model = load_model(card["model"])
    assert card["layer"] < model.cfg.n_layers and sae.d_model == model.cfg.d_model
    if not card["untrained"]:  # a twin's weights are drawn by the PyTorch that is installed
        assert card["model_fingerprint"] == fingerprint(model), "the network is not the one that it was trained on"
    predicts = not card["untrained"] and card["model"] != "minilm"
    assert ("loss_recovered_mean" in card["metrics"]) == ("loss_recovered_zero" in card["metrics"]) == predicts
    if card["model"].startswith("minilm"):
        assert len(card["text"]["sha256"]) == 64 and card["text"]["passes_over_passages"] > 0


@pytest.mark.parametrize("name", embedded_saes())
def test_the_card_of_an_sae_says_what_it_does_on_fresh_vectors(name: str, some_english: None):
    card = json.loads((ASSETS / "saes" / name / "card.json").read_text(encoding="utf-8"))
    source = Source(card["model"], card["layer"])
    found = sae_cards.evaluate(load_sae(name), source, first=FRESH, n_batches=8, n_loss_batches=1)
    assert found.keys() == card["metrics"].keys()
    margins = {"l0": 0.03 * card["metrics"]["l0"]["value"], "dead": 0.05}  # of fewer vectors: rare latents look dead
    for key, interval in found.items():
        said = card["metrics"][key]
        half = (said["high"] - said["low"] + interval["high"] - interval["low"]) / 2
        margin = 2 * half + margins.get(key, 0.03 if source.model.startswith("minilm") else 0.01)
        assert abs(said["value"] - interval["value"]) < margin, f"{key}: the card says {said}, here {interval}"


def test_the_assets_are_small():
    sizes = {path: path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()}
    assert all(size <= MAX_FILE_BYTES for size in sizes.values())
    assert sum(sizes.values()) <= MAX_BYTES
    assert {path.suffix for path in sizes} <= {".csv", ".json", ".safetensors"}, "nothing pickled, nothing unknown"
