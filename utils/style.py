"""What figures and panels look like: the colours, the letters, the frame of a figure.

Blue is True (positive, mine), orange is False (negative, yours). Every colour of LINE_COLOURS has a symbol of its own,
and they stay apart for readers who see no red or no green; tests/unit/test_style.py simulates both. Figures and
drawings bring their own light ground, so that they look the same on a light and on a dark page.
"""

import textwrap

import plotly.graph_objects as go

BLUE, ORANGE, GREY = "#2563a8", "#d9730d", "#7a7f87"
GROUND, FIELD, INK, FAINT = "#ffffff", "#e9ecef", "#1f242b", "#5f6670"  # page, squares, letters, quieter letters
RULE, QUIET = "#d9dde2", "#b9bfc7"  # lines and bars that are not what a picture is about
TEAL, RED = "#21918c", "#c4122f"  # strength (the middle of Viridis), marks
LINE_COLOURS = (BLUE, ORANGE, "#1f9958", "#7d21d9", "#6b1e0b", INK)
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "x", "star")
SERIES = tuple(zip(LINE_COLOURS, SYMBOLS, strict=True))  # what the first, second, ... series of a figure looks like
FONT = "system-ui,-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif"
TITLE_LETTERS = 68  # in a line: what a notebook in a window of 700 pixels has room for


def finish(figure: go.Figure, title: str) -> go.Figure:
    """Give a figure what all have in common: size, quiet background, title on top, legend at the bottom."""
    lines = textwrap.wrap(title, TITLE_LETTERS)
    more = 20 * (len(lines) - 1)  # pixels, for the lines after the first
    text = {"text": "<br>".join(lines), "font_size": 16}
    return figure.update_layout(
        title=text | {"x": 0.01, "xanchor": "left", "yref": "container", "y": 1, "yanchor": "top", "pad": {"t": 12}},
        template="plotly_white",
        height=400 + more,
        margin={"l": 60, "r": 20, "t": 50 + more, "b": 60},
        legend={"orientation": "h", "x": 0, "yref": "container", "y": 0.01, "yanchor": "bottom"},
        font={"size": 13},
    )
