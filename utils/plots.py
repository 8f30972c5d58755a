"""Figures of lines and bars: one function for each type, which returns a plotly Figure and shows nothing.

Intervals are 95 %; every axis says its unit. Points in the plane are in utils.point_plots, tables in utils.heat_maps,
boards in utils.boards, sparse autoencoders in utils.sae_plots; what all of them look like is in utils.style.
"""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from utils.style import BLUE, GREY, LINE_COLOURS, ORANGE, SERIES, error_bars, finish

DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot")
LAYER_TITLE = "layer (stream after the block)"


def plot_lines_by_layer(
    lines: Mapping[str, Float[Tensor, " layer"]],
    *,
    layers: Sequence[int | str],
    title: str,
    y_title: str,
    y_range: tuple[float, float] = (0, 1),
    intervals: Mapping[str, Float[Tensor, "layer 2"]] | None = None,
    baselines: Mapping[str, float] | None = None,
    guess: Sequence[float] = (),
) -> go.Figure:
    """Draw one line for each name over the layers, such as ["embed", 0, 1]; the rest as for plot_lines.

    Args:
        guess: a learner's own curve, drawn in grey; nothing if empty.

    Raises:
        ValueError: If a line, or the guess, has another length than layers.
    """
    ticks = [str(layer) for layer in layers]
    shared = {"title": title, "y_title": y_title, "y_range": y_range, "intervals": intervals, "baselines": baselines}
    figure = plot_lines(lines, x=ticks, x_title=LAYER_TITLE, **shared)
    if len(guess):
        if len(guess) != len(ticks):
            raise ValueError(f"your guess must have one number for each of the {len(ticks)} layers, got {len(guess)}")
        figure.add_scatter(x=ticks, y=list(guess), name="your guess", mode="lines+markers", line_color=GREY)
    return finish(figure, title)


def plot_lines(
    lines: Mapping[str, Float[Tensor, " point"]],
    *,
    x: Sequence[float] | Sequence[str] | Float[Tensor, " point"],
    x_title: str,
    title: str,
    y_title: str,
    y_range: tuple[float, float] = (0, 1),
    intervals: Mapping[str, Float[Tensor, "point 2"]] | None = None,
    baselines: Mapping[str, float] | None = None,
    marks: Mapping[str, float] | None = None,
) -> go.Figure:
    """Draw one line for each name, with bands for intervals, dashed baselines, and upright lines for marks.

    Args:
        lines: name -> one value for each entry of x.
        x: numbers, or names of steps, which are set at equal distances.
        intervals: name -> lower and upper end at each point.
        baselines: name -> a value that does not depend on x, such as the majority class.
        marks: name -> a place on the x-axis, such as a theoretical limit; only where x are numbers.

    Raises:
        ValueError: If a line has another length than x.
    """
    x = x.tolist() if isinstance(x, Tensor) else list(x)
    figure = go.Figure()
    for (colour, symbol), (name, values) in zip(SERIES * len(lines), lines.items(), strict=False):
        if len(values) != len(x):
            raise ValueError(f"line {name!r} must have one value for each of the {len(x)} points, got {len(values)}")
        if intervals and name in intervals:
            _add_band(figure, x, intervals[name], fillcolor=colour, opacity=0.18, showlegend=False)
        look = {"mode": "lines+markers", "line_color": colour, "marker": {"symbol": symbol, "size": 7}}
        figure.add_scatter(x=x, y=values.tolist(), name=name, **look)
    _add_baselines(figure, baselines)
    for name, place in (marks or {}).items():
        figure.add_vline(x=place, line={"dash": "dot", "color": GREY}, name=name, showlegend=True)
    low, high = y_range
    edge = 0.03 * (high - low)  # so that points on the border are drawn whole
    figure.update_xaxes(title=x_title, type="category" if isinstance(x[0], str) else "linear")
    figure.update_yaxes(title=y_title, range=[low - edge, high + edge], zeroline=False)
    return finish(figure, title)


def plot_slopes(
    slopes: Mapping[str, Float[Tensor, "2"]],
    *,
    intervals: Mapping[str, Float[Tensor, "2 2"]],
    steps: tuple[str, str],
    title: str,
    y_title: str,
    y_range: tuple[float, float] = (0, 1),
) -> go.Figure:
    """Draw what happens to each name from one step to the next: two points with intervals and a line between them.

    Args:
        slopes: name -> its value at the first and the second step; the legend holds both.
        intervals: name -> [step end], lower and upper end at each step.
    """
    figure = go.Figure()
    for i, (name, values) in enumerate(slopes.items()):
        colour, symbol = SERIES[i % len(SERIES)]
        error = error_bars(values.tolist(), intervals[name].tolist())
        look = {"mode": "lines+markers", "line_color": colour, "marker": {"symbol": symbol, "size": 8}}
        label = f"{name}: {values[0]:.2f} → {values[1]:.2f}"
        x = [0.03 * i, 1 + 0.03 * i]  # side by side, so that every interval is seen
        figure.add_scatter(x=x, y=values.tolist(), name=label, error_y=error, **look)
    middle = 0.015 * (len(slopes) - 1)
    figure.update_xaxes(tickvals=[middle, 1 + middle], ticktext=list(steps), range=[-0.2, 1.3], zeroline=False)
    figure.update_yaxes(title=y_title, range=list(y_range))
    return finish(figure, title)


def plot_dose_response(
    doses: Float[Tensor, " dose"],
    effects: Mapping[str, Float[Tensor, " dose"]],
    *,
    title: str,
    x_title: str,
    y_title: str,
    intervals: Mapping[str, Float[Tensor, "dose 2"]] | None = None,
    natural: tuple[float, float] | None = None,
    baselines: Mapping[str, float] | None = None,
    placebo: Float[Tensor, "dose 2"] | None = None,
) -> go.Figure:
    """Draw what an intervention does against its dose, with the controls that a reading of it needs.

    Args:
        effects: name -> one effect for each dose, such as the normalised indirect effect.
        intervals: name -> lower and upper end at each dose.
        natural: the doses that occur without intervention; shaded.
        baselines: name -> an effect that has no dose, such as that of the whole vector swapped.
        placebo: lower and upper end of what random directions of the same length do; a grey band.

    Raises:
        ValueError: If effects, intervals or placebo do not fit the doses.
    """
    for name, ends in {**(intervals or {}), "placebo": placebo}.items():
        if ends is not None and ends.shape != (len(doses), 2):
            raise ValueError(f"{name!r} must be [dose 2] for {len(doses)} doses, got {tuple(ends.shape)}")
    shared = {"title": title, "x_title": x_title, "y_title": y_title, "intervals": intervals, "baselines": baselines}
    figure = plot_lines(effects, x=doses, **shared)
    if placebo is not None:
        _add_band(figure, doses.tolist(), placebo, fillcolor=GREY, opacity=0.3, name="random directions")
    if natural is not None:
        low, high = natural
        look = {"fillcolor": BLUE, "opacity": 0.12, "line_width": 0, "layer": "below", "showlegend": True}
        figure.add_vrect(x0=low, x1=high, name="natural range", **look)
    figure.update_xaxes(zeroline=False)
    figure.update_yaxes(range=None, autorange=True, zeroline=True, zerolinecolor=GREY)
    return finish(figure, title)


def plot_logit_histogram(
    logits: Float[Tensor, " batch"],
    labels: Bool[Tensor, " batch"],
    *,
    title: str,
    class_names: tuple[str, str] = ("False", "True"),
    n_bins: int = 60,
) -> go.Figure:
    """Draw how the logits of the two classes are spread, with the threshold at 0 and the share called right.

    Raises:
        ValueError: If logits and labels differ in length.
    """
    if logits.shape != labels.shape or logits.ndim != 1:
        raise ValueError(f"logits and labels must be [batch], got {tuple(logits.shape)} and {tuple(labels.shape)}")
    edge = float(logits.abs().max()) or 1.0
    edges = torch.linspace(-edge, edge, n_bins + 1)
    centres = ((edges[1:] + edges[:-1]) / 2).tolist()
    figure = go.Figure()
    for name, colour, chosen, right in [
        (class_names[0], ORANGE, ~labels, logits <= 0),
        (class_names[1], BLUE, labels, logits > 0),
    ]:
        counts = torch.histogram(logits[chosen].float().cpu(), edges).hist.tolist()
        share = float(right[chosen].float().mean())
        label = f"{name} (n = {int(chosen.sum())}, {share:.0%} on its side)"
        figure.add_bar(x=centres, y=counts, name=label, marker_color=colour, opacity=0.65, width=2 * edge / n_bins)
    figure.add_vline(x=0, line={"dash": "dash", "color": GREY}, name="threshold", showlegend=True)
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_xaxes(title="logit of the probe")
    figure.update_yaxes(title="examples")
    return finish(figure, title)


def plot_bars(
    values: Mapping[str, float],
    *,
    intervals: Mapping[str, tuple[float, float]],
    title: str,
    y_title: str,
    y_range: tuple[float, float] = (0, 1),
    baselines: Mapping[str, float] | None = None,
) -> go.Figure:
    """Draw one bar for each name with its interval, and dashed baselines."""
    figure = plot_grouped_bars({"": values}, intervals={"": intervals}, title=title, y_title=y_title, y_range=y_range)
    figure.update_traces(showlegend=False)
    _add_baselines(figure, baselines)
    return finish(figure, title)


def plot_grouped_bars(
    values: Mapping[str, Mapping[str, float]],
    *,
    intervals: Mapping[str, Mapping[str, tuple[float, float]]],
    title: str,
    y_title: str,
    y_range: tuple[float, float] = (0, 1),
    number_format: str = ".2f",
) -> go.Figure:
    """Draw bars with their intervals, side by side where several series have the same name.

    Args:
        values: series -> name -> height; at most six series.
        intervals: the same keys -> lower and upper end.
        number_format: of the numbers in the bars, in d3's language: ",.0f" for thousands.
    """
    figure = go.Figure()
    for colour, (series, bars) in zip(LINE_COLOURS, values.items(), strict=False):
        names, heights = list(bars), list(bars.values())
        error = error_bars(heights, [intervals[series][name] for name in names])
        text = {"texttemplate": f"%{{y:{number_format}}}", "textposition": "inside", "insidetextanchor": "middle"}
        look = {"name": series, "marker_color": colour, "opacity": 0.8, "textangle": 0, **text}
        figure.add_bar(x=names, y=heights, error_y=error, **look)
    figure.update_yaxes(title=y_title, range=list(y_range))
    figure.update_layout(uniformtext={"mode": "hide", "minsize": 9})  # a number that does not fit is left out
    return finish(figure, title)


def _add_band(figure: go.Figure, x: list, ends: Float[Tensor, "point 2"], **look) -> None:
    """A band from the lower to the upper ends, behind what is drawn later."""
    low, high = ends.T.tolist()
    look |= {"fill": "toself", "line_width": 0, "mode": "lines", "hoverinfo": "skip"}
    figure.add_scatter(x=x + x[::-1], y=high + low[::-1], **look)


def _add_baselines(figure: go.Figure, baselines: Mapping[str, float] | None) -> None:
    """Dashed lines from side to side, named in the legend: a label at the line would lie on the data."""
    for dash, (name, value) in zip(DASHES * len(baselines or {}), (baselines or {}).items(), strict=False):
        figure.add_hline(y=value, line={"dash": dash, "color": GREY}, name=f"{name} ({value:.2f})", showlegend=True)
