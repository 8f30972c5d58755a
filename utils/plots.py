"""One function per type of figure; each returns a plotly Figure and shows nothing.

Blue is True (positive, mine), orange is False (negative, yours). Intervals are 95 %; every axis says its unit.
"""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from jaxtyping import Bool, Float
from torch import Tensor

BLUE, ORANGE, GREY = "#2563a8", "#d9730d", "#7a7f87"
LINE_COLOURS = (BLUE, ORANGE, "#2f8f5b", "#8e5ba6", "#a3543a", "#5b6b7a")
DASHES = ("dash", "dot", "dashdot")
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
) -> go.Figure:
    """Draw one line for each name over the layers, with bands for intervals and dashed baselines.

    Args:
        lines: name -> one value for each layer.
        layers: names of the layers, such as ["embed", 0, 1].
        intervals: name -> lower and upper end at each layer.
        baselines: name -> a value that does not depend on the layer, such as the majority class.

    Raises:
        ValueError: If a line has another length than layers.
    """
    ticks = [str(layer) for layer in layers]
    figure = go.Figure()
    for colour, (name, values) in zip(LINE_COLOURS * len(lines), lines.items(), strict=False):
        if len(values) != len(ticks):
            raise ValueError(
                f"line {name!r} must have one value for each of the {len(ticks)} layers, got {len(values)}"
            )
        if intervals and name in intervals:
            low, high = intervals[name].T.tolist()
            band = {
                "x": ticks + ticks[::-1],
                "y": high + low[::-1],
                "fill": "toself",
                "fillcolor": colour,
                "opacity": 0.18,
            }
            figure.add_scatter(**band, line_width=0, mode="lines", hoverinfo="skip", showlegend=False)
        figure.add_scatter(x=ticks, y=values.tolist(), name=name, mode="lines+markers", line_color=colour)
    _add_baselines(figure, baselines)
    low, high = y_range
    edge = 0.03 * (high - low)  # so that points on the border are drawn whole
    figure.update_xaxes(title=LAYER_TITLE, type="category")
    figure.update_yaxes(title=y_title, range=[low - edge, high + edge], zeroline=False)
    return _finish(figure, title)


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
    return _finish(figure, title)


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
    figure = go.Figure()
    names, heights = list(values), list(values.values())
    error = {
        "type": "data",
        "array": [intervals[name][1] - values[name] for name in names],
        "arrayminus": [values[name] - intervals[name][0] for name in names],
    }
    number = {"texttemplate": "%{y:.2f}", "textposition": "inside", "insidetextanchor": "middle", "textangle": 0}
    figure.add_bar(x=names, y=heights, marker_color=BLUE, opacity=0.8, error_y=error, showlegend=False, **number)
    _add_baselines(figure, baselines)
    figure.update_yaxes(title=y_title, range=list(y_range))
    return _finish(figure, title)


def _add_baselines(figure: go.Figure, baselines: Mapping[str, float] | None) -> None:
    """Dashed lines from side to side, named in the legend: a label at the line would lie on the data."""
    for dash, (name, value) in zip(DASHES * len(baselines or {}), (baselines or {}).items(), strict=False):
        figure.add_hline(y=value, line={"dash": dash, "color": GREY}, name=f"{name} ({value:.2f})", showlegend=True)


def plot_swatches(
    names: Sequence[str],
    *,
    true: Float[Tensor, "name 3"],
    predicted: Float[Tensor, "name 3"],
    title: str,
    n_columns: int = 3,
) -> go.Figure:
    """Draw two squares for each name: the true colour on the left, the predicted one on the right.

    Args:
        true: sRGB, 0 to 1.
        predicted: the same; values outside 0 to 1 are drawn at the border.

    Raises:
        ValueError: If names and colours differ in number.
    """
    if not len(names) == len(true) == len(predicted):
        raise ValueError(f"names, true and predicted must be as many, got {len(names)}, {len(true)}, {len(predicted)}")
    n_rows = -(-len(names) // n_columns)
    columns, rows = [i // n_rows for i in range(len(names))], [i % n_rows for i in range(len(names))]
    figure = go.Figure()
    for offset, colours in ((0.0, true), (0.09, predicted)):
        fills = [f"rgb({r},{g},{b})" for r, g, b in (colours.clamp(0, 1) * 255).round().int().tolist()]
        marker = {"symbol": "square", "size": 20, "color": fills, "line": {"width": 1, "color": GREY}}
        figure.add_scatter(x=[c + offset for c in columns], y=rows, mode="markers", marker=marker, text=list(names))
    x = [c + 0.15 for c in columns]
    figure.add_scatter(x=x, y=rows, mode="text", text=list(names), textposition="middle right", hoverinfo="skip")
    figure.update_xaxes(visible=False, range=[-0.1, n_columns - 0.1])
    figure.update_yaxes(visible=False, range=[n_rows - 0.4, -0.6])
    return _finish(figure, title).update_layout(showlegend=False, height=90 + 27 * n_rows)


def _finish(figure: go.Figure, title: str) -> go.Figure:
    """What all figures share: a size that fits a notebook, a quiet background, the legend at the bottom."""
    figure.update_layout(
        title={"text": title, "font_size": 16, "x": 0.01, "xanchor": "left", "y": 0.97, "yanchor": "top"},
        template="plotly_white",
        height=400,
        margin={"l": 60, "r": 20, "t": 50, "b": 60},
        legend={"orientation": "h", "x": 0, "yref": "container", "y": 0.01, "yanchor": "bottom"},
        font={"size": 13},
    )
    return figure
