"""What all panels are made of: rows of controls, sentences, sheets of drawings, and what stands there without a kernel.

Where no front end answers (a book, a terminal, a notebook whose kernel is gone), a static card stands in a panel's
place. Sentences take the colours of the page's theme; drawings lie on a light ground of their own.
"""

import html
import re
from collections.abc import Callable, Sequence

import ipywidgets
from IPython.display import display

from utils import svg
from utils.boards import SQUARE, explain_signs
from utils.course.feedback import Card, hide_without_kernel
from utils.style import FAINT, GROUND, INK

WIDTH = 740  # pixels, of the widest sheet
TEXT = "font-size:14px;line-height:1.5;color:var(--jp-content-font-color1,inherit)"
_STYLE = f"""<style>
.jp-OutputArea-child:has(+ .jp-OutputArea-child .course-explorer:not(.jupyter-widgets-disconnected)) .course-static {{
  display: none }}
{hide_without_kernel("course-static", "course-explorer")}
.course-sheet {{ background: {GROUND}; color: {INK}; border-radius: 8px; margin: 4px 0; overflow: hidden;
  display: flex; flex-flow: row wrap; gap: 4px 12px }}
.course-sheet svg, .course-sheet img {{ display: block; height: auto; margin: 0 }}
.course-sheet > .course-drawing > * {{ width: 100% }}
.course-legend {{ display: flex; flex-flow: row wrap; gap: 4px 18px; font-size: 13px; line-height: 1.4 }}
.course-legend > span {{ display: inline-flex; gap: 6px; align-items: center }}
.course-legend > span > * {{ flex: none; width: 18px }}
.course-sheet > .course-legend {{ flex: 1 1 100%; padding: 2px 12px 10px }}
.course-tile {{ font-size: 13px; line-height: 1.35 }}
.course-sheet > .course-tiles {{ flex: 1 1 100%; padding: 10px 14px 2px;
  display: grid; grid-template-columns: repeat(auto-fit, minmax(110px, 1fr)); gap: 8px 16px }}
.course-tile b {{ display: block; font-size: 22px; line-height: 1.2 }}
.course-faint {{ color: {FAINT} }}
</style>"""


class Explorer(ipywidgets.VBox):
    """A panel in two outputs: the first is seen where the second, the panel itself, is dead."""

    def __init__(self, children: Sequence[ipywidgets.Widget], static: Card):
        super().__init__(children)
        self.static = static
        self.add_class("course-explorer")

    def _ipython_display_(self) -> None:
        display(self.static)
        display(self._repr_mimebundle_(), raw=True)


def static_card(markup: str, lines: Sequence[str]) -> Card:
    """What stands in place of a panel, and is hidden where a living one follows; it brings the styles of both.

    Args:
        lines: the same for where no HTML is shown.
    """
    return Card(f'{_STYLE}<div class="course-static">{markup}</div>', "\n".join(lines))


def row(*parts: ipywidgets.Widget) -> ipywidgets.Box:
    """Controls side by side, below one another where there is no room."""
    return ipywidgets.Box(parts, layout={"flex_flow": "row wrap", "align_items": "center", "max_width": "820px"})


def sentence(markup: str, lines: int = 1) -> str:
    """A line or more above the drawings, as HTML; it keeps their room, so that nothing jumps when it gets shorter."""
    return f'<div style="max-width:{WIDTH}px;min-height:{1.5 * lines:g}em;{TEXT}">{markup}</div>'


def plain(markup: str) -> str:
    """The same without its tags."""
    return html.unescape(re.sub("<[^>]+>", "", markup))


def tile(name: str, number: str, more: str) -> str:
    """A large number between its name and what it counts, as HTML."""
    return f'<div class="course-tile">{name}<b>{number}</b><span class="course-faint">{more}</span></div>'


def legend(drawings: Sequence[str], *, show: Callable[[str], str] = str) -> str:
    """What the signs on drawings of boards mean, as HTML, so that its letters keep their size on a narrow page."""
    entries = [(svg.draw(SQUARE, SQUARE, [drawn], ""), html.escape(words)) for drawn, words in explain_signs(*drawings)]
    return (
        f'<div class="course-legend">{"".join(f"<span>{show(drawn)}{words}</span>" for drawn, words in entries)}</div>'
    )


def sheet(
    drawings: Sequence[str], *, tiles: Sequence[str] = (), below: str = "", show: Callable[[str], str] = str
) -> str:
    """Tiles, under them drawings side by side on one scale, and more below all, as HTML.

    Args:
        below: HTML, such as a legend.
        show: svg.as_img on pages that let no SVG in.
    """
    widths = [svg.size_of(drawing)[0] for drawing in drawings]
    parts = [f'<div class="course-tiles">{"".join(tiles)}</div>'] if tiles else []
    for drawing, width in zip(drawings, widths, strict=True):
        # on one scale as long as it fits; what would be smaller than 72 % goes below
        space = f"flex:{width:g} 1 {0.72 * width:.0f}px;max-width:{1.25 * width:.0f}px"
        parts.append(f'<div class="course-drawing" style="{space}">{show(drawing)}</div>')
    parts.append(below)
    most = WIDTH if below else min(WIDTH, 1.25 * sum(widths))
    return f'<div class="course-sheet" style="max-width:{most:.0f}px">{"".join(parts)}</div>'
