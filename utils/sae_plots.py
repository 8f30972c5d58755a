"""Figures of chapters 07 and 08: sparse autoencoders compared, a toy model's features, paired gains.

As in utils.plots, each returns a plotly Figure and shows nothing. Intervals are 95 %.
"""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from jaxtyping import Float
from plotly.colors import sample_colorscale
from torch import Tensor

from utils.plots import plot_lines
from utils.style import GREY, INK, LINE_COLOURS, RULE, SERIES, error_bars, finish

KINDS = dict(zip(("batchtopk", "topk", "jumprelu", "standard"), SERIES, strict=False))  # the same in all figures
OTHERS = SERIES[len(KINDS) :]
UNTRAINED = "untrained"  # a series whose name begins so is grey and dashed
NEAR_ZERO = 0.15  # arrows shorter than this have no number: they would all lie on each other
STEP_MS = 120  # milliseconds, for one frame of the animation


def plot_frontier(
    points: Mapping[str, Sequence[tuple[float, float, str]]],
    *,
    intervals: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    baselines: Mapping[str, float] | None = None,
    title: str,
    x_title: str,
    y_title: str,
    x_log: bool = False,
    y_range: tuple[float, float] = (0, 1),
) -> go.Figure:
    """Draw what a sparse autoencoder reaches against what it costs: one line of points for each kind.

    "standard", "topk", "batchtopk" and "jumprelu" have the same colours and markers in all figures; other names get
    others. A name that begins with "untrained" (SAEs of an untrained network) is grey and dashed.

    Args:
        points: kind -> (x, y, label) of each autoencoder; the mouse finds the label, such as "k = 32".
        intervals: kind -> lower and upper end of y at each of its points, in their order.
        baselines: name -> a y that has no x, such as that of a probe; dashed, from side to side.
        x_log: whether the x axis is logarithmic, as suits L0.

    Raises:
        ValueError: If there are no points, intervals do not fit them, or an x cannot be drawn on a logarithmic axis.
    """
    if not points or not all(points.values()):
        raise ValueError(f"points must hold at least one for each kind, got { {k: len(v) for k, v in points.items()} }")
    if unknown := set(intervals or {}) - set(points):
        raise ValueError(f"intervals must be of kinds in points, {', '.join(points)}, got {', '.join(sorted(unknown))}")
    figure = plot_lines(
        {}, x=[0.0], x_title=x_title, title=title, y_title=y_title, y_range=y_range, baselines=baselines
    )
    others = iter([*OTHERS, *(look for kind, look in KINDS.items() if kind not in points)] * len(points))
    for kind, given in points.items():
        ends = list((intervals or {}).get(kind, []))
        if ends and len(ends) != len(given):
            raise ValueError(f"intervals of {kind!r} must be {len(given)}, one for each point, got {len(ends)}")
        order = sorted(range(len(given)), key=lambda i: given[i][0])
        x, y, labels = ([given[i][part] for i in order] for part in range(3))
        if x_log and x[0] <= 0:
            raise ValueError(f"x of {kind!r} must be above 0 on a logarithmic axis, got {x[0]:g}; leave it out")
        is_floor = kind.startswith(UNTRAINED)
        colour, symbol = (GREY, "circle-open") if is_floor else KINDS.get(kind) or next(others)
        error = error_bars(y, [ends[i] for i in order]) if ends else None
        figure.add_scatter(
            x=x, y=y, name=kind, mode="lines+markers", error_y=error, customdata=labels,
            line={"color": colour, "width": 2, "dash": "dash" if is_floor else "solid"},
            marker={"color": colour, "symbol": symbol, "size": 9},
            hovertemplate=f"{kind}, %{{customdata}}<br>{x_title}: %{{x:.4g}}<br>{y_title}: %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    if x_log:
        figure.update_xaxes(type="log", tickvals=_log_ticks([x for given in points.values() for x, *_ in given]))
    return finish(figure, title).update_layout(hovermode="closest")


def plot_superposition(frames: Sequence[tuple[str, Float[Tensor, "feature hidden=2"]]], *, title: str) -> go.Figure:
    """Draw the features of a toy model as arrows in the plane, with a slider and a button that plays all frames.

    Opens, and is printed, on the last frame. Features near 0, which the model does not represent, are listed below.

    Args:
        frames: (name, rows of the weights), such as ("step 100", W): one arrow for each feature.

    Raises:
        ValueError: If there are no frames, or they are not [feature 2], all of one size and finite.
    """
    shapes = [tuple(weights.shape) for _, weights in frames]
    n = shapes[0][0] if shapes and shapes[0] else 0
    if not n or any(shape != (n, 2) for shape in shapes):
        raise ValueError(
            f"frames must be [feature 2], all with the same features, got {sorted(set(shapes))}; transpose W, "
            "and train with 2 hidden dimensions"
        )
    weights = [each.detach().double().cpu() for _, each in frames]
    if not all(each.isfinite().all() for each in weights):
        raise ValueError("frames must be finite, got NaN or infinity; the training has diverged")
    reach = 1.22 * max(1.0, *(float(each.norm(dim=1).max()) for each in weights))
    colours = LINE_COLOURS[:n] if n <= len(LINE_COLOURS) else sample_colorscale("Viridis", n, high=0.9)
    drawn = [_arrows(each, colours, reach) for each in weights]
    figure = go.Figure(drawn[-1])
    figure.frames = [go.Frame(data=traces, name=str(i)) for i, traces in enumerate(drawn)]
    look = {"color": RULE, "width": 1.5}
    figure.add_shape(type="circle", x0=-1, x1=1, y0=-1, y1=1, line=look, layer="below")
    at_once = {"frame": {"duration": 0, "redraw": True}, "mode": "immediate", "transition": {"duration": 0}}
    steps = [{"label": name, "method": "animate", "args": [[str(i)], at_once]} for i, (name, _) in enumerate(frames)]
    playing = {"frame": {"duration": STEP_MS, "redraw": True}, "transition": {"duration": 0}, "fromcurrent": False}
    order = [str(i) for i in range(len(frames))]
    buttons = [
        {"label": "▶ play", "method": "animate", "args": [order, playing]},
        {"label": "❚❚", "method": "animate", "args": [[None], at_once]},
    ]
    slider = {"active": len(frames) - 1, "steps": steps, "x": 0.24, "len": 0.76, "y": 0, "yanchor": "top"}
    slider |= {"pad": {"t": 40}, "currentvalue": {"prefix": "", "font": {"size": 14, "color": INK}, "xanchor": "left"}}
    slider |= {"ticklen": 0, "minorticklen": 3, "font": {"color": "rgba(0,0,0,0)", "size": 1}}
    menu = {"type": "buttons", "direction": "left", "buttons": buttons, "showactive": False}
    menu |= {"x": 0, "xanchor": "left", "y": 0, "yanchor": "top", "pad": {"t": 52}}
    axis = {"range": [-reach, reach], "zeroline": True, "zerolinecolor": RULE, "showgrid": False}
    figure.update_xaxes(title="hidden dimension 0", title_standoff=4, constrain="domain", **axis)
    figure.update_yaxes(title="hidden dimension 1", scaleanchor="x", **axis)
    several = {"updatemenus": [menu], "sliders": [slider]} if len(frames) > 1 else {}
    return finish(figure, title).update_layout(height=520, margin_b=125 if several else 60, showlegend=False, **several)


def _arrows(weights: Tensor, colours: Sequence[str], reach: float) -> list[go.Scatter]:
    """One trace for each feature, and one with their numbers."""
    traces, lengths = [], weights.norm(dim=1)
    for i, ((x, y), length, colour) in enumerate(zip(weights.tolist(), lengths.tolist(), colours, strict=True)):
        marker = {"symbol": ["circle", "arrow"], "angleref": "previous", "size": [0, 16 if length > 0.05 else 0]}
        marker |= {"color": colour, "opacity": 1, "line": {"width": 0}}
        hover = f"feature {i}: length {length:.2f}"
        look = {"line": {"color": colour, "width": 3}, "marker": marker, "hovertext": hover, "hoverinfo": "text"}
        traces.append(go.Scatter(x=[0, x], y=[0, y], mode="lines+markers", **look))
    shown = lengths >= NEAR_ZERO
    heads = weights * (1 + 0.09 * reach / lengths.clamp(min=NEAR_ZERO))[:, None]
    near = [str(i) for i in (~shown).nonzero().flatten().tolist()]
    x, y = heads.T.tolist()
    texts = [str(i) if seen else "" for i, seen in enumerate(shown.tolist())]
    texts.append(f"near 0: {', '.join(near)}" if near else "")  # in the corner
    places = ["middle center"] * len(weights) + ["middle right"]
    font = {"size": 15, "color": [*colours, GREY]}
    look = {"mode": "text", "hoverinfo": "skip", "text": texts, "textposition": places, "textfont": font}
    traces.append(go.Scatter(x=[*x, -0.98 * reach], y=[*y, -0.95 * reach], **look))
    return traces


def plot_paired_gains(
    gains: Mapping[str, Float[Tensor, " task"]],
    *,
    intervals: Mapping[str, tuple[float, float, float]],
    task_names: Sequence[str],
    model_names: Sequence[str],
    title: str,
    x_title: str = "gain in AUROC when the SAE is added",
) -> go.Figure:
    """Draw paired differences around 0: a row for each regime, a dot for each task, the mean with its interval.

    Args:
        gains: regime, the first on top -> the difference of each task; NaN leaves a task out of a row.
        intervals: the same regimes -> mean, lower and upper end.
        task_names: of each task.
        model_names: of each task, the model that it is about; colours and symbols tell models apart.

    Raises:
        ValueError: If something does not fit the tasks or the regimes.
    """
    n = len(task_names)
    if not gains or set(gains) != set(intervals):
        raise ValueError(f"gains and intervals must name the same regimes, got {[*gains]} and {[*intervals]}")
    sizes = {regime: len(values) for regime, values in gains.items()}
    if len(model_names) != n or set(sizes.values()) != {n}:
        raise ValueError(
            f"gains and model_names must be one for each of the {n} tasks, got {sizes}, {len(model_names)}"
        )
    for regime, (mean, low, high) in intervals.items():
        if not low <= mean <= high:
            raise ValueError(f"intervals of {regime!r} must be (mean, low, high), got {(mean, low, high)}")
    figure = plot_lines({}, x=[0.0], x_title=x_title, title=title, y_title="")
    models = list(dict.fromkeys(model_names))
    places = {regime: len(gains) - 1 - row for row, regime in enumerate(gains)}
    spread = {task: 0.44 * ((0.618034 * task) % 1 - 0.5) - 0.1 for task in range(n)}  # a task keeps its height
    for model, (colour, symbol) in zip(models, SERIES * len(models), strict=False):
        chosen = [task for task in range(n) if model_names[task] == model]
        x, y, hover = [], [], []
        for regime, place in places.items():
            values = gains[regime].tolist()
            kept = [task for task in chosen if values[task] == values[task]]
            x += [values[task] for task in kept]
            y += [place + spread[task] for task in kept]
            hover += [f"{task_names[task]} ({model})<br>{regime}: {values[task]:+.3f}" for task in kept]
        marker = {"color": colour, "symbol": symbol, "size": 8, "opacity": 0.75}
        marker["line"] = {"color": "white", "width": 0.5}
        figure.add_scatter(x=x, y=y, mode="markers", marker=marker, name=model, hovertext=hover, hoverinfo="text")
    for regime, (mean, low, high) in intervals.items():
        y, is_first = places[regime] + 0.3, regime == next(iter(intervals))
        hover = f"{regime}: mean {mean:+.3f}, 95 % [{low:+.3f}, {high:+.3f}]"
        look = {"hovertext": hover, "hoverinfo": "text", "legendgroup": "mean"}
        bar = {"mode": "lines", "line": {"color": INK, "width": 7}, "name": "mean, 95 % interval"}
        figure.add_scatter(x=[low, high], y=[y, y], showlegend=is_first, **bar, **look)
        tick = {"symbol": "line-ns", "size": 16, "line": {"width": 3, "color": INK}}
        figure.add_scatter(x=[mean], y=[y], mode="markers", marker=tick, showlegend=False, **look)
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5})
    names = {"tickvals": [place + 0.05 for place in places.values()], "ticktext": list(places)}
    figure.update_yaxes(range=[-0.55, len(gains) - 0.4], showgrid=False, automargin=True, **names)
    figure.update_xaxes(tickformat="+.2f", zeroline=False)
    return finish(figure, title).update_layout(height=170 + 62 * len(gains), hovermode="closest")


def _log_ticks(x: Sequence[float]) -> list[float]:
    """1, 2, 5, 10, ... within a range and around it; where it spans much, powers of ten alone."""
    first, last = math.floor(math.log10(min(x))), math.ceil(math.log10(max(x)))
    return [
        digit * 10.0**power for power in range(first, last + 1) for digit in ((1, 2, 5) if last - first < 4 else (1,))
    ]
