"""What ships in utils/assets: every file has a card that fits it, and the repository stays small."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from transformers import GPT2LMHeadModel

from utils import ROOT
from utils.training import facts_gpt, othello_gpt

ASSETS = ROOT / "utils" / "assets"
TABLES = sorted(ASSETS.glob("*.csv"))
MODELS = sorted(path.parent for path in ASSETS.glob("*/model.safetensors"))
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
    found = othello_gpt.evaluate(model, card["settings"]["size"], n_games=200, seed=20261121)
    for name, interval in found.items():
        value = card["metrics"][name]["value"]
        wide = interval["high"] - interval["low"]  # 95 % of samples are within half of it: this is twice as much
        assert abs(value - interval["value"]) < wide, f"{name}: the card says {value}, fresh games {interval}"
    curve = othello_gpt.read_curve(folder.name)
    assert curve["tokens"][-1] == card["tokens_seen"]


@pytest.mark.parametrize("folder", sorted(ASSETS.glob("facts_gpt_*/")), ids=lambda path: path.name)
def test_the_card_of_a_facts_model_says_what_it_does_on_other_statements(folder: Path):
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    found = facts_gpt.evaluate(model, n=400, seed=20261121)  # other statements, other cities held out
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


def test_the_assets_are_small():
    sizes = {path: path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()}
    assert all(size <= MAX_FILE_BYTES for size in sizes.values())
    assert sum(sizes.values()) <= MAX_BYTES
    assert {path.suffix for path in sizes} <= {".csv", ".json", ".safetensors"}, "nothing pickled, nothing unknown"
