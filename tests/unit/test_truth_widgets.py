"""The panels of truth and lies without a front end: what they show as their parts change, and what stands instead."""

import html
import re

import pytest
import torch

from utils.lie_detectors import tpr_at_fpr
from utils.widgets import panel as panel_module
from utils.widgets.statements import PcaView, SteerResult, explore_pca, steer_statement
from utils.widgets.thresholds import drag_threshold

TEXTS = ["Lyon is in France .", "Lyon is in <b> .", "Lyon is not in Peru .", "Lyon is not in France ."]


def text_of(markup: str) -> str:
    """HTML as one line of text, without the styles."""
    markup = re.sub(r"<style.*?</style>", " ", markup, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def dots_of(markup: str) -> dict[str, str]:
    """What each dot says -> where it starts."""
    found = re.findall(r'<g class="course-dot"><path d="M([\d. ]+)m.*?course-tip">(.*?)</g></g>', markup)
    return {text_of(says): place for place, says in found}


@pytest.fixture
def view() -> PcaView:
    """Four statements in the corners of a square; at the second layer it is turned round."""
    corners = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    truth, negated = torch.tensor([True, False, True, False]), torch.tensor([False, False, True, True])
    shares = torch.tensor([[0.5, 0.25], [0.75, 0.125]])
    return PcaView(torch.stack([corners, -corners]), shares, TEXTS, truth, negated)


@pytest.fixture
def parts(view) -> tuple:
    (world, layer), (affirmed, negated), panel = (
        getattr(row, "children", row) for row in explore_pca({"match": view, "<i>": view}, ["embed", 0]).children
    )
    return world, layer, affirmed, negated, panel


def test_every_statement_is_a_dot_that_says_its_text_and_truth(parts):
    _, layer, *_ = parts
    assert layer.label == "0", "opens on the last layer"
    layer.value = 0
    dots = dots_of(parts[-1].value)
    assert list(dots) == [f"{truth} · {text}" for text, truth in zip(TEXTS, ["true", "false"] * 2, strict=True)]
    places = [tuple(map(float, place.split())) for place in dots.values()]
    assert places[0][0] == places[2][0] > places[1][0] == places[3][0]  # right and left
    assert places[0][1] == places[1][1] < places[2][1] == places[3][1]  # up and down: y grows downwards
    assert "PC1 · 50 % of the variance" in parts[-1].value and "PC2 · 25 %" in parts[-1].value


def test_the_layer_and_the_world_are_followed_and_nothing_moves_as_polarities_go(parts):
    world, layer, affirmed, _, panel = parts
    before = dots_of(panel.value)
    affirmed.value = False
    after = dots_of(panel.value)
    assert after == {says: place for says, place in before.items() if " not " in says}
    assert "true, negated" in panel.value and "true, affirmed" not in panel.value
    layer.value = 0
    assert "PC1 · 50 %" in panel.value and dots_of(panel.value) != after
    world.value = "<i>"
    assert "&lt;i&gt;, layer embed" in panel.value
    parts[3].value = False
    assert "course-dot" not in re.sub(r"<style.*?</style>", "", panel.value, flags=re.DOTALL)


def test_instead_of_the_components_stands_the_last_layer_of_each_world(view, monkeypatch):
    shown = []
    monkeypatch.setattr(panel_module, "display", lambda thing, raw=False: shown.append(thing))
    explore_pca({"match": view}, ["embed", 0])._ipython_display_()
    assert repr(shown[0]) == "match, layer 0: PC1 75 %, PC2 12 % of the variance"
    assert shown[0].html.count('<img alt="components of match, layer 0"') == 1


@pytest.mark.parametrize(
    "change, message",
    [
        ({"points": torch.zeros(3, 4, 2)}, r"match: points must be \(2, 4, 2\), .* got \(3, 4, 2\)"),
        ({"labels": torch.zeros(3)}, r"labels must be \(4,\)"),
        ({"shares": torch.zeros(2)}, r"shares must be \(2, 2\)"),
    ],
)
def test_a_view_that_does_not_fit_is_named(view, change, message):
    with pytest.raises(ValueError, match=message):
        explore_pca({"match": PcaView(**(vars(view) | change))}, ["embed", 0])
    with pytest.raises(ValueError, match="at least one each, got 0 and 1"):
        explore_pca({}, [0])


def test_a_dose_changes_the_answer_and_the_untouched_one_is_asked_for_once():
    calls = []

    def steer(*call) -> SteerResult:
        calls.append(call)
        return SteerResult(0.25 + call[2] / 8, 0.75 - call[2] / 8, [("That", 0.5), ("<pad>", 0.125)])

    explorer = steer_statement(TEXTS[:2], steer, ["object, layer 0", "full stop"], limit=4)
    (statement, place), dose, panel = explorer.children[0].children, *explorer.children[1:]
    assert (dose.min, dose.max, dose.value) == (-4, 4, 0) and "P(correct) 0.25 → 0.25" in text_of(panel.value)
    dose.value = 2
    assert calls[-1] == (TEXTS[0], "object, layer 0", 2)
    words = text_of(panel.value)
    assert "dose +2.00: P(correct) 0.25 → 0.50 ." in words and words.count("<pad> 0.12") == 2
    place.value = "full stop"
    assert calls[-1] == (TEXTS[0], "full stop", 2)
    statement.value = TEXTS[1]
    assert calls[-2:] == [(TEXTS[1], "full stop", 0), (TEXTS[1], "full stop", 2)] and "<b>" in text_of(panel.value)
    assert [call[2] for call in calls if call[0] == TEXTS[0]].count(0) == 2  # untouched, and the slider at 0
    assert repr(explorer.static) == f"“{TEXTS[0]}” object, layer 0, dose +2.00: P(correct) 0.25 → 0.50."
    assert explorer.static.html.count("<img alt=") == 2
    with pytest.raises(ValueError, match="limit be above 0; got 2, 1, 0"):
        steer_statement(TEXTS[:2], steer, ["object"], limit=0)


@pytest.fixture
def scores() -> dict:
    """Two detectors of ten honest and four lying documents; the second one's scores are tied at the threshold."""
    honest, lying = torch.arange(10.0), torch.tensor([7.5, 8.5, 20, 21])
    return {"mean": (honest, lying), "max": (honest.clamp(max=5), lying)}


@pytest.fixture
def unrelated() -> dict:
    return {"mean": torch.arange(100.0) / 10, "max": torch.arange(100.0).clamp(max=50) / 10}


def numbers_of(panel) -> list[str]:
    return re.findall(r"<b>(.*?)</b>", panel.value)


def test_a_threshold_is_read_on_all_three_kinds_of_documents(scores, unrelated):
    which, (threshold, freeze), panel = (
        getattr(row, "children", row) for row in drag_threshold(scores, unrelated=unrelated, fpr=0.1).children
    )
    freeze.click()
    assert threshold.value == pytest.approx(8.9) and freeze.description == "10 % of unrelated texts"
    assert numbers_of(panel) == ["0.500", "0.100", "0.100", "0.05"]  # .01 · .5 / (.01 · .5 + .99 · .1)
    assert "2 of 4 FPR, honest 0.100 1 of 10 FPR, unrelated 0.100 10 of 100" in text_of(panel.value)
    threshold.index = 0
    assert numbers_of(panel)[:3] == ["1.000", "1.000", "1.000"]
    threshold.index = len(threshold.options) - 1
    assert numbers_of(panel) == ["0.000", "0.000", "0.000", "–"]
    which.value = "max"
    freeze.click()
    assert numbers_of(panel)[:3] == ["1.000", "0.000", "0.000"]  # all tied texts stay below


@pytest.mark.parametrize("fpr", [0, 0.01, 0.29, 0.5])
def test_the_button_sets_the_threshold_of_tpr_at_fpr(scores, unrelated, fpr):
    for name in scores:
        explorer = drag_threshold({name: scores[name]}, unrelated={name: unrelated[name]}, fpr=fpr)
        threshold, freeze = explorer.children[1].children
        freeze.click()
        expected, tpr = tpr_at_fpr(unrelated[name], scores[name][1], fpr)
        assert threshold.value == expected and numbers_of(explorer.children[-1])[0] == f"{tpr:.3f}"


def test_instead_of_the_threshold_stand_all_detectors_at_the_button(scores, unrelated):
    static = drag_threshold(scores, unrelated=unrelated, fpr=0.1).static
    assert repr(static).splitlines() == [
        "mean: threshold 8.9, TPR 0.500, FPR, honest 0.100, FPR, unrelated 0.100, precision 0.05",
        "max: threshold 5, TPR 1.000, FPR, honest 0.000, FPR, unrelated 0.000, precision 1.00",
    ]
    assert re.findall('<img alt="(.*?)"', static.html) == ["scores of mean, threshold 8.9", "ROC curve of mean"]


def test_scores_that_cannot_be_drawn_are_named(scores, unrelated):
    with pytest.raises(ValueError, match=r"the same detectors, got \['mean', 'max'\] and \['mean'\]"):
        drag_threshold(scores, unrelated={"mean": unrelated["mean"]})
    for wrong in (torch.zeros(0), torch.tensor([torch.nan]), torch.zeros(2, 2)):
        with pytest.raises(ValueError, match="mean: lying must be finite scores, one for each text"):
            drag_threshold({"mean": (torch.ones(3), wrong)}, unrelated={"mean": torch.ones(3)})
    with pytest.raises(ValueError, match="fpr must be from 0 to below 1, got 1"):
        drag_threshold(scores, unrelated=unrelated, fpr=1)
