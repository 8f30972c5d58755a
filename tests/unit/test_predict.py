"""The ledger asks before the result, keeps what was said, and never takes a prediction whose outcome is known."""

import ast
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from utils import ROOT
from utils.course import build, check, feedback, predict, progress
from utils.course.chapter import SourceCell
from utils.course.predict import settle
from utils.course.progress import Prediction, read_predictions, record_outcome

CHAPTER, NAME = "01_linear_probes", "whose_work"
QUESTION, OPTIONS = "Which is highest?", ("untrained twin", "embed", "layer 2")
CHANCE = 1 / 3


class Screen(list):
    """What was displayed, as bundles; an update replaces the bundle with its identity."""

    def display(self, shown: object, *, raw: bool = False, display_id: bool = False) -> "Slot":
        self.append(self.bundle(shown, raw))
        return Slot(self, len(self) - 1)

    @staticmethod
    def bundle(shown: object, raw: bool) -> dict:
        return shown if raw else {"text/plain": repr(shown), "text/html": shown._repr_html_()}

    def texts(self) -> list[str]:
        """The text of every output that still says something, and the forms that can still be clicked."""
        forms = ["a form" if "application/vnd.jupyter.widget-view+json" in bundle else "" for bundle in self]
        return [
            form or bundle["text/plain"]
            for form, bundle in zip(forms, self, strict=True)
            if form or any(bundle.values())
        ]


class Slot:
    def __init__(self, screen: Screen, index: int):
        self.screen, self.index = screen, index

    def update(self, shown: object, *, raw: bool = False) -> None:
        self.screen[self.index] = Screen.bundle(shown, raw)


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course that has just been started in a fresh kernel."""
    monkeypatch.setattr(progress, "PATH", tmp_path / ".progress.json")
    monkeypatch.setattr(progress, "_unsaved", {})
    monkeypatch.setattr(check, "_started", CHAPTER)
    restart(monkeypatch)
    return tmp_path / ".progress.json"


def restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "_asked", {})
    monkeypatch.setattr(predict, "_forms", {})


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """What is displayed, where nobody can click."""
    screen = Screen()
    monkeypatch.setattr(predict, "display", screen.display)
    return screen


@pytest.fixture
def jupyter(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> Screen:
    """What is displayed, where forms can be clicked."""
    monkeypatch.setattr(predict, "_can_answer", lambda: True)
    return screen


def ask(**answer: object) -> None:
    predict.predict(NAME, QUESTION, OPTIONS, **answer)


def form() -> "predict._Form":
    return predict._forms[CHAPTER, NAME]


def click(choice: str, percent: int) -> None:
    form().choice.value, form().confidence.value = choice, percent
    form().done.click()


def kept() -> Prediction | None:
    return read_predictions().get(CHAPTER, {}).get(NAME)


# --- clicking ----------------------------------------------------------------------------------------------------


def test_nothing_is_chosen_before_the_learner_chooses(jupyter: Screen):
    ask()
    assert form().choice.value is None and form().done.disabled
    assert (form().confidence.value, form().confidence.min, form().confidence.max) == (33, 33, 100)
    assert kept() is None and jupyter.texts()[1] == "a form"
    form().choice.value = "embed"
    assert not form().done.disabled and kept() is None


def test_a_click_writes_it_down_and_leaves_one_line(jupyter: Screen):
    ask()
    click("embed", 70)
    assert kept() == Prediction(QUESTION, OPTIONS, "embed", 0.7)
    assert jupyter.texts() == ["You said embed, 70 % sure.", "a form"]
    assert form().form.layout.display == "none" and form().change.layout.display is None


def test_whoever_leaves_the_slider_alone_is_as_sure_as_chance(jupyter: Screen):
    ask()
    form().choice.value = "embed"
    form().done.click()
    assert kept().confidence == CHANCE and "33 % sure" in jupyter.texts()[0]


def test_a_prediction_can_be_changed_until_the_outcome_is_there(jupyter: Screen):
    ask()
    click("embed", 70)
    form().change.click()
    assert jupyter.texts()[0].startswith(QUESTION) and form().form.layout.display is None
    assert (form().choice.value, form().confidence.value) == ("embed", 70)
    click("layer 2", 90)
    assert kept() == Prediction(QUESTION, OPTIONS, "layer 2", 0.9)
    settle(NAME, "layer 2")
    assert jupyter.texts() == ["You said layer 2, 90 % sure, and so it came out."] * 2  # no form is left


def test_after_a_restart_the_line_is_there_at_once(jupyter: Screen, monkeypatch: pytest.MonkeyPatch):
    ask()
    click("embed", 70)
    restart(monkeypatch)
    ask()
    assert jupyter.texts()[-2:] == ["You said embed, 70 % sure.", "a form"] and not form().done.disabled
    settle(NAME, "layer 2")
    restart(monkeypatch)
    ask()
    assert jupyter.texts()[-1] == "You said embed, 70 % sure. It came out: layer 2." and not predict._forms


def test_running_the_cell_again_leaves_one_form(jupyter: Screen):
    ask()
    first = form()
    ask()
    assert first.box.comm is None and form().box.comm is not None


def test_a_click_that_comes_after_another_notebooks_outcome_does_not_count(jupyter: Screen):
    ask()
    settled = record_outcome(CHAPTER, NAME, Prediction(QUESTION, OPTIONS), "layer 2")
    click("layer 2", 100)
    assert kept() == settled and kept().choice is None
    assert jupyter.texts() == [f"It came out: layer 2. (You wrote no prediction down.) {predict.TOO_LATE}"]
    settle(NAME, "layer 2")  # the form is closed once only
    assert jupyter.texts()[-1] == "It came out: layer 2. (You wrote no prediction down.)"


def test_where_nothing_can_be_saved_the_line_says_so(jupyter: Screen, path: Path, capsys):
    path.mkdir()  # a folder where the file should be
    ask()
    click("embed", 70)
    assert "You said embed, 70 % sure. progress is not saved" in jupyter.texts()[0]
    assert kept().choice == "embed" and capsys.readouterr().err == ""
    settle(NAME, "embed")
    assert jupyter.texts()[-1] == "You said embed, 70 % sure, and so it came out."


def test_the_form_does_not_run_what_stands_in_a_text(jupyter: Screen):
    predict.predict(NAME, "<script>1</script> `a<b`?", ("<img src=x>", "{outcome} **b**"))
    click("<img src=x>", 70)
    settle(NAME, "{outcome} **b**")
    assert jupyter.texts()[-1] == "You said <img src=x>, 70 % sure. It came out: {outcome} **b**."
    settle(NAME, "<img src=x>")
    assert "This time it came out: <img src=x>." in jupyter.texts()[-1]
    html = "".join(bundle.get("text/html", "") for bundle in jupyter)
    assert "<img" not in html and "<script" not in html and "&lt;img src=x&gt;" in html


# --- writing -----------------------------------------------------------------------------------------------------


def test_where_nobody_can_click_the_line_to_write_is_shown(screen: Screen):
    ask()
    line = 'predict("whose_work", ..., choice="untrained twin", confidence=0.7)'
    assert (
        screen.texts()[0].splitlines()[:2] == [QUESTION, "  untrained twin · embed · layer 2"]
        and line in screen.texts()[0]
    )
    assert "<style" not in screen[0]["text/html"] and "confidence=0.7" in screen[0]["text/html"]
    assert len(screen) == 1 and kept() is None


def test_a_written_prediction_is_kept_and_can_be_rewritten(screen: Screen):
    ask(choice="embed", confidence=0.7)
    ask(choice="layer 2", confidence=1)
    assert kept() == Prediction(QUESTION, OPTIONS, "layer 2", 1.0)
    assert screen.texts() == ["You said embed, 70 % sure.", "You said layer 2, 100 % sure."]


def test_writing_works_in_jupyter_too_and_closes_the_form(jupyter: Screen):
    ask()
    ask(choice="embed", confidence=0.7)
    assert kept().choice == "embed" and not predict._forms


def test_what_is_written_after_the_outcome_is_refused_in_one_line(screen: Screen):
    ask(choice="embed", confidence=0.7)
    settle(NAME, "layer 2")
    before = kept()
    for choice, confidence in (("layer 2", 0.7), ("embed", 0.4)):
        ask(choice=choice, confidence=confidence)
        assert screen.texts()[-1] == f"You said embed, 70 % sure. It came out: layer 2. {predict.TOO_LATE}"
    ask(choice="embed", confidence=0.7)  # the cell as it was, in a run of the whole notebook
    assert screen.texts()[-1] == "You said embed, 70 % sure. It came out: layer 2." and kept() == before


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"choice": "embedd", "confidence": 0.7}, "got 'embedd'; did you mean 'embed'?"),
        ({"choice": "zebra", "confidence": 0.7}, "must be one of 'untrained twin', 'embed', 'layer 2'; got 'zebra'$"),
        ({"choice": 2, "confidence": 0.7}, "choice must be one of .*; got 2"),
        ({"confidence": 0.7}, "choice must be one of .*; got None"),
        ({"choice": "embed"}, r"confidence must be a number from 0\.33 \(chance\) to 1; got None"),
        ({"choice": "embed", "confidence": 70}, r"got 70; write 0\.7 for 70 %"),
        ({"choice": "embed", "confidence": 0.2}, r"confidence must be a number from 0\.33"),
        ({"choice": "embed", "confidence": math.nan}, "got nan"),
        ({"choice": "embed", "confidence": True}, "got True"),
        ({"choice": "embed", "confidence": "sure"}, "got 'sure'"),
    ],
    ids=str,
)
def test_an_answer_that_is_none_is_told_what_it_should_be(answer: dict, words: str, screen: Screen):
    with pytest.raises(ValueError, match=words):
        ask(**answer)
    assert kept() is None


@pytest.mark.parametrize("confidence", [0.33, CHANCE, np.float32(0.5), 1])
def test_any_number_from_chance_to_one_will_do(confidence: float, screen: Screen):
    ask(choice=np.str_("embed"), confidence=confidence)
    assert CHANCE <= kept().confidence <= 1 and type(kept().confidence) is float and type(kept().choice) is str


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("embed",), "at least two"),
        ((), "at least two"),
        (("embed", "embed"), "all different"),
        (("embed", " "), "must be texts"),
        (("embed", 2), "must be texts"),
        ("embed", "must be texts"),
    ],
    ids=repr,
)
def test_a_question_without_a_choice_is_refused(options: object, words: str, screen: Screen):
    with pytest.raises(ValueError, match=words):
        predict.predict(NAME, QUESTION, options)


def test_a_name_belongs_to_one_question(screen: Screen):
    ask()
    with pytest.raises(
        ValueError, match="belongs to the question 'Which is highest\\?'; give this one a name of its own"
    ):
        predict.predict(NAME, "Which is lowest?", OPTIONS)
    with pytest.raises(ValueError, match="name and question must be texts; got the int 3"):
        predict.predict(3, QUESTION, OPTIONS)


def test_the_same_name_in_another_chapter_is_another_prediction(screen: Screen, monkeypatch: pytest.MonkeyPatch):
    ask(choice="embed", confidence=0.7)
    monkeypatch.setattr(check, "_started", "02_trusting_probes")
    predict.predict(NAME, "Which is lowest?", OPTIONS)
    assert list(read_predictions()) == [CHAPTER] and screen.texts()[-1].startswith("Which is lowest?")


def test_a_question_that_was_edited_is_asked_anew(screen: Screen, monkeypatch: pytest.MonkeyPatch):
    ask(choice="embed", confidence=0.7)
    restart(monkeypatch)
    predict.predict(NAME, "Which is lowest?", OPTIONS)
    assert screen.texts()[-1].startswith("Which is lowest?")
    settle(NAME, "layer 2")
    assert screen.texts()[-1] == "It came out: layer 2. (You wrote no prediction down.)"


# --- settling ----------------------------------------------------------------------------------------------------


def test_an_outcome_without_a_prediction_is_shown_and_shuts_the_door(jupyter: Screen):
    ask()
    settle(NAME, "layer 2")
    assert jupyter.texts() == ["It came out: layer 2. (You wrote no prediction down.)"] * 2  # the form is gone
    ask()
    assert jupyter.texts()[-1] == "It came out: layer 2. (You wrote no prediction down.)" and not predict._forms


def test_an_outcome_whose_question_has_not_run_is_shown_and_shuts_the_door(screen: Screen):
    settle(NAME, "layer 2")
    ask(choice="layer 2", confidence=1)
    assert screen.texts()[0] == "It came out: layer 2. (You wrote no prediction down.)"
    assert screen.texts()[1].endswith(predict.TOO_LATE) and kept().choice is None


def test_after_a_restart_the_outcome_finds_the_prediction_without_its_cell(screen: Screen, monkeypatch):
    ask(choice="embed", confidence=0.7)
    restart(monkeypatch)
    settle(NAME, "embed")
    assert screen.texts()[-1] == "You said embed, 70 % sure, and so it came out."


def test_the_first_outcome_counts_however_often_the_notebook_runs(screen: Screen):
    ask(choice="embed", confidence=0.7)
    for _ in range(2):
        settle(NAME, np.str_("layer 2"))
    assert screen.texts()[-1] == "You said embed, 70 % sure. It came out: layer 2."
    settle(NAME, "embed")
    assert screen.texts()[-1].endswith("It came out: layer 2. This time it came out: embed. The first outcome counts.")
    assert kept() == Prediction(QUESTION, OPTIONS, "embed", 0.7, "layer 2")


@pytest.mark.parametrize("outcome", ["layer 3", "", 2, None])
def test_an_outcome_that_is_no_option_is_an_error(outcome: object, screen: Screen):
    ask(choice="embed", confidence=0.7)
    with pytest.raises(
        ValueError, match="the outcome of 'whose_work' must be one of 'untrained twin', 'embed', 'layer 2'; got"
    ):
        settle(NAME, outcome)
    assert kept().outcome is None


def test_only_what_was_asked_is_stored(screen: Screen, path: Path):
    ask(choice="embed", confidence=0.7)
    settle(NAME, "layer 2")
    row = {"question": QUESTION, "options": list(OPTIONS), "choice": "embed", "confidence": 0.7, "outcome": "layer 2"}
    assert json.loads(path.read_text())["predictions"] == {CHAPTER: {NAME: row}}


def test_without_a_chapter_the_cure_is_said(screen: Screen, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(check, "_started", None)
    for call in (ask, lambda: settle(NAME, "embed")):
        with pytest.raises(RuntimeError, match=r"run the cells at the top down to start_chapter\(\.\.\.\)"):
            call()


def test_under_grading_nothing_is_shown_asked_or_kept(jupyter: Screen, path: Path, monkeypatch, capfd):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    monkeypatch.setattr(check, "_started", None)
    ask()
    ask(choice="embed", confidence=0.7)
    settle(NAME, "embed")
    assert not jupyter and not list(path.parent.iterdir()) and capfd.readouterr() == ("", "")


def test_progress_counts_predictions_below_the_exercises(screen: Screen):
    chapters = [build.load_chapter(CHAPTER)]
    for name, choice, outcome in [
        ("a", "embed", "embed"),
        ("b", "embed", "layer 2"),
        ("c", "embed", None),
        ("d", None, "embed"),
    ]:
        predict.predict(name, QUESTION, OPTIONS, **({"choice": choice, "confidence": 0.7} if choice else {}))
        if outcome:
            settle(name, outcome)
    html, text = feedback.progress_table(chapters, {}, read_predictions())
    counts = "predictions: 3 written down, 2 settled, 1 right"
    assert text.splitlines()[-2].strip() == counts and html.count(counts) == 1
    assert "predictions" not in feedback.progress_table(chapters, {}, {})[1]


# --- in a real kernel --------------------------------------------------------------------------------------------

SETUP = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from utils.course import predict as module, progress as progress_module
progress_module.PATH = Path({folder!r}) / ".progress.json"
from utils.course.check import start_chapter
from utils.course.predict import predict, settle
start_chapter("01_linear_probes")
"""
ASK = f"predict({NAME!r}, {QUESTION!r}, {OPTIONS!r})"
CLICK = f"form = module._forms[{CHAPTER!r}, {NAME!r}]; form.choice.value = 'embed'; form.done.click()"


def run(folder: Path, *sources: str, can_answer: bool, **environment: str) -> list[list]:
    """The outputs of cells in a kernel of their own, whose front end can be asked for input or not."""
    sources = (SETUP.format(root=str(ROOT), folder=str(folder)), *sources)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}})
    with client.setup_kernel(env=os.environ | {"HF_HUB_OFFLINE": "1"} | environment):
        client.kc.allow_stdin = can_answer
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
    return [cell.outputs for cell in notebook.cells[1:]]


def test_a_run_without_anybody_there_asks_nothing_and_draws_no_form(tmp_path: Path):
    asked, settled = run(tmp_path, ASK, f"settle({NAME!r}, 'layer 2')", can_answer=False)
    assert [set(output.data) for output in asked + settled] == [{"text/plain", "text/html"}] * 2
    assert "confidence=0.7" in asked[0].data["text/plain"] and "confidence=0.7" in asked[0].data["text/html"]
    assert "(You wrote no prediction down.)" in settled[0].data["text/plain"]


def test_in_jupyter_the_saved_outputs_keep_up_with_the_clicks(tmp_path: Path):
    settled, other = f"settle({NAME!r}, 'layer 2')", ASK.replace(NAME, "other")
    asked, waiting, clicked, shown = run(tmp_path, ASK, other, CLICK, settled, can_answer=True)
    said = "You said embed, 33 % sure. It came out: layer 2."
    assert [output.data["text/plain"] for output in asked] == [said, ""] and not clicked
    assert [output.data["text/plain"] for output in shown] == [said]
    card, drawn = (output.data for output in waiting)  # for whoever opens the notebook without its kernel
    assert QUESTION in card["text/html"] and "confidence=0.7" in card["text/html"]
    assert drawn["text/plain"] == "" and "application/vnd.jupyter.widget-view+json" in drawn


def test_nbgrader_sees_nothing_of_it(tmp_path: Path):
    settled = f"settle({NAME!r}, 'layer 2')"
    assert run(tmp_path, ASK, settled, can_answer=False, NBGRADER_EXECUTION="autograde") == [[], []]
    assert not list(tmp_path.glob(".progress*"))


# --- in the chapters ---------------------------------------------------------------------------------------------


def calls(name: str, cells: tuple[SourceCell, ...]) -> Iterator[tuple[str, ast.Call]]:
    """The calls of a function, in order, as (first argument, call)."""
    for cell in cells:
        if cell.kind == "code":
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                    yield ast.literal_eval(node.args[0]), node


@pytest.mark.parametrize("chapter", build.chapter_names())
def test_every_prediction_of_a_chapter_is_asked_once_and_settled_later(chapter: str):
    cells = build.load_chapter(chapter).cells
    asked, settled = ([name for name, _ in calls(kind, cells)] for kind in ("predict", "settle"))
    assert len(asked) == len(set(asked)) and set(asked) == set(settled)
    for name in asked:
        first = {
            kind: next(i for i in range(len(cells)) if name in dict(calls(kind, cells[: i + 1])))
            for kind in ("predict", "settle")
        }
        assert first["predict"] < first["settle"], f"{name} is settled before it is asked"
