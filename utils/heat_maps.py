"""Numbers as colours: a table of scores, a map over the squares of a board.

Shares run through Viridis, from dark to bright. Signed numbers, and scores that are better or worse than chance, run
from red over white to blue. As in utils.plots, each function returns a plotly Figure and shows nothing.
"""

from collections.abc import Sequence

import plotly.graph_objects as go
from jaxtyping import Float
from plotly.colors import sample_colorscale
from torch import Tensor

from utils.boards import board_size
from utils.othello import square_name
from utils.style import finish

N_COLOURS = 41  # of red, white and blue; plotly blends between them


def plot_matrix(
    values: Float[Tensor, "row column"],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    x_title: str,
    y_title: str,
    value_title: str,
    value_range: tuple[float, float] = (0, 1),
    centre: float | None = None,
    texts: Sequence[Sequence[str]] | None = None,
) -> go.Figure:
    """Draw a table of scores: shares in Viridis or, with a centre, blue above it and red below.

    Args:
        values: the number that stands in each cell; NaN leaves it empty.
        rows, columns: their names; the first row is on top.
        value_title: of the colour bar, with its unit.
        value_range: the least and the largest possible value, the ends of the colours.
        centre: the value of white, such as chance, or 0 for no effect.
        texts: [row][column], what the mouse finds beside the number, such as the interval.

    Raises:
        ValueError: If names or texts do not fit values, or the centre lies outside the range.
    """
    if values.ndim != 2 or values.shape != (len(rows), len(columns)):
        expected = (len(rows), len(columns))
        raise ValueError(f"values must be [row column] with {expected}, as the names say, got {tuple(values.shape)}")
    if texts is not None and [len(row) for row in texts] != [len(columns)] * len(rows):
        raise ValueError(f"texts must be {len(rows)} rows of {len(columns)}, got rows of {[len(row) for row in texts]}")
    hover = f"{y_title}: %{{y}}<br>{x_title}: %{{x}}<br><b>%{{z:.2f}}</b> %{{customdata}}<extra></extra>"
    look = _colours(value_range, centre) | {"texttemplate": "%{z:.2f}", "hovertemplate": hover, "hoverongaps": False}
    look["customdata"] = [list(row) for row in texts] if texts is not None else [[""] * len(columns)] * len(rows)
    bar = {"title": {"text": value_title, "side": "right"}, "thickness": 12, "outlinewidth": 0, "nticks": 6}
    look["colorbar"] = bar
    figure = go.Figure(go.Heatmap(z=values.tolist(), x=list(columns), y=list(rows), **look))
    figure.update_xaxes(title=x_title, type="category", showgrid=False, title_standoff=10)
    figure.update_yaxes(title=y_title, type="category", showgrid=False, autorange="reversed", title_standoff=10)
    figure = finish(figure, title)
    return figure.update_layout(height=figure.layout.margin.t + 120 + 36 * len(rows))


def plot_square_values(
    values: Float[Tensor, " square"],
    *,
    title: str,
    value_title: str,
    value_range: tuple[float, float] = (0, 1),
    centre: float | None = None,
) -> go.Figure:
    """Draw one number for each square as a map over the board.

    Args:
        values: NaN leaves a square empty, such as the centre of the board, where nobody ever moves.
        value_title, value_range, centre: as in plot_matrix.

    Raises:
        ValueError: If values are not [square], or the centre lies outside the range.
    """
    size = board_size(values, "values")
    names = [[square_name(size * row + column, size) for column in range(size)] for row in range(size)]
    hover = "%{customdata}: %{z:.3f}<extra></extra>"
    look = _colours(value_range, centre) | {"texttemplate": "%{z:.2f}", "hovertemplate": hover, "hoverongaps": False}
    bar = {"title": {"text": value_title, "side": "bottom"}, "thickness": 10, "outlinewidth": 0, "nticks": 5}
    bar |= {"orientation": "h", "len": 0.4, "y": -0.03, "yanchor": "top"}
    look |= {"customdata": names, "textfont_size": 11, "colorbar": bar}
    rows = [str(row + 1) for row in range(size)]
    figure = go.Figure(go.Heatmap(z=values.reshape(size, size).tolist(), x=list("abcdefgh"[:size]), y=rows, **look))
    shared = {"constrain": "domain", "showgrid": False, "type": "category", "ticks": ""}
    figure.update_xaxes(side="top", **shared)
    figure.update_yaxes(autorange="reversed", scaleanchor="x", **shared)
    figure = finish(figure, title)
    return figure.update_layout(height=470, margin={"l": 30, "r": 8, "t": figure.layout.margin.t + 20})


def _colours(value_range: tuple[float, float], centre: float | None) -> dict:
    """How plotly colours numbers of a range. White is on the centre, and as far from it a colour is as strong."""
    low, high = value_range
    if not low < high or not (centre is None or low <= centre <= high):
        raise ValueError(f"value_range must rise and hold the centre, got {value_range} and {centre}; swap its ends?")
    scale = "Viridis"
    if centre is not None:
        reach = 2 * max(centre - low, high - centre)
        ends = {"low": 0.5 + (low - centre) / reach, "high": 0.5 + (high - centre) / reach}
        scale = sample_colorscale("RdBu", N_COLOURS, **ends)
    return {"colorscale": scale, "zmin": low, "zmax": high, "xgap": 2, "ygap": 2}
