"""Panels of chapters 05 and 06: statements on their first two components, and what a network says under a dose.

They show what a notebook has computed or computes on demand.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ipywidgets
from jaxtyping import Bool, Float
from torch import Tensor

from utils import svg
from utils.style import BLUE, FIELD, INK, ORANGE, QUIET, RULE
from utils.widgets.panel import Explorer, plain, row, sentence, sheet, static_card

N_WORDS = 6  # next words that are drawn
_NARROW = {"description_width": "5.5em"}
_CIRCLE, _DIAMOND = "m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z", "m-5.5 0l5.5-5.5l5.5 5.5l-5.5 5.5z"
_STYLE = f"""<style>
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

    Blue is true, orange false; a full circle is affirmed, an open diamond negated. It opens on the last layer.

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
    last = len(layers) - 1
    options = [(str(name), i) for i, name in enumerate(layers)]
    layer = ipywidgets.SelectionSlider(options=options, value=last, description="layer", style=_NARROW)
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
        panel.value = _STYLE + sheet([drawing])

    for part in (world, layer, affirmed, negated):
        part.observe(refresh, "value")
    refresh(None)
    drawings, lines = [], []
    for name, view in worlds.items():
        drawings.append(_draw_plane(view, last, (True, True), f"{name}, layer {layers[last]}"))
        first, second = view.shares[last].tolist()
        lines.append(f"{name}, layer {layers[last]}: PC1 {100 * first:.0f} %, PC2 {100 * second:.0f} % of the variance")
    static = static_card("".join(map(sentence, map(html.escape, lines))) + sheet(drawings, show=svg.as_img), lines)
    return Explorer([row(world, layer), row(affirmed, negated), panel], static)


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
        panel.value = sentence(words) + sheet(drawings)

    for part in (statement, place, dose):
        part.observe(refresh, "value")
    refresh(None)
    words, drawings = show(limit / 2)
    static = static_card(sentence(words) + sheet(drawings, show=svg.as_img), [plain(words)])
    return Explorer([row(statement, place), dose, panel], static)


def _check_view(name: str, view: PcaView, n_layers: int) -> None:
    n = len(view.texts)
    wanted = {"points": (n_layers, n, 2), "shares": (n_layers, 2), "labels": (n,), "negated": (n,)}
    for part, shape in wanted.items():
        if (got := tuple(getattr(view, part).shape)) != shape:
            raise ValueError(f"{name}: {part} must be {shape}, as texts and layers say, got {got}")


def _draw_plane(view: PcaView, layer: int, chosen: tuple[bool, bool], title: str, *, tips: bool = False) -> str:
    """Statements of the chosen polarities; the scale is that of all, so that nothing moves as they come and go."""
    left, top, width, height = 30, 52, 402, 260
    points, (first, second) = view.points[layer].double().cpu(), view.shares[layer].tolist()
    low, high = points.amin(dim=0), points.amax(dim=0)
    margin = 0.04 * (high - low).clamp(min=1e-9)
    places = (points - low + margin) / (high - low + 2 * margin)  # [statement 2], 0 to 1
    parts = [
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="{RULE}"/>',
        svg.text(left + width / 2, top + height + 20, f"PC1 · {100 * first:.0f} % of the variance", anchor="middle"),
        f'<g transform="translate(20,{top + height / 2}) rotate(-90)">',
        svg.text(0, 0, f"PC2 · {100 * second:.0f} % of the variance", anchor="middle"),
        "</g>",
        svg.text(left, 22, title, fill=INK, bold=True),
    ]
    if tips:
        parts.append(f'<g class="course-hint">{svg.text(left, 42, "Rest the mouse on a dot.")}</g>')
    rows = zip(places.tolist(), view.labels.tolist(), view.negated.tolist(), view.texts, strict=True)
    for (across, up), label, negated, text in rows:
        if chosen[negated]:
            start = f"M{left + width * across:.1f} {top + height * (1 - up):.1f}"
            says = f"{'true' if label else 'false'} · {text}"
            tip = f'<g class="course-tip">{svg.text(left, 42, says, fill=INK)}</g>' if tips else ""
            parts.append(f'<g class="course-dot"><path d="{start}{_sign(label, negated)}/>{tip}</g>')
    entries = [
        (f'<path d="M7 6{_sign(label, negated)}/>', f"{'true' if label else 'false'}, {name}")
        for negated, name in enumerate(("affirmed", "negated"))
        for label in (True, False)
        if chosen[negated]
    ]
    parts += [svg.legend(entries[:2], left, 346), svg.legend(entries[2:], left, 368)]
    return svg.draw(440, 390, parts, f"components of {title}")


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
    parts, y = [svg.text(14, 24, title, fill=INK, bold=True)], 34
    for head, rows in [("“That is …”", verdict), ("the next word", words)]:
        parts.append(svg.text(14, y + 18, head))
        y += 26
        for name, share, colour in rows:
            short = name if len(name) <= 17 else f"{name[:16]}…"
            parts.append(f"<g><title>{html.escape(name)}: {share:.4f}</title>")
            parts.append(svg.text(136, y + 14, short, anchor="end", fill=INK))
            for length, fill in ((170, FIELD), (170 * share, colour)):
                parts.append(f'<rect x="144" y="{y + 2}" width="{length:.1f}" height="15" rx="3" fill="{fill}"/>')
            parts.append(svg.text(322, y + 14, f"{share:.2f}", fill=INK) + "</g>")
            y += 22
        y += 6
    return svg.draw(364, y + 6, parts, f"answer {title}")
