"""The layer explorer without a front end: what it shows when its parts change, and what stands where widgets do not."""

import html
import re

import pytest
import torch

from utils.widgets import panel as panel_module
from utils.widgets.layers import ItemSet, explore_capacity, explore_layers

LAYERS = ["embed", 0, 1]


def text_of(markup: str) -> str:
    """HTML as one line of text."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


@pytest.fixture
def sets() -> dict[str, ItemSet]:
    """Words on a circle that turns by one word with each layer; colours; "<b>" is a name that needs escaping."""
    angle = torch.tensor([0.0, 0.1, 0.3, 0.6, 1.0, 1.5])
    words = ["ada", "ben", "<b>", "dan", "eve", "fay"]
    acts = torch.stack([torch.stack([a.cos(), a.sin()], dim=1) for a in (angle, angle.roll(1), angle.flip(0))])
    colours = torch.rand(3, 2, 5, generator=torch.Generator().manual_seed(0))
    red = torch.tensor([1.2, 0.5, -0.1])
    return {
        "word": ItemSet(words, acts, torch.tensor([0, 1, 2]), lambda row, i: (f"logit {row}.{i}", "a < b"), "ada"),
        "colour": ItemSet(["red", "blue"], colours, torch.tensor([0]), lambda row, i: (red / (row + 1), red), "red"),
    }


@pytest.fixture
def parts(sets) -> list:
    """The set, the item, the layer and the panel."""
    return list(explore_layers(sets, LAYERS).children)


def test_the_panel_opens_with_the_example_of_the_first_set(parts):
    kind, item, layer, panel = parts
    assert (kind.value, item.value, layer.index) == ("word", "ada", 0)
    assert [label for label, _ in layer.options] == ["embed", "0", "1"] and list(item.options) == ["<b>", "ada", "ben"]
    shown = text_of(panel.value)
    assert "the probe says logit 0.0" in shown and "the truth a < b" in shown
    assert "ben 1.00 <b> 0.96 dan 0.83 eve 0.54 fay 0.07" in shown  # the cosines of angles


def test_moving_the_slider_shows_another_layer(parts):
    _, _, layer, panel = parts
    layer.value = 1
    assert "the probe says logit 1.0" in text_of(panel.value)
    assert "nearest by cosine fay 0.88" in text_of(panel.value)  # 1.5 - 1.0 on the rolled circle


def test_another_set_brings_its_own_items_and_keeps_the_layer(parts):
    kind, item, layer, panel = parts
    layer.value = 1
    kind.value = "colour"
    assert (item.value, list(item.options), layer.value) == ("red", ["red"], 1)
    assert "background:#994000" in panel.value and "background:#ff8000" in panel.value  # clipped to what can be shown
    kind.value = "word"
    assert item.value == "ada" and "logit 1.0" in text_of(panel.value)


def test_names_are_escaped(parts):
    _, item, _, panel = parts
    item.value = "<b>"
    assert "logit 0.2" in text_of(panel.value)
    item.value = "<script>"
    assert "<script>" not in panel.value and "<script>" in text_of(panel.value)
    item.value = "ben"
    assert "&lt;b&gt;" in panel.value and "<b>" not in panel.value


def test_an_item_of_the_training_set_is_marked_and_not_shown(parts):
    _, item, _, panel = parts
    item.value = "eve"
    assert text_of(panel.value) == "“eve” is in the training set: the probe has seen it."


def test_half_a_name_finds_those_that_begin_like_it(parts):
    _, item, _, panel = parts
    item.value = "B"
    assert text_of(panel.value) == "“B” is no word of this set. Held out and beginning like it: ben."
    item.value = "zoe"
    assert text_of(panel.value) == "“zoe” is no word of this set."
    item.value = ""
    assert "logit" not in panel.value
    item.value = "ben "
    assert "logit 0.1" in panel.value


def test_a_static_table_comes_before_the_panel_for_front_ends_without_widgets(sets, monkeypatch):
    shown = []
    monkeypatch.setattr(panel_module, "display", lambda thing, raw=False: shown.append(thing))
    explorer = explore_layers(sets, LAYERS)
    explorer._ipython_display_()
    card, panel = shown
    assert panel["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.model_id
    for part in ("ada", "red", "embed", "logit 2.0", "a < b", "ben, <b>, dan", "#ff8000"):
        assert part in text_of(card.html) and part in repr(card)
    assert card.html.count("<table") == 2 and "<b>, dan" not in card.html


@pytest.mark.parametrize(
    "change, message",
    [
        ({"acts": torch.zeros(2, 6, 4)}, r"word: acts must be \[layer item d_model\] with \(3, 6\), got \(2, 6, 4\)"),
        ({"acts": torch.zeros(3, 6)}, r"got \(3, 6\)"),
        ({"example": "eve"}, "word: example must be the name of a held-out item, got 'eve'"),
    ],
)
def test_what_does_not_fit_is_named(sets, change, message):
    sets["word"] = ItemSet(**(vars(sets["word"]) | change))
    with pytest.raises(ValueError, match=message):
        explore_layers(sets, LAYERS)


def test_the_capacity_panel_shows_the_probe_of_its_slider():
    task, control = torch.tensor([0.7, 0.99]), torch.tensor([0.5, 0.95])
    explorer = explore_capacity(["weak", "<strong>"], task=task, control=control)
    slider, panel = explorer.children
    assert text_of(panel.value) == "probe weak task 0.70 control task 0.50 selectivity 0.20"
    slider.value = 1
    assert text_of(panel.value) == "probe <strong> task 0.99 control task 0.95 selectivity 0.04"
    assert "<strong>: task 0.99, control task 0.95, selectivity 0.04" in repr(explorer.static)
    assert "&lt;strong&gt;" in explorer.static.html and "<strong>" not in explorer.static.html
    with pytest.raises(ValueError, match="as many, got 1, 2, 2"):
        explore_capacity(["weak"], task=task, control=control)
