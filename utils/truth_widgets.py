"""Panels of chapters 05 and 06: statements in two dimensions, a steered answer, a threshold between lies and honesty.

They show what a notebook has computed or computes on demand. Of science only counting is inside.
"""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ipywidgets
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from utils.course.feedback import Card
from utils.lie_detectors import tpr_at_fpr
from utils.style import BLUE, FAINT, GROUND, INK, ORANGE
from utils.svg import as_img
from utils.widgets import Explorer, static_card

N_WORDS = 6  # next words that are drawn
N_STEPS, N_BINS, N_ROC = 200, 40, 200  # thresholds on the slider, bins of a histogram, points of a ROC curve
BASE_RATE = 0.01  # share of liars for which the precision is shown
RULE, QUIET = "#d9dde2", "#b9bfc7"  # lines and bars that are not what a picture is about
_FONT = "system-ui,-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif"
_TEXT = "max-width:740px;min-height:1.5em;font-size:14px;line-height:1.5;color:var(--jp-content-font-color1,inherit)"
_STYLE = f"""<style>
.course-sheet {{ background: {GROUND}; color: {INK}; border-radius: 8px; margin: 4px 0;
  overflow: hidden; display: flex; flex-flow: row wrap; gap: 4px 12px }}
.course-sheet svg, .course-sheet img {{ display: block; width: 100%; height: auto; margin: 0 }}
.course-sheet > .course-tile {{ flex: 1 1 130px; padding: 10px 0 2px 14px; font-size: 13px; line-height: 1.35 }}
.course-tile b {{ display: block; font-size: 22px; line-height: 1.2 }}
.course-tile span {{ color: {FAINT} }}
.course-dot .course-tip, .course-drawing:has(.course-dot:hover) .course-hint {{ display: none }}
.course-dot:hover .course-tip {{ display: block }}
.course-dot:hover path {{ stroke: {INK}; stroke-width: 2 }}
</style>"""


@dataclass(frozen=True)
class PcaView:
    """What `explore_pca` shows of one network.

    points: of each statement on the first two components. Their signs are free: turn them as you like to see them.
    shares: of the total variance, 0 to 1, of both components.
    labels: whether a statement is true, "not" included.
    negated: whether it says "not".
    """

    points: Float[Tensor, "layer statement 2"]
    shares: Float[Tensor, "layer 2"]
    texts: Sequence[str]
    labels: Bool[Tensor, " statement"]
    negated: Bool[Tensor, " statement"]


@dataclass(frozen=True)
class SteerResult:
    """What a network says of a statement.

    correct, wrong: probabilities of both words after "That is".
    next_words: the most likely words after the statement with their probabilities, the most likely one first.
    """

    correct: float
    wrong: float
    next_words: list[tuple[str, float]]


def explore_pca(worlds: Mapping[str, PcaView], layers: Sequence[int | str]) -> ipywidgets.VBox:
    """A panel: choose a network, move through its layers, and see its statements on their first two components.

    Blue is true, orange false; a full circle is affirmed, an open diamond negated.

    Args:
        worlds: name of a network -> what is shown of it.
        layers: names of the layers of PcaView.points, such as ["embed", 0, 1].

    Raises:
        ValueError: If there are no networks, or one does not fit the layers or itself.
    """
    if not worlds or not layers:
        raise ValueError(f"worlds and layers must hold at least one each, got {len(worlds)} and {len(layers)}")
    for name, view in worlds.items():
        _check_view(name, view, len(layers))
    world = ipywidgets.Dropdown(options=list(worlds), description="world", style=_NARROW)
    rows = [(str(name), row) for row, name in enumerate(layers)]
    layer = ipywidgets.SelectionSlider(options=rows, value=0, description="layer", style=_NARROW)
    affirmed, negated = (
        ipywidgets.Checkbox(
            value=True, description=name, indent=False, layout={"width": "auto", "margin": "0 20px 0 0"}
        )
        for name in ("affirmed", "negated")
    )
    panel = ipywidgets.HTML()

    def refresh(_) -> None:
        view, chosen = worlds[world.value], (affirmed.value, negated.value)
        drawing = _draw_plane(view, layer.value, chosen, f"{world.value}, layer {layers[layer.value]}", tips=True)
        panel.value = _sheet([drawing])

    for part in (world, layer, affirmed, negated):
        part.observe(refresh, "value")
    refresh(None)
    last = len(layers) - 1
    drawings, lines = [], []
    for name, view in worlds.items():
        drawings.append(_draw_plane(view, last, (True, True), f"{name}, layer {layers[last]}"))
        first, second = view.shares[last].tolist()
        lines.append(f"{name}, layer {layers[last]}: PC1 {100 * first:.0f} %, PC2 {100 * second:.0f} % of the variance")
    return Explorer([_row(world, layer), _row(affirmed, negated), panel], _static(drawings, lines))


def steer_statement(
    statements: Sequence[str],
    steer: Callable[[str, str, float], SteerResult],
    places: Sequence[str],
    *,
    limit: float = 4.0,
) -> ipywidgets.VBox:
    """A panel: drag a dose and see what a network then says of a statement, beside what it says untouched.

    Args:
        steer: from a statement, a place and a dose to what the network says; dose 0 leaves it untouched.
        places: where it can be steered, such as "object, layer 0".
        limit: the largest dose; the slider goes from -limit to limit.

    Raises:
        ValueError: If there is nothing to choose, or the limit is not positive.
    """
    if not statements or not places or limit <= 0:
        raise ValueError(
            "statements and places must hold at least one each, and limit be above 0; "
            f"got {len(statements)}, {len(places)}, {limit}"
        )
    wide = {"layout": {"width": "340px"}, "style": _NARROW}
    statement = ipywidgets.Dropdown(options=list(statements), description="statement", **wide)
    place = ipywidgets.Dropdown(options=list(places), description="where", **wide)
    dose = ipywidgets.FloatSlider(value=0, min=-limit, max=limit, step=limit / 16, description="dose", **wide)
    dose.readout_format = "+.2f"
    panel = ipywidgets.HTML()
    untouched = {}  # statement -> what the network says of it

    def show(dose: float) -> tuple[str, list[str]]:
        if statement.value not in untouched:
            untouched[statement.value] = steer(statement.value, place.value, 0.0)
        before = untouched[statement.value]
        after = steer(statement.value, place.value, dose)
        change = f"P(correct) {before.correct:.2f} → <b>{after.correct:.2f}</b>"
        words = f"“{html.escape(statement.value)}” {html.escape(place.value)}, dose {dose:+.2f}: {change}."
        return words, [_draw_answer(before, "Untouched"), _draw_answer(after, f"Dose {dose:+.2f}, {place.value}")]

    def refresh(_) -> None:
        words, drawings = show(dose.value)
        panel.value = _words(words) + _sheet(drawings)

    for part in (statement, place, dose):
        part.observe(refresh, "value")
    refresh(None)
    words, drawings = show(limit / 2)
    static = _static(drawings, [html.unescape(words).replace("<b>", "").replace("</b>", "")])
    return Explorer([_row(statement, place), dose, panel], static)


def drag_threshold(
    scores: Mapping[str, tuple[Float[Tensor, " document"], Float[Tensor, " lie"]]],
    *,
    unrelated: Mapping[str, Float[Tensor, " unrelated"]],
    fpr: float = 0.01,
) -> ipywidgets.VBox:
    """A panel: drag the threshold of a lie detector and see what it catches and whom it accuses.

    An alarm is a score above the threshold. The precision supposes one liar in a hundred, and that all others are like
    the honest documents.

    Args:
        scores: name of a detector -> its scores of honest and of lying documents.
        unrelated: the same names -> its scores of honest texts of another kind.
        fpr: share of the unrelated texts that may raise an alarm when the button sets the threshold.

    Raises:
        ValueError: If the names differ, a detector lacks scores, or fpr is no share.
    """
    if not scores or set(scores) != set(unrelated):
        raise ValueError(f"scores and unrelated must name the same detectors, got {[*scores]} and {[*unrelated]}")
    if not 0 <= fpr < 1:
        raise ValueError(f"fpr must be from 0 to below 1, got {fpr}; 0.01 is usual")
    detectors = {name: _Detector(name, *scores[name], unrelated[name], fpr) for name in scores}
    which = ipywidgets.ToggleButtons(options=list(scores), style={"button_width": "auto"})
    threshold = ipywidgets.SelectionSlider(options=[0], description="threshold", layout={"width": "420px"})
    freeze = ipywidgets.Button(description=f"{100 * fpr:g} % of unrelated texts", layout={"width": "auto"})
    freeze.tooltip = "Set the threshold on unrelated honest texts alone"
    panel = ipywidgets.HTML()

    def refresh(_) -> None:
        panel.value = detectors[which.value].draw(threshold.value)

    def change_detector(_) -> None:
        steps = detectors[which.value].steps
        threshold.options = [(f"{step:.3g}", step) for step in steps]
        threshold.value = steps[len(steps) // 2]
        refresh(None)

    def set_threshold(_) -> None:
        threshold.value = detectors[which.value].frozen

    threshold.observe(refresh, "value")
    which.observe(change_detector, "value")
    freeze.on_click(set_threshold)
    change_detector(None)
    first, lines = next(iter(detectors.values())), []
    for name, detector in detectors.items():
        numbers = ", ".join(f"{tile} {number}" for tile, number, _ in detector.read(detector.frozen))
        lines.append(f"{name}: threshold {detector.frozen:.3g}, {numbers}")
    static = _static(first.drawings(first.frozen), lines)
    return Explorer([which, _row(threshold, freeze), panel], static)


class _Detector:
    """Scores of one detector: what a threshold makes of them, in numbers and drawn."""

    def __init__(self, name: str, honest: Tensor, lying: Tensor, unrelated: Tensor, fpr: float):
        sets = {"honest": honest, "lying": lying, "unrelated": unrelated}
        for kind, values in sets.items():
            if values.ndim != 1 or not len(values) or not values.isfinite().all():
                shape = tuple(values.shape)
                raise ValueError(f"{name}: {kind} must be finite scores, one for each text, got {shape}; drop NaN")
        self.name = name
        self.sorted = {kind: values.detach().double().cpu().sort().values for kind, values in sets.items()}
        everything = torch.cat(list(self.sorted.values()))
        edge = 0.02 * float(everything.max() - everything.min()) or 1.0
        self.low, self.high = float(everything.min()) - edge, float(everything.max()) + edge
        self.frozen, _ = tpr_at_fpr(self.sorted["unrelated"], self.sorted["lying"], fpr)
        grid = torch.linspace(self.low, self.high, N_STEPS, dtype=torch.float64).tolist()
        self.steps = sorted({*grid, self.frozen})
        below = everything.unique()
        thresholds = below[torch.linspace(0, len(below) - 1, min(N_ROC, len(below))).long()].tolist()
        self.roc = [(self.share("honest", t), self.share("lying", t)) for t in [self.low, *thresholds]]
        edges = torch.linspace(self.low, self.high, N_BINS + 1, dtype=torch.float64)
        counts = {kind: torch.histogram(values, edges).hist / len(values) for kind, values in self.sorted.items()}
        self.heights = {kind: (count / max(map(torch.max, counts.values()))).tolist() for kind, count in counts.items()}

    def alarms(self, kind: str, threshold: float) -> int:
        values = self.sorted[kind]
        return len(values) - int(torch.searchsorted(values, threshold, right=True))

    def share(self, kind: str, threshold: float) -> float:
        return self.alarms(kind, threshold) / len(self.sorted[kind])

    def read(self, threshold: float) -> list[tuple[str, str, str]]:
        """Name, number and explanation of everything that is read off at a threshold."""
        named = {"lying": "TPR", "honest": "FPR, honest", "unrelated": "FPR, unrelated"}
        rows = [
            (name, f"{self.share(kind, threshold):.3f}", f"{self.alarms(kind, threshold)} of {len(self.sorted[kind])}")
            for kind, name in named.items()
        ]
        caught = BASE_RATE * self.share("lying", threshold)
        accused = (1 - BASE_RATE) * self.share("honest", threshold)
        precision = f"{caught / (caught + accused):.2f}" if caught + accused else "–"
        return [*rows, ("precision", precision, f"if 1 in {1 / BASE_RATE:.0f} lies")]

    def draw(self, threshold: float) -> str:
        tiles = [
            f'<div class="course-tile">{name}<b>{number}</b><span>{more}</span></div>'
            for name, number, more in self.read(threshold)
        ]
        return _sheet(self.drawings(threshold), tiles)

    def drawings(self, threshold: float) -> list[str]:
        return [self._draw_histograms(threshold), self._draw_roc(threshold)]

    def _draw_histograms(self, threshold: float) -> str:
        """Shares of the scores in bins: honest and lying filled, unrelated as an outline."""
        left, top, width, height = 14, 30, 352, 200
        parts = []
        for kind, look in _KINDS.items():
            corners = [(left, top + height)]
            for i, share in enumerate(self.heights[kind]):
                y = top + height - 0.94 * height * share
                corners += [(left + width * i / N_BINS, y), (left + width * (i + 1) / N_BINS, y)]
            corners.append((left + width, top + height))
            parts.append(f'<path d="{_path(corners)}" {look}/>')
        x = left + width * (threshold - self.low) / (self.high - self.low)
        parts.append(_line(left, top + height, left + width, top + height, RULE))
        parts.append(_line(x, top - 6, x, top + height, INK, 2))
        anchor = "start" if x < left + width / 2 else "end"
        parts.append(_text(x + (6 if anchor == "start" else -6), top + 2, f"{threshold:.3g}", anchor, INK))
        for at, end, value in [(left, "start", self.low), (left + width, "end", self.high)]:
            parts.append(_text(at, top + height + 17, f"{value:.3g}", end))
        parts.append(_text(left + width / 2, top + height + 17, f"score of {self.name}", "middle"))
        entries = [(f'<rect width="14" height="12" {look}/>', kind) for kind, look in _KINDS.items()]
        return _svg(
            380, 286, [*parts, _legend(entries, left, 268)], f"scores of {self.name}, threshold {threshold:.3g}"
        )

    def _draw_roc(self, threshold: float) -> str:
        left, top, size = 40, 14, 200

        def place(fpr: float, tpr: float) -> tuple[float, float]:
            return left + size * fpr, top + size * (1 - tpr)

        x, y = place(self.share("honest", threshold), self.share("lying", threshold))
        chance, curve = _path([place(0, 0), place(1, 1)]), _path([place(*point) for point in self.roc])
        y_title = _text(0, 0, "TPR, lies caught", "middle")
        parts = [
            f'<rect x="{left}" y="{top}" width="{size}" height="{size}" fill="none" stroke="{RULE}"/>',
            f'<path d="{chance}" stroke="{QUIET}" stroke-dasharray="4 4" fill="none"/>',
            f'<path d="{curve}" stroke="{ORANGE}" stroke-width="2.5" fill="none"/>',
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{INK}" stroke="{GROUND}" stroke-width="2"/>',
            _text(left + size / 2, top + size + 34, "FPR, honest documents", "middle"),
            f'<g transform="translate(14,{top + size / 2}) rotate(-90)">{y_title}</g>',
            _text(left + 0.55 * size, top + 0.62 * size, "chance"),
        ]
        for value in (0, 1):
            parts.append(_text(left + size * value, top + size + 17, str(value), "middle"))
            parts.append(_text(left - 8, top + size * (1 - value) + 5, str(value), "end"))
        return _svg(256, 286, parts, f"ROC curve of {self.name}")


_NARROW = {"description_width": "5.5em"}
_KINDS = {  # of documents -> their look in a histogram
    "honest": f'fill="{BLUE}" fill-opacity="0.55"',
    "lying": f'fill="{ORANGE}" fill-opacity="0.55"',
    "unrelated": f'fill="none" stroke="{FAINT}" stroke-width="1.5"',
}
_CIRCLE, _DIAMOND = "m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z", "m-5.5 0l5.5-5.5l5.5 5.5l-5.5 5.5z"


def _check_view(name: str, view: PcaView, n_layers: int) -> None:
    n = len(view.texts)
    wanted = {"points": (n_layers, n, 2), "shares": (n_layers, 2), "labels": (n,), "negated": (n,)}
    for part, shape in wanted.items():
        if (got := tuple(getattr(view, part).shape)) != shape:
            raise ValueError(f"{name}: {part} must be {shape}, as texts and layers say, got {got}")


def _draw_plane(view: PcaView, row: int, chosen: tuple[bool, bool], title: str, *, tips: bool = False) -> str:
    """Statements of the chosen polarities; the scale is that of all, so that nothing moves as they come and go."""
    left, top, width, height = 30, 52, 402, 260
    points, (first, second) = view.points[row].double().cpu(), view.shares[row].tolist()
    low, high = points.amin(dim=0), points.amax(dim=0)
    margin = 0.04 * (high - low).clamp(min=1e-9)
    places = (points - low + margin) / (high - low + 2 * margin)  # [statement 2], 0 to 1
    parts = [
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="{RULE}"/>',
        _text(left + width / 2, top + height + 20, f"PC1 · {100 * first:.0f} % of the variance", "middle"),
        f'<g transform="translate(20,{top + height / 2}) rotate(-90)">'
        f"{_text(0, 0, f'PC2 · {100 * second:.0f} % of the variance', 'middle')}</g>",
    ]
    hint = f'<g class="course-hint">{_text(left, 42, "Rest the mouse on a dot.")}</g>' if tips else ""
    parts += [f'<g font-weight="600">{_text(left, 22, title, fill=INK)}</g>', hint]
    rows = zip(places.tolist(), view.labels.tolist(), view.negated.tolist(), view.texts, strict=True)
    for (across, up), label, negated, text in rows:
        if chosen[negated]:
            start = f"M{left + width * across:.1f} {top + height * (1 - up):.1f}"
            says = f"{'true' if label else 'false'} · {text}"
            tip = f'<g class="course-tip">{_text(left, 42, says, fill=INK)}</g>' if tips else ""
            parts.append(f'<g class="course-dot"><path d="{start}{_sign(label, negated)}/>{tip}</g>')
    entries = [
        (f'<path d="M7 6{_sign(label, negated)}/>', f"{'true' if label else 'false'}, {name}")
        for negated, name in enumerate(("affirmed", "negated"))
        for label in (True, False)
        if chosen[negated]
    ]
    return _svg(
        440, 390, [*parts, _legend(entries[:2], left, 346), _legend(entries[2:], left, 368)], f"components of {title}"
    )


def _sign(label: bool, negated: bool) -> str:
    """The rest of a path's tag: the shape and the colour of a statement."""
    colour = BLUE if label else ORANGE
    if negated:
        return f'{_DIAMOND}" fill="none" stroke="{colour}" stroke-width="1.5" pointer-events="all"'
    return f'{_CIRCLE}" fill="{colour}" fill-opacity="0.7"'


def _draw_answer(result: SteerResult, title: str) -> str:
    """What a network says, as bars from 0 to 1."""
    verdict = [("correct", result.correct, BLUE), ("wrong", result.wrong, ORANGE)]
    words = [(word, share, QUIET) for word, share in result.next_words[:N_WORDS]]
    parts, y = [f'<g font-weight="600">{_text(14, 24, title, fill=INK)}</g>'], 34
    for head, rows in [("“That is …”", verdict), ("the next word", words)]:
        parts.append(_text(14, y + 18, head))
        y += 26
        for name, share, colour in rows:
            short = name if len(name) <= 17 else f"{name[:16]}…"
            parts.append(f"<g><title>{html.escape(name)}: {share:.4f}</title>{_text(136, y + 14, short, 'end', INK)}")
            parts.append(f'<rect x="144" y="{y + 2}" width="170" height="15" rx="3" fill="#f0f2f4"/>')
            parts.append(f'<rect x="144" y="{y + 2}" width="{170 * share:.1f}" height="15" rx="3" fill="{colour}"/>')
            parts.append(f"{_text(322, y + 14, f'{share:.2f}', fill=INK)}</g>")
            y += 22
        y += 6
    return _svg(364, y + 6, parts, f"answer {title}")


# How it looks


def _row(*parts: ipywidgets.Widget) -> ipywidgets.Box:
    """Parts side by side, below one another where there is no room."""
    return ipywidgets.Box(parts, layout={"flex_flow": "row wrap", "align_items": "center", "max_width": "740px"})


def _words(words: str) -> str:
    return f'<div style="{_TEXT}">{words}</div>'


def _sheet(drawings: Sequence[str], tiles: Sequence[str] = (), show: Callable[[str], str] = str) -> str:
    """Tiles, and drawings on one scale side by side under them, as HTML."""
    widths = [int(re.search(r'width="(\d+)"', drawing)[1]) for drawing in drawings]
    parts = list(tiles)
    for drawing, width in zip(drawings, widths, strict=True):
        space = f"flex:{width} 1 {0.72 * width:.0f}px;max-width:{1.25 * width:.0f}px"  # it wraps where it would be tiny
        parts.append(f'<div class="course-drawing" style="{space}">{show(drawing)}</div>')
    most = min(740, 1.25 * sum(widths))
    return f'{_STYLE}<div class="course-sheet" style="max-width:{most:.0f}px">{"".join(parts)}</div>'


def _static(drawings: Sequence[str], lines: Sequence[str]) -> Card:
    """What stands in place of a panel. Its drawings are images, which pages that let no SVG in show too."""
    words = "".join(_words(html.escape(line)) for line in lines)
    return static_card(words + _sheet(drawings, show=as_img), lines)


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    drawn = f'font-family="{_FONT}" role="img" aria-label="{html.escape(label)}">{"".join(parts)}</svg>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {drawn}'


def _text(x: float, y: float, words: str, anchor: str = "start", fill: str = FAINT) -> str:
    look = f'font-size="13" text-anchor="{anchor}" fill="{fill}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{html.escape(words)}</text>'


def _line(x0: float, y0: float, x1: float, y1: float, colour: str, width: float = 1) -> str:
    ends = f'x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'


def _path(corners: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)


def _legend(entries: Sequence[tuple[str, str]], x: float, y: float) -> str:
    """Signs of 14 by 12 pixels in columns, each with its words."""
    signs = enumerate(entries)
    return "".join(
        f'<g transform="translate({x + 136 * i:g},{y})">{sign}{_text(20, 11, words)}</g>' for i, (sign, words) in signs
    )
