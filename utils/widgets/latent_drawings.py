"""What is drawn of one latent: small boards, cosines over the squares or by name, a histogram of its values."""

import html
from collections.abc import Mapping, Sequence

import torch
from plotly.colors import sample_colorscale
from torch import Tensor

from utils import svg
from utils.boards import STATE_NAMES, sign
from utils.othello import EMPTY, square_name
from utils.style import BLUE, FAINT, FIELD, INK, ORANGE, RULE

N_BINS, N_NAMED = 30, 12  # bars of the histogram, named directions
CELL, EDGE = 20, 14  # pixels of a small board: a square, the side with the names
BAR = "#6b7684"
_RED_TO_BLUE = sample_colorscale("RdBu", [i / 100 for i in range(101)])  # -1 to 1


def draw_small_board(states: list[int], last: int, label: str) -> str:
    """A board in half the size of draw_board's, with its signs, so that its legend fits.

    Args:
        last: square of the last move; -1 for none.
    """
    size, parts = round(len(states) ** 0.5), []
    for square, state in enumerate(states):
        x, y = _corner(square, size)
        says = f"{square_name(square, size)}: {STATE_NAMES[state]}{', the last move' * (square == last)}"
        names = [STATE_NAMES[state]] * (state != EMPTY) + ["played"] * (square == last)
        field = f'<path d="M1 1h38v38h-38z" fill="{FIELD}"/>'
        place = f'transform="translate({x},{y}) scale(0.5)"'
        parts.append(f"<g {place}><title>{says}</title>{field}{''.join(map(sign, names))}</g>")
    return _board_svg(size, parts, label)


def draw_map(title: str, cosines: Tensor, reach: float, label: str) -> str:
    """Cosines over the squares: blue above 0, red below; numbers where it is far from 0."""
    size, values = round(len(cosines) ** 0.5), cosines.tolist()
    shown = max(0.5 * float(cosines.abs().nan_to_num(0).max()), 0.3 * reach)
    parts = [svg.text(EDGE, 10, title, fill=INK, bold=True)]
    for square, value in enumerate(values):
        x, y = _corner(square, size)
        colour, number, says = FIELD, "", "no probe"
        if value == value:  # a number, and not NaN
            says = f"{value:+.2f}"
            colour = _RED_TO_BLUE[round(50 + 50 * max(-1.0, min(1.0, value / reach)))]
            ink = "#fff" if abs(value) > 0.6 * reach else INK
            if abs(value) >= shown:
                digits = f"{value:.1f}".replace("0.", ".")
                number = svg.text(10, 13.5, digits, anchor="middle", fill=ink, size=9.5)
        says = f"<title>{square_name(square, size)}: {says}</title>"
        field = f'<path d="M.5.5h19v19h-19z" fill="{colour}"/>'
        parts.append(f'<g transform="translate({x},{y + 16})">{says}{field}{number}</g>')
    side, top = EDGE + CELL * size, 16 + EDGE + CELL * size + 8
    step = (side - EDGE) / 20
    for i in range(20):
        colour = _RED_TO_BLUE[round(100 * (i + 0.5) / 20)]
        parts.append(f'<path d="M{EDGE + step * i:.1f} {top}h{step + 0.3:.1f}v6h-{step + 0.3:.1f}z" fill="{colour}"/>')
    for x, anchor, value in [(EDGE, "start", -reach), ((EDGE + side) / 2, "middle", 0), (side, "end", reach)]:
        parts.append(svg.text(x, top + 17, f"{value:+.1f}" if value else "0", anchor=anchor, size=10))
    return _board_svg(size, parts, label, above=16, below=32)


def draw_cosines(cosines: Mapping[str, float], reach: float) -> str:
    """The named directions with the largest cosines, as bars from 0 to the left and to the right."""
    rows = sorted(((n, v) for n, v in cosines.items() if v == v), key=lambda row: -abs(row[1]))[:N_NAMED]
    middle, half = 190, 62
    parts = [svg.text(2, 12, "cosine with probe directions", fill=INK, bold=True)]
    for i, (name, value) in enumerate(rows):
        y, length = 22 + 19 * i, half * min(abs(value) / reach, 1)
        short = name if len(name) <= 17 else f"{name[:16]}…"
        x, anchor = (middle + length + 4, "start") if value >= 0 else (middle - length - 4, "end")
        bar = f'x="{middle if value >= 0 else middle - length:.1f}" y="{y}" width="{length:.1f}" height="14"'
        parts.append(f"<g><title>{html.escape(name)}: {value:+.3f}</title>")
        parts.append(svg.text(2, y + 12, short, fill=INK, size=12))
        parts.append(f'<rect {bar} fill="{BLUE if value >= 0 else ORANGE}"/>')
        parts.append(svg.text(x, y + 12, f"{value:+.2f}", anchor=anchor, size=12) + "</g>")
    height = 22 + 19 * len(rows)
    parts.append(f'<path d="M{middle} 19v{height - 20}" stroke="{FAINT}"/>')
    return svg.draw(292, height + 4, parts, "cosines with probe directions")


def draw_histogram(values: Sequence[float]) -> str:
    """How the values above 0 are spread, the strongest at the right end."""
    left, top, width, height, largest = 6, 22, 262, 118, values[0]
    counts = torch.histc(torch.tensor(values), N_BINS, 0, largest).tolist()
    step, parts = width / N_BINS, [svg.text(left, 12, "values above 0", fill=INK, bold=True)]
    for i, count in enumerate(counts):
        tall = height * count / max(counts)
        says = f"{largest * i / N_BINS:.3g} to {largest * (i + 1) / N_BINS:.3g}: {int(count):,}"
        bar = f'x="{left + step * i:.1f}" y="{top + height - tall:.1f}" width="{step - 1:.1f}" height="{tall:.1f}"'
        parts.append(f'<rect {bar} fill="{BAR}"><title>{says}</title></rect>')
    parts.append(f'<path d="M{left} {top + height}h{width}" stroke="{RULE}"/>')
    for x, anchor, says in [
        (left, "start", "0"),
        (left + width / 2, "middle", "value of the latent"),
        (left + width, "end", f"{largest:.3g}"),
    ]:
        parts.append(svg.text(x, top + height + 16, says, anchor=anchor, size=12))
    parts.append(svg.text(left + width, 12, f"tallest bar {int(max(counts)):,}", anchor="end", size=12))
    return svg.draw(274, top + height + 22, parts, "histogram of the values above 0")


def _corner(square: int, size: int) -> tuple[int, int]:
    row, column = divmod(square, size)
    return EDGE + CELL * column, EDGE + CELL * row


def _board_svg(size: int, parts: Sequence[str], label: str, *, above: int = 0, below: int = 0) -> str:
    """Parts of a small board with the names of columns and rows around them."""
    names = []
    for i in range(size):
        middle = EDGE + CELL * i + CELL / 2
        names.append(svg.text(middle, above + 10, "abcdefgh"[i], anchor="middle", size=10))
        names.append(svg.text(6, above + middle + 3.5, str(i + 1), anchor="middle", size=10))
    side = EDGE + CELL * size
    return svg.draw(side + 1, above + side + below + 1, [*names, *parts], label)
