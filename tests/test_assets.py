"""What ships in utils/assets: every file has a card that fits it, and the repository stays small."""

import hashlib
import json
from pathlib import Path

import pytest

from utils import ROOT

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


def test_the_assets_are_small():
    sizes = {path: path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()}
    assert all(size <= MAX_FILE_BYTES for size in sizes.values())
    assert sum(sizes.values()) <= MAX_BYTES
    assert {path.suffix for path in sizes} <= {".csv", ".json", ".safetensors"}, "nothing pickled, nothing unknown"
