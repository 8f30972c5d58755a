"""Panels of chapters 01 and 02: an item in the layers of a network, probes of different capacity."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ipywidgets
import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.course.feedback import GREY, Card
from utils.style import BLUE
from utils.widgets.panel import TEXT, Explorer, static_card

N_NEAREST = 5
N_SUGGESTED = 8
_BOX = f"max-width:820px;overflow-x:auto;{TEXT}"
_CELL = "text-align:left;vertical-align:top;padding:3px 12px 3px 0"
_SWATCH = "display:inline-block;width:5em;height:1.3em;vertical-align:middle;border:1px solid #8888;border-radius:3px"


@dataclass(frozen=True)
class ItemSet:
    """What `explore_layers` shows of one data set.

    names: all items; neighbours are found among them.
    acts: one vector for each layer and item.
    held_out: indices of the items that can be chosen, those that the probes have not seen.
    show: from the number of a layer in acts and of an item to what the probe says and what is true. Either is a text,
        or a colour: a tensor with red, green, blue, 0 to 1.
    example: name of the held-out item that is shown first, and in the static table.
    """

    names: Sequence[str]
    acts: Float[Tensor, "layer item d_model"]
    held_out: Int[Tensor, " held_out"]
    show: Callable[[int, int], tuple[str | Tensor, str | Tensor]]
    example: str


def explore_layers(sets: Mapping[str, ItemSet], layers: Sequence[int | str]) -> ipywidgets.VBox:
    """A panel: choose a data set and an item, and move through the layers.

    It shows the probe's answer beside the truth, and the five items with the largest cosine at that layer.

    Args:
        sets: what an item is called, such as "city" -> its items.
        layers: names of the layers, such as ["embed", 0, 1].

    Raises:
        ValueError: If a set does not fit the layers, or its example is not held out.
    """
    for kind, items in sets.items():
        expected = (len(layers), len(items.names))
        if items.acts.ndim != 3 or items.acts.shape[:2] != expected:
            raise ValueError(
                f"{kind}: acts must be [layer item d_model] with {expected}, got {tuple(items.acts.shape)}"
            )
        if items.example not in _held_out(items):
            raise ValueError(f"{kind}: example must be the name of a held-out item, got {items.example!r}")
    rows = [(str(name), row) for row, name in enumerate(layers)]
    narrow = {"description_width": "3em"}
    kinds = ipywidgets.ToggleButtons(options=list(sets), style={"button_width": "auto"})
    item = ipywidgets.Combobox(description="which", placeholder="type, or choose from the list", style=narrow)
    layer = ipywidgets.SelectionSlider(options=rows, value=0, description="layer", style=narrow)
    panel = ipywidgets.HTML()

    def change_set(_) -> None:
        items = sets[kinds.value]
        item.options = sorted(_held_out(items))
        item.value = items.example
        refresh(_)

    def refresh(_) -> None:
        panel.value = _panel(kinds.value, sets[kinds.value], item.value.strip(), layer.value)

    kinds.observe(change_set, "value")
    item.observe(refresh, "value")
    layer.observe(refresh, "value")
    change_set(None)
    return Explorer([kinds, item, layer, panel], _static(sets, layers))


def explore_capacity(
    probes: Sequence[str], *, task: Float[Tensor, " probe"], control: Float[Tensor, " probe"]
) -> ipywidgets.VBox:
    """A slider over probes, from weak to strong: accuracy on the task, on the control task, and the selectivity.

    Args:
        probes: their names.

    Raises:
        ValueError: If there is not one accuracy of each kind for each probe.
    """
    if not len(probes) == len(task) == len(control) > 0:
        raise ValueError(f"probes, task and control must be as many, got {len(probes)}, {len(task)}, {len(control)}")
    values = {"task": task.tolist(), "control task": control.tolist(), "selectivity": (task - control).tolist()}
    probe = ipywidgets.SelectionSlider(options=[(name, row) for row, name in enumerate(probes)], value=0)
    probe.description, probe.readout = "probe", False  # the panel names it: the slider's own line is too short
    panel = ipywidgets.HTML()

    def refresh(_) -> None:
        bars = [(name, _bar(column[probe.value])) for name, column in values.items()]
        panel.value = _table([], [("probe", html.escape(probes[probe.value])), *bars])

    probe.observe(refresh, "value")
    refresh(None)
    rows = [(name, *(f"{column[row]:.2f}" for column in values.values())) for row, name in enumerate(probes)]
    lines = [f"{name}: task {t}, control task {c}, selectivity {d}" for name, t, c, d in rows]
    table = _table(["probe", *values], [(html.escape(row[0]), *row[1:]) for row in rows])
    return Explorer([probe, panel], static_card(table, lines))


def _held_out(items: ItemSet) -> dict[str, int]:
    """Name -> index of the items that can be chosen."""
    return {items.names[index]: index for index in items.held_out.tolist()}


def _panel(kind: str, items: ItemSet, name: str, row: int) -> str:
    """What one item looks like at one layer; or, if it cannot be shown, why, and which ones can."""
    held_out = _held_out(items)
    if name not in held_out:
        why = "is in the training set: the probe has seen it." if name in items.names else f"is no {kind} of this set."
        alike = sorted(other for other in held_out if name and other.lower().startswith(name.lower()))
        more = f" Held out and beginning like it: {', '.join(alike[:N_SUGGESTED])}." if alike else ""
        return f'<div class="course-panel" style="{_BOX}">{html.escape(f"“{name}” {why}{more}")}</div>'
    predicted, true = items.show(row, held_out[name])
    nearest = _nearest(items, row, held_out[name])
    near = "<br>".join(
        f'{html.escape(other)} <span style="color:{GREY}">{cosine:.2f}</span>' for other, cosine in nearest
    )
    rows = [("the probe says", _as_html(predicted)), ("the truth", _as_html(true)), ("nearest by cosine", near)]
    return _table([], rows)


def _nearest(items: ItemSet, row: int, index: int) -> list[tuple[str, float]]:
    """The other items with the largest cosine at one layer, the largest first."""
    cosine = torch.cosine_similarity(items.acts[row, index], items.acts[row], dim=-1)  # [item]
    cosine[index] = -torch.inf
    top = cosine.topk(min(N_NEAREST, len(cosine) - 1))
    return [(items.names[i], value) for value, i in zip(top.values.tolist(), top.indices.tolist(), strict=True)]


def _static(sets: Mapping[str, ItemSet], layers: Sequence[int | str]) -> Card:
    """The example of each set at all layers."""
    tables, lines = [], []
    for kind, items in sets.items():
        index = _held_out(items)[items.example]
        true = items.show(0, index)[1]
        rows = []
        lines.append(f"{kind}: {items.example} (the truth: {_as_text(true)})")
        for row, layer in enumerate(layers):
            near = ", ".join(name for name, _ in _nearest(items, row, index))
            predicted = items.show(row, index)[0]
            rows.append((str(layer), _as_html(predicted), html.escape(near)))
            lines.append(f"  {layer!s:>5}  {_as_text(predicted)}  nearest: {near}")
        tables.append(f"<p><b>{html.escape(items.example)}</b>; the truth: {_as_html(true)}</p>")
        tables.append(_table(["layer", "the probe says", "nearest by cosine"], rows))
    return static_card("".join(tables), lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of HTML, the first column of which is a heading."""
    cells = "".join(f'<th style="{_CELL};color:{GREY}">{name}</th>' for name in head)
    lines = [f"<tr>{cells}</tr>"] if head else []
    for first, *rest in rows:
        body = "".join(f'<td style="{_CELL}">{cell}</td>' for cell in rest)
        lines.append(f'<tr><th style="{_CELL};color:{GREY};font-weight:normal">{first}</th>{body}</tr>')
    table = f'<table style="border-collapse:collapse">{"".join(lines)}</table>'
    return f'<div class="course-panel" style="{_BOX}">{table}</div>'


def _bar(share: float) -> str:
    """A share as a bar with its number."""
    style = f"display:inline-block;height:0.9em;background:{BLUE};width:{12 * max(share, 0):.2f}em"
    return f'<span style="{style}"></span> {share:.2f}'


def _as_html(value: str | Tensor) -> str:
    if isinstance(value, str):
        return html.escape(value)
    return f'<span style="{_SWATCH};background:{_as_text(value)}"></span> {_as_text(value)}'


def _as_text(value: str | Tensor) -> str:
    """A text as it is, a colour as #rrggbb."""
    if isinstance(value, str):
        return value
    return "#" + "".join(f"{channel:02x}" for channel in (value.clamp(0, 1) * 255).round().int().tolist())
