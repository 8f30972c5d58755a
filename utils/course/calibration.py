"""How well a learner's confidence fits: the settled predictions of all chapters, grouped by how sure they were.

    from utils.course.predict import calibration
    calibration()          # draws the curve, and says in one line how to read it

A prediction counts as right if its choice came out. Of ten that were 80 % sure, eight should be.
"""

import html
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from IPython.display import display

from utils.course.check import is_grading
from utils.course.feedback import Card
from utils.course.progress import Prediction, Predictions, read_predictions
from utils.plots import plot_lines
from utils.style import BLUE, GREY, error_bars, finish

EDGES = (0.5, 0.7, 0.9)  # confidence where one group ends and the next begins; the last holds 1
ENOUGH = 10  # with fewer predictions a curve says next to nothing
Z = 1.96  # standard errors of a 95 % interval
STYLE = "max-width:820px;font-size:14px;line-height:1.5;color:var(--jp-content-font-color1,inherit)"


@dataclass(frozen=True)
class Group:
    """Settled predictions of like confidence: how sure they were on average, and how many were right."""

    name: str
    confidence: float
    n_right: int
    n: int

    @property
    def share(self) -> float:
        return self.n_right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.n_right, self.n)


def calibration() -> None:
    """Show how often you were right, against how sure you were, over all chapters; nothing while grading."""
    if is_grading():
        return
    predictions = read_predictions()
    if settled_predictions(predictions):
        display(plot_calibration(predictions))
    text = read_calibration(predictions)
    display(Card(f'<div style="{STYLE}">{html.escape(text)}</div>', text))


def settled_predictions(predictions: Predictions) -> list[tuple[float, bool]]:
    """(confidence, right) of every prediction that was written down and settled, of all chapters."""
    return [(row.confidence, row.choice == row.outcome) for row in _settled(predictions)]


def group_predictions(settled: Sequence[tuple[float, bool]]) -> list[Group]:
    """Up to four groups, from the least sure to the surest; those without a prediction are left out."""
    groups, ends = [], (0.0, *EDGES, math.inf)
    for low, high in itertools.pairwise(ends):
        rows = [(sure, right) for sure, right in settled if low <= sure < high]
        if rows:
            name = f"under {_percent(EDGES[0])}" if not low else f"{_percent(low)} to {_percent(min(high, 1))}"
            groups.append(Group(name, sum(sure for sure, _ in rows) / len(rows), sum(r for _, r in rows), len(rows)))
    return groups


def wilson_interval(n_right: int, n: int) -> tuple[float, float]:
    """95 % interval of a share by Wilson's score (1927), which stays within 0 and 1 however few there are."""
    share, spread = n_right / n, Z * Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def brier_score(settled: Sequence[tuple[float, bool]]) -> float:
    """Mean squared distance of the confidence from 1 where right, from 0 where wrong; 0 is best (Brier 1950)."""
    return sum((sure - right) ** 2 for sure, right in settled) / len(settled)


def read_calibration(predictions: Predictions) -> str:
    """The curve in words: how many were right, how sure they were, and whether the difference says anything."""
    settled = settled_predictions(predictions)
    if not settled:
        return "No prediction of yours is settled yet: write one down with predict, and run on to where it is settled."
    n, n_right, said = len(settled), sum(right for _, right in settled), sum(sure for sure, _ in settled)
    counts = f"{n} settled prediction{'s' * (n > 1)}, {n_right} right ({_percent(n_right / n)})"
    counts += f"; you were {_percent(said / n)} sure"
    score = f"Brier score {brier_score(settled):.2f} (0 is best; 50 % sure of everything gives 0.25)."
    if n < ENOUGH:
        return f"{counts}. {score} With fewer than {ENOUGH}, a curve says next to nothing: make more."
    gap, by_chance = (said - n_right) / n, Z * math.sqrt(sum(sure * (1 - sure) for sure, _ in settled)) / n
    if abs(gap) <= by_chance:
        verdict = (
            f"this fits as far as {n} can tell, since chance alone makes gaps of up to {100 * by_chance:.0f} points"
        )
    else:
        verdict = f"{'over' if gap > 0 else 'under'}confident by {100 * abs(gap):.0f} points, more than chance explains"
    return f"{counts}: {verdict}. {score}"


def plot_calibration(predictions: Predictions) -> go.Figure:
    """Draw the share right of each group against how sure it was, with 95 % intervals; on the diagonal both are equal.

    Raises:
        ValueError: If no prediction is settled.
    """
    settled = settled_predictions(predictions)
    if not settled:
        raise ValueError("predictions must hold a settled one, got none; write one down with predict, then settle it")
    groups = group_predictions(settled)
    x, y = [group.confidence for group in groups], [group.share for group in groups]
    title = f"Your calibration: {len(settled)} settled prediction{'s' * (len(settled) > 1)}"
    names = {"x_title": "how sure you said you were", "y_title": "share that was right"}
    rows = _settled(predictions)
    guessing = sum(1 / len(row.options) for row in rows) / len(rows)
    figure = plot_lines({}, x=[0.0], title=title, baselines={"guessing": guessing}, **names)
    line = {"color": GREY, "width": 1.5}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, name="as right as sure", hoverinfo="skip")
    hover = []
    for group in groups:
        low, high = map(_percent, group.interval)
        hover.append(f"{group.name} sure: {group.n_right} of {group.n} right<br>95 % [{low}, {high}]")
    error = error_bars(y, [group.interval for group in groups])
    sizes = [8 + 3 * math.sqrt(group.n) for group in groups]
    look = {"marker": {"color": BLUE, "size": sizes, "opacity": 1}, "line": {"color": BLUE, "width": 2}}
    figure.add_scatter(
        x=x, y=y, error_y=error, name="you, with 95 % interval", mode="lines+markers", hovertext=hover,
        hoverinfo="text", **look,
    )  # fmt: skip
    for group in groups:
        place = {"x": group.confidence, "y": group.interval[1], "yanchor": "bottom", "yshift": 3}
        figure.add_annotation(text=f"{group.n_right} of {group.n}", showarrow=False, **place)
    figure.update_xaxes(range=[min(0.25, x[0] - 0.05), 1.05], tickformat=".0%", zeroline=False)
    figure.update_yaxes(range=[-0.03, 1.12], tickformat=".0%", tickvals=[i / 5 for i in range(6)])
    return finish(figure, title)


def _settled(predictions: Predictions) -> list[Prediction]:
    rows = (row for chapter in predictions.values() for row in chapter.values())
    return [row for row in rows if row.choice is not None and row.outcome is not None]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
