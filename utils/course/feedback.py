"""How results look: every card as HTML for notebooks and as plain text for everything else."""

import base64
import html
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from utils.course.chapter import Chapter, Exercise
    from utils.course.progress import Prediction, Predictions
    from utils.course.runner import CheckResult

NOT_TRIED = ("undefined", "unwritten", "borrowed")  # reasons for which no check could run
HINTS_FROM_ATTEMPT = 2  # the first hint comes with the second failed attempt, the next with the third
GREEN, RED = "#1f8b43", "#d9451b"  # a contrast of 4.3 with white and with the black of JupyterLab's dark theme
GREY = "var(--jp-content-font-color2,#737a84)"
_STYLE = (
    "border:1px solid #8884;border-left:5px solid {colour};border-radius:6px;padding:10px 14px;margin:4px 0;"
    "max-width:820px;overflow-x:auto;font-family:var(--jp-content-font-family,system-ui,sans-serif);font-size:14px;line-height:1.5;"
    "color:var(--jp-content-font-color1,inherit)"
)


@dataclass(frozen=True)
class Card:
    """Something to display: Jupyter takes the HTML, a terminal the text."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def report(
    exercise: "Exercise", results: Sequence["CheckResult"], seconds: float, attempts: int = 0
) -> tuple[str, str]:
    """The feedback on one exercise, as (HTML, text)."""
    earned, passed = sum(r.earned for r in results), sum(r.passed for r in results)
    done, not_tried = passed == len(results), results[0].kind in NOT_TRIED
    head = f"Exercise {exercise.number} · {exercise.name}"
    score = f"{earned} of {exercise.points} points · {passed} of {len(results)} checks"
    lines, items, shown = [f"{head}: {score}"], [], set()
    if results[0].kind:
        shown.add(results[0].message)
        lines.append(f"  {results[0].message}")
        items.append(f'<p style="margin:6px 0">{_inline(results[0].message)}</p>')
    if not_tried:
        lines.append("  What will be checked:")
        items.append(f'<div style="color:{GREY}">What will be checked:</div>')
    for result in results:
        sentence = result.name.removeprefix("test_").replace("_", " ")
        mark, colour = ("○", GREY) if not_tried else ("✓", GREEN) if result.passed else ("✗", RED)
        points = f" ({result.points} {'point' if result.points == 1 else 'points'})" if result.points else ""
        lines.append(f"  {mark} {sentence}{points}")
        item = f'<b style="color:{colour};display:inline-block;width:18px;margin-left:-18px">{mark}</b>'
        item += f'{html.escape(sentence)} <span style="color:{GREY};white-space:nowrap">{points.strip()}</span>'
        if result.message and result.message not in shown:
            shown.add(result.message)
            lines.append(f"      {result.message}")
            item += f'<div style="margin:2px 0 6px">{_inline(result.message)}</div>'
        items.append(f'<div style="padding-left:18px">{item}</div>')
    if sum(bool(result.message) for result in results) > 1 and not results[0].kind:
        advice = "Mend the first ✗ first: the others may come from the same mistake."
        lines.append(f"  {advice}")
        items.append(f'<div style="color:{GREY};margin-top:6px">{advice}</div>')
    if not done and attempts >= HINTS_FROM_ATTEMPT and exercise.hints:
        for summary, body in exercise.hints[: attempts - HINTS_FROM_ATTEMPT + 1]:
            lines.append(f"  {summary}: {body}")
            items.append(f'<div style="margin-top:8px"><b>{html.escape(summary)}</b><br>{_inline(body)}</div>')
    count = f" · attempt {attempts}" if attempts else ""
    foot = f'<div style="color:{GREY};font-size:12px;margin-top:6px">{seconds:.2f} s{count}</div>'
    row = "display:flex;flex-wrap:wrap;justify-content:space-between;column-gap:16px;margin-bottom:4px"
    title = f'<div style="{row}"><b>{html.escape(head)}</b><span>{score}</span></div>'
    return _card(
        GREEN if done else GREY if results[0].kind == "unwritten" else RED, title + "".join(items) + foot
    ), "\n".join(lines)


def welcome(chapter: "Chapter", rows: dict[str, dict[str, int]]) -> tuple[str, str]:
    """One line for the setup cell: what the chapter has, and what is done of it."""
    earned, points = sum(row["earned"] for row in rows.values()), sum(e.points for e in chapter.exercises.values())
    done = sum(rows.get(name, {}).get("earned") == e.points for name, e in chapter.exercises.items())
    text = f"{chapter.title}: {done} of {len(chapter.exercises)} exercises done, {earned} of {points} points"
    return _card(GREEN if done == len(chapter.exercises) else GREY, _inline(text)), text


def question(name: str, asked: "Prediction") -> tuple[str, str]:
    """A question that waits for a prediction, as (HTML, text), with the line to write where no form can be shown."""
    line = f'predict("{name}", ..., choice={json.dumps(asked.options[0], ensure_ascii=False)}, confidence=0.7)'
    rows = [" · ".join(asked.options), f"Run this cell to choose, or write your answer into it: `{line}`"]
    instead = "".join(f'<div style="margin-top:6px">{_inline(row)}</div>' for row in rows)
    body = f'<b>{_inline(asked.question)}</b><div class="course-instead">{instead}</div>'
    return _card(GREY, body), "\n  ".join([asked.question, *rows])


def prediction(row: "Prediction", note: str = "") -> tuple[str, str]:
    """What was predicted and what came out, as far as it is known, as (HTML, text)."""
    right = row.choice is not None and row.choice == row.outcome
    sentences = "It came out: {outcome}. (You wrote no prediction down.)"
    if row.choice is not None:
        sentences = f"You said {{choice}}, {100 * row.confidence:.0f} % sure"
        sentences += ", and so it came out." if right else "." if row.outcome is None else ". It came out: {outcome}."
    bold = {key: f"<b>{html.escape(str(getattr(row, key)))}</b>" for key in ("choice", "outcome")}
    body = f"{sentences.format(**bold)} {html.escape(note)}".strip()
    text = f"{sentences.format(choice=row.choice, outcome=row.outcome)} {note}".strip()
    return _card(GREEN if right else GREY, body), text


def progress_table(chapters: Sequence["Chapter"], progress: dict, predictions: "Predictions") -> tuple[str, str]:
    """All exercises of all chapters, and what became of the predictions, as (HTML, text)."""
    lines, rows = [], []
    for chapter in chapters:
        mine = progress.get(chapter.name, {})
        lines.append(chapter.title)
        rows.append(
            f'<tr><th colspan="3" style="text-align:left;padding-top:8px">{html.escape(chapter.title)}</th></tr>'
        )
        for name, exercise in chapter.exercises.items():
            row = mine.get(name, {"earned": 0, "attempts": 0})
            done = row["earned"] == exercise.points
            mark, colour = ("✓", GREEN) if done else ("·", GREY)
            score = f"{row['earned']}/{exercise.points}"
            tries = f"{row['attempts']} {'attempt' if row['attempts'] == 1 else 'attempts'}"
            lines.append(f"  {mark} {exercise.number} {name:<32} {score:>5}  {tries}")
            rows.append(
                f'<tr><td style="text-align:left"><b style="color:{colour}">{mark}</b> {exercise.number} '
                f"<code>{name}</code></td><td>{score}</td><td>{tries}</td></tr>"
            )
        if counts := _count_predictions(predictions.get(chapter.name, {}).values()):
            lines.append(f"  {counts}")
            rows.append(f'<tr><td colspan="3" style="text-align:left;color:{GREY}">{counts}</td></tr>')
    total = sum(e.points for c in chapters for e in c.exercises.values())
    earned = sum(row["earned"] for rows_ in progress.values() for row in rows_.values())
    lines.append(f"{earned} of {total} points")
    table = f'<table style="border-collapse:collapse">{"".join(rows)}</table><b>{earned} of {total} points</b>'
    return _card(GREY, table), "\n".join(lines)


def download(name: str, content: str) -> tuple[str, str]:
    """A link that saves progress as a file, as (HTML, text): a data URI, which every front end takes."""
    data = base64.b64encode(content.encode()).decode()
    link = f'<a download="{name}" href="data:application/json;base64,{data}">Save {name}</a>'
    place = "Here your progress is kept as .progress.json in the course's folder."
    return _card(GREY, f"{link} {place}"), place


def hide_without_kernel(above: str, panel: str) -> str:
    """CSS rules that hide a panel of widgets whose kernel is gone: JupyterLab says "model not found" in its place.

    Args:
        above: class within the output before the panel's.
        panel: class of the panel.
    """
    empty = ".jp-OutputArea-child .jp-OutputArea-output:not(:has(*))"
    return f""".jp-OutputArea-child:has(.{above}) + {empty} {{ display: none }}
.{panel}.jupyter-widgets-disconnected {{ display: none }}"""


def _count_predictions(rows: Iterable["Prediction"]) -> str:
    """Such as 'predictions: 3 written down, 2 settled, 1 right'; nothing if none was written down."""
    written = [row for row in rows if row.choice is not None]
    n_settled = sum(row.outcome is not None for row in written)
    n_right = sum(row.choice == row.outcome for row in written)
    return f"predictions: {len(written)} written down, {n_settled} settled, {n_right} right" if written else ""


def _card(colour: str, body: str) -> str:
    return f'<div class="course-card" style="{_STYLE.format(colour=colour)}">{body}</div>'


def _inline(text: str) -> str:
    """Escape, then show `code` and line breaks."""
    fenced = re.sub(r"```(?:python)?\n(.*?)```", lambda m: f"\0{m[1]}\1", text, flags=re.DOTALL)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(fenced))
    return escaped.replace("\0", '<pre style="margin:4px 0">').replace("\1", "</pre>")
