"""Drawings as SVG: the pieces that boards and panels are drawn with, and drawings as images.

Sizes are in pixels at full size. A drawing is one <svg> with an aria-label, which says what it shows to whoever does
not see it; parts of it are texts of SVG.
"""

import base64
import html
import re
from collections.abc import Sequence

from utils.style import FAINT, FONT


def draw(width: float, height: float, parts: Sequence[str], label: str) -> str:
    """Put parts into one drawing, which shrinks to the width of the page.

    Args:
        label: what the drawing shows, in words; empty if the words stand beside it.
    """
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    look = f'style="display:block;max-width:100%;height:auto" font-family="{FONT}"'
    label = html.escape(" ".join(label.split()))
    says = f'role="img" aria-label="{label}"' if label else 'aria-hidden="true"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {look} {says}>{"".join(parts)}</svg>'


def text(
    x: float, y: float, words: str, *, anchor: str = "start", fill: str = FAINT, size: float = 13, bold: bool = False
) -> str:
    """One line of text whose base is at y.

    Args:
        anchor: where x is in it: "start", "middle", "end".
    """
    look = f'font-size="{size:g}" text-anchor="{anchor}" fill="{fill}"' + ' font-weight="600"' * bold
    return f'<text x="{x:.4g}" y="{y:.4g}" {look}>{html.escape(words)}</text>'


def line(x0: float, y0: float, x1: float, y1: float, colour: str, width: float = 1) -> str:
    """A straight line."""
    ends = f'x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'


def path(corners: Sequence[tuple[float, float]]) -> str:
    """The d of a <path> from corner to corner."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)


def size_of(drawing: str) -> tuple[float, float]:
    """Width and height of a drawing."""
    _, _, width, height = re.search(r'viewBox="([^"]*)"', drawing)[1].split()
    return float(width), float(height)


def as_image(drawing: str) -> str:
    """Turn a drawing into the address of an image, for <img src="..."> and for plotly."""
    return f"data:image/svg+xml;base64,{base64.b64encode(drawing.encode()).decode()}"


def as_img(drawing: str) -> str:
    """A drawing as an HTML image, for pages that let no SVG in; its aria-label becomes the words in its place."""
    label = re.search(r'^<svg[^>]* aria-label="([^"]*)"', drawing)
    return f'<img alt="{label[1] if label else ""}" src="{as_image(drawing)}">'


def legend(entries: Sequence[tuple[str, str]], x: float, y: float) -> str:
    """Signs of 14 by 12 pixels in a row, each with its words."""
    return "".join(
        f'<g transform="translate({x + 136 * i:g},{y})">{sign}{text(20, 11, words)}</g>'
        for i, (sign, words) in enumerate(entries)
    )
