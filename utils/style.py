"""What figures and panels look like: the colours, the letters, intervals, the frame of a figure.

Blue is True (positive, mine), orange is False (negative, yours). Every colour of LINE_COLOURS has a symbol of its own,
and they stay apart for readers who see no red or no green; tests/unit/test_style.py simulates both. Figures and
drawings bring their own light ground, so that they look the same on a light and on a dark page.
"""

import math
import textwrap
from collections.abc import Sequence

import plotly.graph_objects as go

BLUE, ORANGE, GREY = "#2563a8", "#d9730d", "#7a7f87"
GROUND, FIELD, INK, FAINT = "#ffffff", "#e9ecef", "#1f242b", "#5f6670"  # page, squares, letters, quieter letters
RULE, QUIET = "#d9dde2", "#b9bfc7"  # lines and bars that are not what a picture is about
TEAL, RED = "#21918c", "#c4122f"  # strength (the middle of Viridis), marks
LINE_COLOURS = (BLUE, ORANGE, "#1f9958", "#7d21d9", "#6b1e0b", INK)
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "x", "star")
SERIES = tuple(zip(LINE_COLOURS, SYMBOLS, strict=True))  # what the first, second, ... series of a figure looks like
FONT = "system-ui,-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif"
NARROW = 500  # pixels that a figure has for words in a window of 700


def finish(figure: go.Figure, title: str) -> go.Figure:
    """Give a figure, once all is drawn, what all have in common: a quiet ground, the title on top, the legend below.

    Where the title or the legend needs several lines in a narrow window, the figure is as much higher.
    """
    lines = textwrap.wrap(title, NARROW // 7)  # letters of 16 pixels are some 7 wide
    more = 20 * max(len(lines) - 1, 0)
    place = {"x": 0.01, "xanchor": "left", "yref": "container", "y": 1, "yanchor": "top"}
    place["pad"] = {
        "t": 24 if more else 12
    }  # plotly measures to the foot of the first of several lines, else to its head
    return figure.update_layout(
        title={"text": "<br>".join(lines), "font_size": 16} | place,
        template="plotly_white",
        height=400 + more + 20 * (_legend_lines(figure) - 1),
        margin={"l": 60, "r": 20, "t": 50 + more, "b": 60},
        legend={"orientation": "h", "x": 0, "yref": "container", "y": 0.01, "yanchor": "bottom"},
        font={"size": 13, "color": INK},
    )


def error_bars(values: Sequence[float], ends: Sequence[tuple[float, float]]) -> dict:
    """plotly's way to say intervals: how far each upper and lower end is from its value."""
    above = [high - value for value, (_, high) in zip(values, ends, strict=True)]
    below = [value - low for value, (low, _) in zip(values, ends, strict=True)]
    return {"type": "data", "array": above, "arrayminus": below, "thickness": 1.5}


def _legend_lines(figure: go.Figure) -> int:
    """Lines of the legend in a narrow window, at least one. Its entries stand in columns as wide as the longest."""
    traces = [trace for trace in figure.data if trace.name and trace.showlegend is not False]
    names = [entry.name for entry in (*traces, *(shape for shape in figure.layout.shapes if shape.showlegend))]
    widths = [40 + 7 * len(name) for name in names]
    if sum(widths) <= NARROW:
        return 1
    return math.ceil(len(names) / max(NARROW // max(widths), 1))
