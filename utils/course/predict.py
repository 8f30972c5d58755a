"""The ledger of predictions: say what will come out, and how sure you are, before you see it.

    predict("whose_work", "Which is highest?", ("untrained twin", "embed", "layer 2"))
    ...
    settle("whose_work", outcome)
    calibration()              # how often you were right, against how sure you were

Both are kept with the progress. Only what was written down before the first outcome counts, and that outcome stays.
"""

import contextlib
import difflib
import io
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import display

from utils.course import feedback
from utils.course.calibration import calibration as calibration  # chapters find it beside predict and settle
from utils.course.check import current_chapter, is_grading
from utils.course.expect import describe
from utils.course.feedback import Card
from utils.course.progress import Prediction, read_predictions, record_outcome, record_prediction

TOO_LATE = "The outcome is known, so nothing more can be written down."
# The card of a question and its form are two outputs: without a kernel, the card shows how else to answer.
STYLE = f"""<style>
.course-instead {{ display: none }}
.jp-OutputArea-child:not(:has(+ .jp-OutputArea-child .course-form:not(.jupyter-widgets-disconnected)))
  .course-instead {{ display: block }}
.course-form {{ margin-left: 18px }}
.course-form .widget-radio-box label {{ display: flex; flex-direction: row-reverse; justify-content: flex-end }}
.course-form .widget-radio-box label {{ height: auto; line-height: 1.5; padding: 2px 0; white-space: normal }}
{feedback.hide_without_kernel("course-prediction", "course-form")}
</style>"""


def predict(
    name: str,
    question: str,
    options: Sequence[str],
    *,
    choice: str | None = None,
    confidence: float | None = None,
) -> None:
    """Ask for a prediction, and keep it until `settle` says what came out.

    Args:
        name: of the prediction; no other in this chapter has it.
        options: at least two.
        choice: one of the options, for whoever would rather write than click, or cannot; goes with a confidence.
        confidence: from chance, which is 1 / len(options), to 1.

    Raises:
        ValueError: If an argument is not as above, or the name belongs to another question.
        RuntimeError: If no chapter is started.
    """
    if is_grading():
        return
    key, asked = (current_chapter(), name), _read_question(name, question, options)
    if _asked.setdefault(key, asked) != asked:
        raise ValueError(
            f"the name {name!r} belongs to the question {_asked[key].question!r}; give this one a name of its own, "
            "or restart the kernel if you have edited the question"
        )
    if key in _forms:
        _forms.pop(key).box.close()
    if choice is not None or confidence is not None:
        said = _read_answer(asked, choice, confidence)
        row = record_prediction(*key, said)
        is_kept = (row.choice, row.confidence) == (said.choice, said.confidence)
        display(Card(*feedback.prediction(row, "" if is_kept else TOO_LATE)))
        return
    row = read_predictions().get(key[0], {}).get(name, asked)
    if row.outcome is None and (row.question, row.options) != (asked.question, asked.options):
        row = asked  # what was said was said to another question
    if row.outcome is None and _can_answer():
        _forms[key] = _Form(*key, row)
    else:
        display(_card(name, row))


def settle(name: str, outcome: str) -> None:
    """Show what came out beside what was predicted. The first outcome is kept for ever.

    Args:
        outcome: one of the prediction's options.

    Raises:
        ValueError: If it is not.
        RuntimeError: If no chapter is started.
    """
    if is_grading():
        return
    key = (current_chapter(), name)
    saved = read_predictions().get(key[0], {}).get(name)
    asked = _asked.get(key) or saved or Prediction("", ())  # the question's cell need not have run
    if not isinstance(outcome, str) or (asked.options and outcome not in asked.options):
        got = repr(str(outcome)) if isinstance(outcome, str) else describe(outcome)
        raise ValueError(f"the outcome of {name!r} must be one of {_listed(asked.options)}; got {got}")
    row = record_outcome(*key, asked, str(outcome))
    if key in _forms:
        _forms.pop(key).close(row)
    note = "" if row.outcome == outcome else f"This time it came out: {outcome}. The first outcome counts."
    display(Card(*feedback.prediction(row, note)))


_asked: dict[tuple[str, str], Prediction] = {}  # the questions of this kernel, by chapter and name
_forms: dict[tuple[str, str], "_Form"] = {}  # those that can be clicked


class _Form:
    """A card that says how things stand; under it a form to write a prediction down, or a button to change it."""

    def __init__(self, chapter: str, name: str, row: Prediction):
        self.chapter, self.name, self.row = chapter, name, row
        self.choice = widgets.RadioButtons(options=row.options, value=row.choice, layout={"width": "auto"})
        self.confidence = widgets.IntSlider(
            value=round(100 * (row.confidence or 0)),
            min=round(100 / len(row.options)),
            max=100,
            description="How sure are you, in %?",
            style={"description_width": "initial"},
            layout={"width": "auto", "max_width": "480px"},
        )
        self.done = widgets.Button(description="Write it down", disabled=row.choice is None)
        self.change = widgets.Button(description="Change it")
        self.form = widgets.VBox([self.choice, self.confidence, self.done])
        self.box = widgets.VBox([self.form, self.change]).add_class("course-form")
        self.choice.observe(self._choose, "index")
        self.done.on_click(self._write)
        self.change.on_click(lambda _: self._show(asking=True))
        self.card = display(Card("", ""), display_id=True)
        self._show(asking=row.choice is None)
        self.slot = display(self.box._repr_mimebundle_() | {"text/plain": ""}, raw=True, display_id=True)

    def close(self, row: Prediction, note: str = "") -> None:
        """Show what became of it, and nothing to click."""
        self.card.update(Card(*feedback.prediction(row, note)))
        self.slot.update({"text/plain": ""}, raw=True)
        self.box.close()

    def _choose(self, _: dict) -> None:
        self.done.disabled = self.choice.index is None

    def _write(self, _: widgets.Button) -> None:
        sure = max(self.confidence.value / 100, 1 / len(self.row.options))  # the slider starts at a rounded chance
        said = replace(self.row, choice=self.choice.value, confidence=sure)
        with contextlib.redirect_stderr(io.StringIO()) as warning:  # nobody sees what a click writes there
            self.row = record_prediction(self.chapter, self.name, said)
        if self.row.outcome is not None:  # meanwhile, in another notebook
            self.close(self.row, TOO_LATE)
        else:
            self._show(asking=False, note=warning.getvalue())
            self.change.focus()

    def _show(self, *, asking: bool, note: str = "") -> None:
        row = replace(self.row, choice=None) if asking else self.row
        self.card.update(_card(self.name, row, note, style=STYLE))
        self.form.layout.display, self.change.layout.display = (None, "none") if asking else ("none", None)


def _card(name: str, row: Prediction, note: str = "", style: str = "") -> Card:
    waits = row.choice is None and row.outcome is None
    html, text = feedback.question(name, row) if waits else feedback.prediction(row, note)
    return Card(f'{style}<div class="course-prediction">{html}</div>', text)


def _can_answer() -> bool:
    """Whether somebody sits before the kernel: the front end could be asked for input as well."""
    get_parent = getattr(get_ipython(), "get_parent", dict)  # a terminal has none
    return get_parent().get("content", {}).get("allow_stdin", False)


def _read_question(name: str, question: str, options: Sequence[str]) -> Prediction:
    if not isinstance(name, str) or not isinstance(question, str):
        raise ValueError(f"name and question must be texts; got {describe(name)} and {describe(question)}")
    if isinstance(options, str) or not all(isinstance(option, str) and option.strip() for option in options):
        raise ValueError(f"options must be texts, as in ('embed', 'layer 2'); got {options!r}")
    if len(options) < 2 or len(set(options)) < len(options):
        raise ValueError(f"options must be at least two, and all different; got {options!r}")
    return Prediction(question, tuple(map(str, options)))


def _read_answer(asked: Prediction, choice: object, confidence: object) -> Prediction:
    if choice not in asked.options:
        close = difflib.get_close_matches(str(choice), asked.options, n=1)
        cure = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"choice must be one of {_listed(asked.options)}; got {choice!r}{cure}")
    chance = 1 / len(asked.options)
    is_number = isinstance(confidence, Real) and not isinstance(confidence, bool)
    if not is_number or not chance - 0.005 <= confidence <= 1:  # 0.33 will do for a third
        cure = f"; write {confidence / 100:g} for {confidence:g} %" if is_number and 1 < confidence <= 100 else ""
        raise ValueError(f"confidence must be a number from {chance:.2f} (chance) to 1; got {confidence!r}{cure}")
    return replace(asked, choice=str(choice), confidence=max(float(confidence), chance))


def _listed(options: Sequence[str]) -> str:
    return ", ".join(map(repr, options))
