"""Figures of points in the plane: two classes, statements on two directions, colours, places on the map of the world.

As in utils.plots, each function returns a plotly Figure and shows nothing.
"""

import html
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from jaxtyping import Bool, Float
from plotly.subplots import make_subplots
from torch import Tensor

from utils.datasets import Places
from utils.globe import MAP_WIDTH, graticule, great_circle_km, project_equal_earth, shortest_way, unit_vectors
from utils.probes import LinearProbe
from utils.style import BLUE, FIELD, LINE_COLOURS, ORANGE, QUIET, finish


def plot_classes(
    points: Float[Tensor, "batch 2"],
    labels: Bool[Tensor, " batch"],
    *,
    probes: Mapping[str, LinearProbe],
    title: str,
    class_names: tuple[str, str] = ("False", "True"),
) -> go.Figure:
    """Draw two classes in two dimensions and, for each probe, its threshold (a line) and its weight (an arrow).

    Both axes have one scale, so that an arrow stands upright on its line. It points to the side of True; its length
    says nothing.

    Raises:
        ValueError: If points are not [batch 2], or labels do not fit.
    """
    if points.ndim != 2 or points.shape[1] != 2 or labels.shape != points.shape[:1]:
        raise ValueError(
            f"points must be [batch 2] and labels [batch], got {tuple(points.shape)} and {tuple(labels.shape)}"
        )
    figure = go.Figure()
    sides = [(class_names[0], ORANGE, "circle-open", ~labels), (class_names[1], BLUE, "circle", labels)]
    for name, colour, symbol, chosen in sides:
        marker = {"color": colour, "symbol": symbol, "size": 6, "opacity": 0.6}
        x, y = points[chosen].T.tolist()
        figure.add_scatter(x=x, y=y, mode="markers", marker=marker, name=name)
    centre = points.mean(dim=0)
    radius = float((points - centre).norm(dim=1).max())
    looks = zip(LINE_COLOURS[2:] * len(probes), ("solid", "dash", "dot", "dashdot") * len(probes), strict=False)
    for (colour, dash), (name, probe) in zip(looks, probes.items(), strict=False):
        unit = probe.weight / probe.weight.norm()
        foot = centre - float(probe(centre[None])) / probe.weight.norm() * unit  # the point of the line nearest to it
        down = torch.stack([unit[1], -unit[0]]) * (1 if unit[0] > 0 else -1)  # along the line
        x, y = torch.stack([foot - radius * down, foot + radius * down]).T.tolist()
        share = float(((probe(points) > 0) == labels).float().mean())
        line = {"color": colour, "width": 3, "dash": dash}
        figure.add_scatter(x=x, y=y, mode="lines", line=line, name=f"{name} ({share:.0%} right)")
        tail = foot + 0.6 * radius * down  # where there are few points
        (tail_x, tail_y), (head_x, head_y) = tail.tolist(), (tail + 0.35 * radius * unit).tolist()
        arrow = {"showarrow": True, "arrowhead": 2, "arrowwidth": 3, "arrowcolor": colour, "text": ""}
        figure.add_annotation(x=head_x, y=head_y, ax=tail_x, ay=tail_y, axref="x", ayref="y", **arrow)
    low, high = points.amin(dim=0), points.amax(dim=0)
    edge = 0.05 * (high - low)
    (x_low, y_low), (x_high, y_high) = (low - edge).tolist(), (high + edge).tolist()
    figure.update_xaxes(title="dimension 0", zeroline=False, range=[x_low, x_high])
    figure.update_yaxes(title="dimension 1", zeroline=False, range=[y_low, y_high], scaleanchor="x")
    legend = {"orientation": "v", "x": 1.02, "yref": "paper", "y": 1, "yanchor": "top"}
    return finish(figure, title).update_layout(legend=legend)


def plot_scatter_grid(
    panels: Mapping[
        str, tuple[Float[Tensor, "statement 2"], Bool[Tensor, " statement"], Bool[Tensor, " statement"] | None]
    ],
    *,
    title: str,
    x_title: str = "PC1",
    y_title: str = "PC2",
    texts: Mapping[str, Sequence[str]] | None = None,
) -> go.Figure:
    """Draw a dot for each statement, blue if true, orange if false, in panels side by side, such as one for each world.

    A full circle is affirmed, an open diamond negated. Each axis of each panel has its own scale: distances across and
    up cannot be compared.

    Args:
        panels: name, written above -> (points, which statements are true, which are negated). With None in place of
            the last all statements are affirmed, and the legend does not say so.
        texts: name of a panel -> what the mouse finds at its dots.

    Raises:
        ValueError: If there are no panels, or one does not fit itself.
    """
    if not panels:
        raise ValueError("panels must hold at least one scatter, got none")
    figure = make_subplots(cols=len(panels), subplot_titles=list(panels), horizontal_spacing=0.05)
    named = set()
    for column, (name, panel) in enumerate(panels.items(), start=1):
        for trace in _clouds(name, *panel, (texts or {}).get(name, ())):
            trace.update(legendgroup=trace.name, showlegend=trace.name not in named)
            named.add(trace.name)
            figure.add_trace(trace, row=1, col=column)
    figure.update_xaxes(title=x_title, zeroline=False, showticklabels=False)
    figure.update_yaxes(zeroline=False, showticklabels=False)
    figure.update_yaxes(title=y_title, col=1)
    figure.update_annotations(font_size=14)
    figure = finish(figure, title)
    margin = {"l": 40, "r": 10, "t": figure.layout.margin.t + 30, "b": 70}  # room for the names of the panels
    return figure.update_layout(margin=margin, hovermode="closest", legend_itemsizing="constant")


def _clouds(
    name: str, points: Tensor, labels: Tensor, negated: Tensor | None, texts: Sequence[str]
) -> list[go.Scatter]:
    """One trace for each colour and symbol that occurs."""
    n = len(points)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"{name}: points must be [statement 2], got {tuple(points.shape)}; keep two components")
    for part, given in {"labels": labels, "negated": negated}.items():
        if given is not None and (given.shape != (n,) or given.dtype != torch.bool):
            got = f"{given.dtype} {tuple(given.shape)}"
            raise ValueError(f"{name}: {part} must be bool [{n}], as points say, got {got}")
    if len(texts) not in (0, n):
        raise ValueError(f"{name}: texts must be one for each of the {n} points, or none, got {len(texts)}")
    affirmed = torch.ones_like(labels) if negated is None else ~negated
    traces = []
    for polarity, symbol, in_symbol in (("affirmed", "circle", affirmed), ("negated", "diamond-open", ~affirmed)):
        for truth, colour, in_label in (("true", BLUE, labels), ("false", ORANGE, ~labels)):
            chosen = (in_symbol & in_label).nonzero().flatten().tolist()
            if not chosen:
                continue
            called = truth if negated is None else f"{truth}, {polarity}"
            hover = [f"{texts[i]}<br>{called}" for i in chosen] if len(texts) else called
            marker = {"color": colour, "symbol": symbol, "size": 7, "opacity": 0.7}
            marker["line_width"] = 0 if symbol == "circle" else 1.5
            x, y = points[chosen].T.tolist()
            look = {"mode": "markers", "marker": marker, "name": called, "hovertext": hover, "hoverinfo": "text"}
            traces.append(go.Scatter(x=x, y=y, **look))
    return traces


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
    figure = go.Figure()
    for i, (name, *colours) in enumerate(zip(names, true, predicted, strict=True)):
        column, row = divmod(i, n_rows)
        square = {"xanchor": column, "yanchor": row, "xsizemode": "pixel", "ysizemode": "pixel", "y0": -10, "y1": 10}
        for left, colour in zip((0, 22), colours, strict=True):
            red, green, blue = (colour.clamp(0, 1) * 255).round().int().tolist()
            figure.add_shape(x0=left, x1=left + 20, fillcolor=f"rgb({red},{green},{blue})", line_width=0, **square)
        look = {"xanchor": "left", "xshift": 50, "showarrow": False}
        figure.add_annotation(x=column, y=row, text=html.escape(name), **look)
    figure.update_xaxes(visible=False, range=[0, n_columns])
    figure.update_yaxes(visible=False, range=[n_rows - 0.5, -0.5])
    figure = finish(figure, title)
    return figure.update_layout(height=figure.layout.margin.t + 27 * n_rows, margin={"l": 10, "b": 0})


def plot_world_map(
    places: Places, predicted: Float[Tensor, "place 3"], *, shown: Sequence[int], title: str
) -> go.Figure:
    """Draw where places are (dots) and where they were predicted (circles), joined by the shortest way.

    All places stand behind them in grey, so that the continents appear without a coastline.

    Args:
        predicted: directions from the centre of the earth, as from unit_vectors; their length does not matter.
        shown: indices of the places whose errors are drawn; some forty can be told apart.

    Raises:
        ValueError: If there is not one prediction for each place.
    """
    if predicted.shape != (len(places.names), 3):
        raise ValueError(f"predicted must be [place 3] for {len(places.names)} places, got {tuple(predicted.shape)}")
    true = unit_vectors(places.latitude, places.longitude)
    km = great_circle_km(true, predicted).tolist()
    figure = go.Figure()
    quiet = {"hoverinfo": "skip", "showlegend": False}
    _add_on_map(figure, *graticule(), mode="lines", line={"color": FIELD, "width": 1}, **quiet)
    _add_on_map(figure, true, mode="markers", marker={"size": 2, "color": QUIET}, **quiet)
    for colour, continent in zip(LINE_COLOURS, sorted(set(places.continents)), strict=False):
        rows = [row for row in shown if places.continents[row] == continent]
        if not rows:
            continue
        ways = [shortest_way(true[row], predicted[row]) for row in rows]
        text = [f"{places.names[row]}, {places.countries[row]}: {km[row]:,.0f} km off" for row in rows]
        look = {"mode": "markers", "legendgroup": continent, "hovertext": text, "hoverinfo": "text"}
        line = {"color": colour, "width": 1}
        _add_on_map(figure, *ways, mode="lines", line=line, opacity=0.6, legendgroup=continent, **quiet)
        _add_on_map(figure, true[rows], marker={"size": 6, "color": colour}, name=continent, **look)
        ring = {"size": 7, "color": "white", "line": {"color": colour, "width": 1.5}}
        _add_on_map(figure, predicted[rows], marker=ring, showlegend=False, **look)
    figure.update_xaxes(visible=False, range=[-2.72, 2.72], constrain="domain")
    figure.update_yaxes(visible=False, range=[-0.95, 1.33], constrain="domain", scaleanchor="x")
    margin = {"l": 8, "r": 8, "b": 40}
    return finish(figure, title).update_layout(margin=margin, hovermode="closest", legend_itemsizing="constant")


def _add_on_map(figure: go.Figure, *paths: Float[Tensor, "point 3"], **look) -> None:
    """Add paths on the globe as one trace of the plane, with a gap after each and where one leaves the map's edge."""
    x, y = [], []
    for path in paths:
        for across, up in zip(*(axis.tolist() for axis in project_equal_earth(path)), strict=True):
            if look["mode"] == "lines" and x and x[-1] is not None and abs(across - x[-1]) > MAP_WIDTH / 2:
                x.append(None)
                y.append(None)
            x.append(across)
            y.append(up)
        x.append(None)
        y.append(None)
    figure.add_scatter(x=x[:-1], y=y[:-1], **look)
