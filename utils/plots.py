"""One function per type of figure; each returns a plotly Figure and shows nothing.

Blue is True (positive, mine), orange is False (negative, yours). Intervals are 95 %; every axis says its unit.
"""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from jaxtyping import Bool, Float
from plotly.subplots import make_subplots
from torch import Tensor

from utils.datasets import Places
from utils.globe import MAP_WIDTH, graticule, great_circle_km, project_equal_earth, shortest_way, unit_vectors
from utils.probes import LinearProbe

BLUE, ORANGE, GREY = "#2563a8", "#d9730d", "#7a7f87"
LINE_COLOURS = (BLUE, ORANGE, "#2f8f5b", "#8e5ba6", "#a3543a", "#5b6b7a")
DASHES = ("dash", "dot", "dashdot")
CONTINENT_COLOURS = ("#e69f00", "#0072b2", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")  # Okabe & Ito, colour-blind safe
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
    return figure


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
    for colour, (name, values) in zip(LINE_COLOURS * len(lines), lines.items(), strict=False):
        if len(values) != len(x):
            raise ValueError(f"line {name!r} must have one value for each of the {len(x)} points, got {len(values)}")
        if intervals and name in intervals:
            low, high = intervals[name].T.tolist()
            band = {"x": x + x[::-1], "y": high + low[::-1], "fill": "toself", "fillcolor": colour, "opacity": 0.18}
            figure.add_scatter(**band, line_width=0, mode="lines", hoverinfo="skip", showlegend=False)
        figure.add_scatter(x=x, y=values.tolist(), name=name, mode="lines+markers", line_color=colour)
    _add_baselines(figure, baselines)
    for name, place in (marks or {}).items():
        figure.add_vline(x=place, line={"dash": "dot", "color": GREY}, name=name, showlegend=True)
    low, high = y_range
    edge = 0.03 * (high - low)  # so that points on the border are drawn whole
    figure.update_xaxes(title=x_title, type="category" if isinstance(x[0], str) else "linear")
    figure.update_yaxes(title=y_title, range=[low - edge, high + edge], zeroline=False)
    return _finish(figure, title)


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
        error = _error_bars(values.tolist(), intervals[name].tolist()) | {"thickness": 1.5}
        label = f"{name}: {values[0]:.2f} → {values[1]:.2f}"
        x = [0.03 * i, 1 + 0.03 * i]  # side by side, so that every interval is seen
        line = {"mode": "lines+markers", "line_color": LINE_COLOURS[i % len(LINE_COLOURS)], "error_y": error}
        figure.add_scatter(x=x, y=values.tolist(), name=label, **line)
    middle = 0.015 * (len(slopes) - 1)
    figure.update_xaxes(tickvals=[middle, 1 + middle], ticktext=list(steps), range=[-0.2, 1.3], zeroline=False)
    figure.update_yaxes(title=y_title, range=list(y_range))
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
    figure = plot_grouped_bars({"": values}, intervals={"": intervals}, title=title, y_title=y_title, y_range=y_range)
    figure.update_traces(showlegend=False)
    _add_baselines(figure, baselines)
    return figure


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
        error = _error_bars(heights, [intervals[series][name] for name in names])
        text = {"texttemplate": f"%{{y:{number_format}}}", "textposition": "inside", "insidetextanchor": "middle"}
        look = {"name": series, "marker_color": colour, "opacity": 0.8, "textangle": 0, **text}
        figure.add_bar(x=names, y=heights, error_y=error, **look)
    figure.update_yaxes(title=y_title, range=list(y_range))
    return _finish(figure, title)


def _error_bars(values: Sequence[float], ends: Sequence[tuple[float, float]]) -> dict:
    """plotly's way to say intervals: how far each end is from its value."""
    above, below = zip(
        *((high - value, value - low) for value, (low, high) in zip(values, ends, strict=True)), strict=True
    )
    return {"type": "data", "array": list(above), "arrayminus": list(below)}


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
    _add_on_map(figure, *graticule(), mode="lines", line={"color": "#e9ebee", "width": 1}, **quiet)
    _add_on_map(figure, true, mode="markers", marker={"size": 2, "color": "#a9aeb5"}, **quiet)
    for continent, colour in zip(sorted(set(places.continents)), CONTINENT_COLOURS, strict=False):
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
    margin = {"l": 8, "r": 8, "t": 45, "b": 40}
    return _finish(figure, title).update_layout(margin=margin, hovermode="closest", legend_itemsizing="constant")


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
    for colour, (name, probe) in zip(LINE_COLOURS[2:] * len(probes), probes.items(), strict=False):
        unit = probe.weight / probe.weight.norm()
        foot = centre - float(probe(centre[None])) / probe.weight.norm() * unit  # the point of the line nearest to it
        down = torch.stack([unit[1], -unit[0]]) * (1 if unit[0] > 0 else -1)  # along the line
        x, y = torch.stack([foot - radius * down, foot + radius * down]).T.tolist()
        share = float(((probe(points) > 0) == labels).float().mean())
        line = {"color": colour, "width": 3}
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
    return _finish(figure, title).update_layout(legend=legend)


def plot_matrix(
    values: Float[Tensor, "row column"],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    x_title: str,
    y_title: str,
    centre: float = 0.5,
    limits: tuple[float, float] = (0, 1),
    texts: Sequence[Sequence[str]] | None = None,
) -> go.Figure:
    """Draw a table of scores as a heat map: blue above the centre (chance, or no effect), red below, white on it.

    Args:
        values: the number that stands in each cell; NaN leaves it empty.
        rows, columns: their names; the first row is on top.
        centre: the value of white.
        limits: the least and the largest possible value; the end farther from the centre gets the full colour.
        texts: [row][column], what the mouse finds beside the number, such as the interval.

    Raises:
        ValueError: If names or texts do not fit values, or the centre lies outside the limits.
    """
    if values.ndim != 2 or values.shape != (len(rows), len(columns)):
        expected = (len(rows), len(columns))
        raise ValueError(f"values must be [row column] with {expected}, as the names say, got {tuple(values.shape)}")
    if texts is not None and [len(row) for row in texts] != [len(columns)] * len(rows):
        raise ValueError(f"texts must be {len(rows)} rows of {len(columns)}, got rows of {[len(row) for row in texts]}")
    low, high = limits
    if not low <= centre <= high or low == high:
        raise ValueError(f"centre must lie within limits, got {centre} and {limits}; 0.5 in (0, 1) suits accuracies")
    reach = max(centre - low, high - centre)  # the same distance to both sides, so that white is on the centre
    hover = f"{y_title}: %{{y}}<br>{x_title}: %{{x}}<br><b>%{{z:.2f}}</b> %{{customdata}}<extra></extra>"
    look = {"colorscale": "RdBu", "zmin": centre - reach, "zmax": centre + reach, "xgap": 2, "ygap": 2}
    look |= {"texttemplate": "%{z:.2f}", "hovertemplate": hover, "hoverongaps": False}
    look["customdata"] = [list(row) for row in texts] if texts is not None else [[""] * len(columns)] * len(rows)
    look["colorbar"] = {"thickness": 12, "outlinewidth": 0, "nticks": 6}
    figure = go.Figure(go.Heatmap(z=values.tolist(), x=list(columns), y=list(rows), **look))
    figure.update_xaxes(title=x_title, type="category", showgrid=False, title_standoff=10)
    figure.update_yaxes(title=y_title, type="category", showgrid=False, autorange="reversed", title_standoff=10)
    return _finish(figure, title).update_layout(height=170 + 36 * len(rows))


def plot_scatter(
    points: Float[Tensor, "statement 2"],
    labels: Bool[Tensor, " statement"],
    *,
    title: str,
    x_title: str,
    y_title: str,
    texts: Sequence[str] = (),
    symbols: Bool[Tensor, " statement"] | None = None,
    symbol_names: tuple[str, str] = ("affirmed", "negated"),
    label_names: tuple[str, str] = ("true", "false"),
) -> go.Figure:
    """Draw a dot for each statement: blue if true, orange if false; a full circle if affirmed, an open diamond if not.

    Each axis has its own scale: distances across and up cannot be compared.

    Args:
        labels: True for the first of label_names.
        texts: what the mouse finds at each dot; nothing if empty.
        symbols: False for the first of symbol_names, True for the second; all are alike if None.

    Raises:
        ValueError: If points are not [statement 2], or something else does not fit them.
    """
    figure = go.Figure()
    for trace in _clouds("", points, labels, symbols, texts, label_names, symbol_names):
        figure.add_trace(trace)
    figure.update_xaxes(title=x_title, zeroline=False)
    figure.update_yaxes(title=y_title, zeroline=False)
    return _finish(figure, title).update_layout(hovermode="closest", legend_itemsizing="constant")


def plot_scatter_grid(
    panels: Mapping[
        str, tuple[Float[Tensor, "statement 2"], Bool[Tensor, " statement"], Bool[Tensor, " statement"] | None]
    ],
    *,
    title: str,
    x_title: str = "PC1",
    y_title: str = "PC2",
    texts: Mapping[str, Sequence[str]] | None = None,
    symbol_names: tuple[str, str] = ("affirmed", "negated"),
    label_names: tuple[str, str] = ("true", "false"),
) -> go.Figure:
    """Draw several scatters of plot_scatter side by side, such as one for each world; each has its own scales.

    Args:
        panels: name, written above -> (points, labels, symbols).
        texts: name of a panel -> what the mouse finds at its dots.

    Raises:
        ValueError: If there are no panels, or one does not fit itself.
    """
    if not panels:
        raise ValueError("panels must hold at least one scatter, got none")
    figure = make_subplots(cols=len(panels), subplot_titles=list(panels), horizontal_spacing=0.05)
    named = set()
    for column, (name, (points, labels, symbols)) in enumerate(panels.items(), start=1):
        for trace in _clouds(name, points, labels, symbols, (texts or {}).get(name, ()), label_names, symbol_names):
            trace.update(legendgroup=trace.name, showlegend=trace.name not in named)
            named.add(trace.name)
            figure.add_trace(trace, row=1, col=column)
    figure.update_xaxes(title=x_title, zeroline=False, showticklabels=False)
    figure.update_yaxes(zeroline=False, showticklabels=False)
    figure.update_yaxes(title=y_title, col=1)
    figure.update_annotations(font_size=14)
    look = {"hovermode": "closest", "legend_itemsizing": "constant", "margin": {"l": 40, "r": 10, "t": 80, "b": 70}}
    return _finish(figure, title).update_layout(**look)


def _clouds(
    name: str,
    points: Tensor,
    labels: Tensor,
    symbols: Tensor | None,
    texts: Sequence[str],
    label_names: tuple[str, str],
    symbol_names: tuple[str, str],
) -> list[go.Scatter]:
    """One trace for each colour and symbol that occurs."""
    where, n = f"{name}: " if name else "", len(points)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"{where}points must be [statement 2], got {tuple(points.shape)}; keep two components")
    for part, given in {"labels": labels, "symbols": symbols}.items():
        if given is not None and (given.shape != (n,) or given.dtype != torch.bool):
            raise ValueError(f"{where}{part} must be bool [{n}], as points say, got {given.dtype} {tuple(given.shape)}")
    if len(texts) not in (0, n):
        raise ValueError(f"{where}texts must be one for each of the {n} points, or none, got {len(texts)}")
    second = torch.zeros_like(labels) if symbols is None else symbols
    traces = []
    for symbol_name, symbol, in_symbol in zip(symbol_names, ("circle", "diamond-open"), (~second, second), strict=True):
        for label_name, colour, in_label in zip(label_names, (BLUE, ORANGE), (labels, ~labels), strict=True):
            chosen = (in_symbol & in_label).nonzero().flatten().tolist()
            if not chosen:
                continue
            called = label_name if symbols is None else f"{label_name}, {symbol_name}"
            hover = [f"{texts[i]}<br>{called}" for i in chosen] if len(texts) else called
            marker = {"color": colour, "symbol": symbol, "size": 7, "opacity": 0.7}
            marker["line_width"] = 0 if symbol == "circle" else 1.5
            x, y = points[chosen].T.tolist()
            look = {"mode": "markers", "marker": marker, "name": called, "hovertext": hover, "hoverinfo": "text"}
            traces.append(go.Scatter(x=x, y=y, **look))
    return traces


def plot_dose_response(
    doses: Float[Tensor, " dose"],
    effects: Mapping[str, Float[Tensor, " dose"]],
    *,
    title: str,
    x_title: str,
    y_title: str,
    intervals: Mapping[str, Float[Tensor, "dose 2"]] | None = None,
    natural: tuple[float, float] | None = None,
    lines: Mapping[str, float] | None = None,
    placebo: Float[Tensor, "dose 2"] | None = None,
) -> go.Figure:
    """Draw what an intervention does against its dose, with the controls that a reading of it needs.

    Args:
        effects: name -> one effect for each dose, such as the normalised indirect effect.
        intervals: name -> lower and upper end at each dose.
        natural: the doses that occur without intervention; shaded.
        lines: name -> an effect that has no dose, such as that of the whole vector swapped.
        placebo: lower and upper end of what random directions of the same length do; a grey band.

    Raises:
        ValueError: If effects, intervals or placebo do not fit the doses.
    """
    for name, ends in {**(intervals or {}), "placebo": placebo}.items():
        if ends is not None and ends.shape != (len(doses), 2):
            raise ValueError(f"{name!r} must be [dose 2] for {len(doses)} doses, got {tuple(ends.shape)}")
    shared = {"title": title, "x_title": x_title, "y_title": y_title, "intervals": intervals, "baselines": lines}
    figure = plot_lines(effects, x=doses, **shared)
    if placebo is not None:
        x, (low, high) = doses.tolist(), placebo.T.tolist()
        band = {"x": x + x[::-1], "y": high + low[::-1], "fill": "toself", "fillcolor": GREY, "opacity": 0.3}
        figure.add_scatter(**band, line_width=0, mode="lines", hoverinfo="skip", name="random directions")
    if natural is not None:
        low, high = natural
        look = {"fillcolor": BLUE, "opacity": 0.12, "line_width": 0, "layer": "below", "showlegend": True}
        figure.add_vrect(x0=low, x1=high, name="natural range", **look)
    figure.update_xaxes(zeroline=False)
    return figure.update_yaxes(range=None, autorange=True, zeroline=True, zerolinecolor=GREY)
