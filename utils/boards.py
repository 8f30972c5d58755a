"""Boards of Othello as pictures: a drawing (SVG) of each, and figures of several side by side.

    drawing = draw_board(board, legal=legal, title="After move 20")   # board [square] in EMPTY, MINE, YOURS
    plot_boards([drawing, draw_board(believed, truth=board)], title="True and believed")

MINE is a full blue disc, YOURS an orange ring, so that they can be told apart in grey too. Drawings bring their own
light ground: they look the same on a light and on a dark page.
"""

import html
import re
import textwrap
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils import svg
from utils.othello import EMPTY, MINE, YOURS, square_name
from utils.style import BLUE, FIELD, GROUND, INK, ORANGE, RED, TEAL, finish

SQUARE, EDGE, BORDER = 40, 26, 12  # pixels at full size: a square, the side with the names, the sides without
STATE_NAMES = {EMPTY: "empty", MINE: "mine", YOURS: "yours"}
SHOWN_FROM = 0.01  # smaller probabilities tint their square, but their number is left out
LEGEND_WIDTH = 700
_GROUND = f'<rect width="100%" height="100%" rx="8" fill="{GROUND}"/>'
# What can stand on a square, drawn on [0, SQUARE] in both directions, and what the legend says of it.
_SIGNS = {
    "mine": (f'<circle cx="20" cy="20" r="15" fill="{BLUE}"/>', "mine (whoever moves next)"),
    "yours": (f'<circle cx="20" cy="20" r="12.5" fill="#fdeedd" stroke="{ORANGE}" stroke-width="5"/>', "yours"),
    "legal": (f'<circle cx="20" cy="20" r="4" fill="{INK}"/>', "legal move"),
    "probability": (f'<rect x="1" y="1" width="38" height="38" fill="{TEAL}"/>', "probability of the next move, in %"),
    "played": (f'<circle cx="20" cy="20" r="4.5" fill="#fff" stroke="{INK}" stroke-width="1.5"/>', "the last move"),
    "differs": (
        f'<path d="M3 3h34v34h-34z" fill="none" stroke="{INK}" stroke-width="2.5" stroke-dasharray="6 4"/>',
        "differs from the true board",
    ),
    "mark": (f'<circle cx="20" cy="20" r="17.5" fill="none" stroke="{RED}" stroke-width="3"/>', ""),
}


def draw_board(
    board: Int[Tensor, " square"],
    *,
    legal: Bool[Tensor, " square"] | None = None,
    probabilities: Float[Tensor, " square"] | None = None,
    truth: Int[Tensor, " square"] | None = None,
    marks: Mapping[int, str] | None = None,
    played: int | None = None,
    title: str = "",
    subtitle: str = "",
) -> str:
    """Draw one board as SVG. Every square says what it holds when the mouse rests on it.

    Args:
        board: EMPTY, MINE, YOURS on 16, 36 or 64 squares.
        legal: squares with a dot.
        probabilities: of the next move, 0 to 1: a tint on empty squares, and the number in % from 1 % on.
        truth: a second board; a dashed frame stands where it differs from `board`.
        marks: square -> what its red ring means; the words stand in the legend.
        played: square of the last move.

    Raises:
        ValueError: If something is not [square], states are not 0, 1, 2, or probabilities not 0 to 1.
    """
    size = _check_board(board, "board")
    _check_fits(board, legal=legal, probabilities=probabilities, truth=truth)
    marks = dict(marks or {})
    head = [(line, {"size": 15, "fill": INK, "bold": True}) for line in textwrap.wrap(title, 5 * size)]
    head += [(line, {}) for line in textwrap.wrap(subtitle, 6 * size)]
    parts = [_GROUND, *(svg.text(EDGE, BORDER + 8 + 19 * i, line, **look) for i, (line, look) in enumerate(head))]
    top = EDGE + 19 * len(head)
    for i in range(size):
        middle = SQUARE * i + SQUARE // 2
        parts.append(svg.text(EDGE + middle, top - 8, "abcdefgh"[i], anchor="middle"))
        parts.append(svg.text(EDGE // 2, top + middle + 5, str(i + 1), anchor="middle"))
    states, true = board.tolist(), (board if truth is None else truth).tolist()
    is_legal = [False] * len(board) if legal is None else legal.tolist()
    shares = [None] * len(board) if probabilities is None else probabilities.tolist()
    for square, state in enumerate(states):
        row, column = divmod(square, size)
        seen = (state, true[square], is_legal[square], shares[square], square == played, marks.pop(square, None))
        says = html.escape(f"{square_name(square, size)}: {_in_words(*seen)}")
        place = f"translate({EDGE + SQUARE * column},{top + SQUARE * row})"
        parts.append(f'<g class="square" transform="{place}"><title>{says}</title>{_in_signs(*seen)}</g>')
    if marks or (played is not None and not 0 <= played < len(board)):
        raise ValueError(f"marks and played must be squares 0 to {len(board) - 1}, got {[*marks, played]}")
    width = EDGE + SQUARE * size + BORDER
    return svg.draw(width, top + SQUARE * size + BORDER, parts, f"board {title} {subtitle}")


def draw_legend(*drawings: str, width: int = LEGEND_WIDTH) -> str:
    """Draw what the signs on these drawings mean, in as many lines as it takes, as SVG."""
    x, y, parts = BORDER, 6, [_GROUND]
    for drawn, words in explain_signs(*drawings):
        length = 44 + 7.1 * len(words)  # 13 px letters of the widest of the fonts
        if x > BORDER and x + length > width:
            x, y = BORDER, y + 24
        parts.append(f'<g transform="translate({x:g},{y}) scale(0.45)">{drawn}</g>')
        parts.append(svg.text(x + 24, y + 14, words, fill=INK))
        x += length
    return svg.draw(width, y + 24, parts, "legend")


def explain_signs(*drawings: str) -> list[tuple[str, str]]:
    """The signs on these drawings, each drawn on [0, SQUARE] in both directions, and what they mean."""
    everything = "".join(drawings)
    entries = [(name, words) for name, (_, words) in _SIGNS.items() if words and f'class="{name}"' in everything]
    marks = dict.fromkeys(re.findall(r'class="mark" aria-label="([^"]*)"', everything))  # each once, in their order
    entries += [("mark", html.unescape(mark)) for mark in marks]
    field = f'<rect width="40" height="40" fill="{FIELD}"/>'
    return [((_SIGNS["mine"][0] if name == "played" else field) + sign(name), words) for name, words in entries]


def plot_boards(drawings: Mapping[str, str] | Sequence[str], *, title: str) -> go.Figure:
    """Put drawings of boards side by side in one figure, with a legend of the signs on them.

    Args:
        drawings: from draw_board; in a mapping each one's name is written above it.

    Raises:
        ValueError: If there are none, or something else is among them.
    """
    names = list(drawings) if isinstance(drawings, Mapping) else []
    boards = list(drawings.values() if isinstance(drawings, Mapping) else drawings)
    if not boards or not all(board.startswith("<svg") for board in boards):
        raise ValueError(
            "drawings must be a list or dict of results of draw_board, at least one; write [drawing] for one"
        )
    figure, sizes = go.Figure(), [svg.size_of(board) for board in boards]
    width, height = sum(w for w, _ in sizes), max(h for _, h in sizes)
    shared = {"xref": "x", "yref": "y", "yanchor": "bottom", "sizing": "stretch"}
    left, x, y, text = 0, [], [], []
    for i, (board, (w, h)) in enumerate(zip(boards, sizes, strict=True)):
        figure.add_layout_image(source=svg.as_image(board), x=left, y=0, sizex=w, sizey=h, **shared)
        if names:
            look = {"showarrow": False, "xanchor": "left", "yanchor": "bottom", "font_size": 14}
            figure.add_annotation(x=left + EDGE / 2, y=h, text=f"<b>{html.escape(names[i])}</b>", **look)
        for across, down, words in re.findall(r'"square" transform="translate\((\d+),(\d+)\)"><title>(.*?)<', board):
            x.append(left + int(across) + SQUARE / 2)
            y.append(h - int(down) - SQUARE / 2)
            text.append(words)
        left += w
    marker = {"size": 20, "opacity": 0}  # not seen, but found by the mouse
    figure.add_scatter(x=x, y=y, mode="markers", marker=marker, hovertext=text, hoverinfo="text", showlegend=False)
    legend = draw_legend(*boards, width=min(width, LEGEND_WIDTH))
    below = svg.size_of(legend)[1] * width / svg.size_of(legend)[0]
    figure.add_layout_image(source=svg.as_image(legend), x=0, y=-below, sizex=width, sizey=below, **shared)
    above = 40 if names else 0
    quiet = {"visible": False, "fixedrange": True, "constrain": "domain"}
    figure.update_xaxes(range=[0, width], **quiet)
    figure.update_yaxes(range=[-below, height + above], scaleanchor="x", **quiet)
    full = LEGEND_WIDTH * (below + height + above) / width  # where the notebook is as wide as the legend
    figure = finish(figure, title)
    margin = {"l": 8, "r": 8, "t": figure.layout.margin.t - 8, "b": 8}
    return figure.update_layout(height=min(470, round(full) + margin["t"] + 8), margin=margin, hovermode="closest")


def _in_words(state: int, true: int, legal: bool, share: float | None, played: bool, mark: str | None) -> str:
    """A square's tooltip, such as "mine, truly yours" or "empty, 31 %"."""
    words = [STATE_NAMES[state]]
    if true != state:
        words.append(f"truly {STATE_NAMES[true]}")
    if played:
        words.append("the last move")
    if legal:
        words.append("legal move")
    if share is not None and (state == EMPTY or share >= SHOWN_FROM):
        words.append(f"{100 * share:.0f} %" if share >= SHOWN_FROM else "under 1 %")
    return ", ".join([*words, mark] if mark else words)


def _in_signs(state: int, true: int, legal: bool, share: float | None, played: bool, mark: str | None) -> str:
    """The same square drawn."""
    signs = [f'<rect x="1" y="1" width="38" height="38" fill="{FIELD}"/>']
    number = f"{100 * share:.0f}" if share is not None and share >= SHOWN_FROM else ""
    if share is not None and state == EMPTY:
        signs.append(sign("probability", f'fill-opacity="{0.9 * share**0.5:.3f}"'))  # the root: moves share 1 among ten
    if state != EMPTY:
        signs.append(sign(STATE_NAMES[state]))
    if played and not number:
        signs.append(sign("played"))
    if legal:
        signs.append(sign("legal", 'transform="translate(0,12)"' if number else ""))
    if true != state:
        signs.append(sign("differs"))
    if mark is not None:
        signs.append(sign("mark", f'aria-label="{html.escape(mark)}"'))
    if number:
        signs.append(svg.text(20, 24, number, anchor="middle", fill="#fff" if state == MINE else INK, size=15))
    return "".join(signs)


def sign(name: str, more: str = "") -> str:
    """A sign that a legend explains, such as "mine", drawn on [0, SQUARE] in both directions."""
    return f'<g class="{name}" {more}>{_SIGNS[name][0]}</g>'


def board_size(values: Tensor, name: str) -> int:
    """How many squares a side of the board has."""
    if values.ndim != 1 or len(values) not in (16, 36, 64):
        raise ValueError(
            f"{name} must be [square] with 16, 36 or 64 squares, got {tuple(values.shape)}; choose one board"
        )
    return round(len(values) ** 0.5)


def _check_board(board: Tensor, name: str) -> int:
    size = board_size(board, name)
    if board.is_floating_point() or not torch.isin(board.cpu(), torch.tensor(list(STATE_NAMES))).all():
        raise ValueError(
            f"{name} must hold the integers {EMPTY}, {MINE}, {YOURS} (EMPTY, MINE, YOURS), got {board.dtype} "
            f"{board.unique().tolist()[:5]}; take the argmax of probe logits first"
        )
    return size


def _check_fits(board: Tensor, *, legal: Tensor | None, probabilities: Tensor | None, truth: Tensor | None) -> None:
    for name, value in {"legal": legal, "probabilities": probabilities, "truth": truth}.items():
        if value is not None and value.shape != board.shape:
            raise ValueError(
                f"{name} must be [square] with {len(board)} squares like board, got {tuple(value.shape)}; "
                "what is known of tokens goes to their squares, token_squares(size)"
            )
    if truth is not None:
        _check_board(truth, "truth")
    if legal is not None and legal.dtype != torch.bool:
        raise ValueError(f"legal must be bool, got {legal.dtype}; use legal_moves(board)")
    if probabilities is not None and not ((probabilities >= 0) & (probabilities <= 1 + 1e-5)).all():
        low, high = probabilities.min(), probabilities.max()
        raise ValueError(f"probabilities must be 0 to 1, got {low:.2g} to {high:.2g}; take the softmax of the logits")
