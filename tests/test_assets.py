"""What ships in utils/assets: every file has a card that fits it, and the repository stays small."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from transformers import GPT2LMHeadModel

from utils import ROOT
from utils.training import othello_gpt

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


def test_the_assets_are_small():
    sizes = {path: path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()}
    assert all(size <= MAX_FILE_BYTES for size in sizes.values())
    assert sum(sizes.values()) <= MAX_BYTES
    assert {path.suffix for path in sizes} <= {".csv", ".json", ".safetensors"}, "nothing pickled, nothing unknown"
