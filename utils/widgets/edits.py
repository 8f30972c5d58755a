"""The panel of chapter 04: change what a network believes of one square, and see its moves before and after.

It shows what a notebook computes on demand.
"""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ipywidgets
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.boards import BORDER, EDGE, SQUARE, STATE_NAMES, draw_board
from utils.othello import EMPTY, MINE, YOURS, square_name
from utils.style import GROUND, INK
from utils.svg import as_img
from utils.widgets.panel import WIDTH, Explorer, legend, plain, row, sentence, sheet, static_card

# true state -> what the first, third, ... and the second, fourth, ... click on a square make of it
EDITED_STATES = {EMPTY: (MINE, YOURS), MINE: (YOURS, EMPTY), YOURS: (MINE, EMPTY)}
_STYLE = f"""<style>
.course-table {{ background: {GROUND}; border-radius: 8px; max-width: {WIDTH}px; margin: 4px 0; overflow: hidden }}
.course-table .course-legend {{ color: {INK}; padding: 2px 12px 10px }}
.course-side {{ display: flex; flex-flow: row wrap; gap: 10px; align-items: flex-end; overflow: hidden }}
.course-side > * {{ flex: 1 1 240px; max-width: 360px; margin: 0 }}
.course-side svg {{ width: 100% }}
.course-clickable {{ display: grid; overflow: hidden }}
.course-clickable > * {{ grid-area: 1 / 1; margin: 0 }}
.course-clickable > .widget-gridbox {{ align-self: end; aspect-ratio: 1; overflow: visible }}
.course-clickable .jupyter-button, .course-clickable .jupyter-button:enabled:is(:hover, :focus, :active) {{
  background: none; box-shadow: none; outline: none; color: transparent; border-radius: 4px }}
.course-clickable .jupyter-button:enabled:is(:hover, :focus-visible):not(:active) {{
  box-shadow: inset 0 0 0 3px {INK} }}
</style>"""


@dataclass(frozen=True)
class EditExample:
    """A position that `edit_board` offers, and the edit that it shows first: this square becomes this state."""

    board: Int[Tensor, " square"]
    square: int
    state: int


@dataclass(frozen=True)
class EditResult:
    """What an edit did.

    before, after: probabilities of the next move on every square, without the edit and with it.
    board_after, legal_after: what would be true and legal if the square were as edited.
    errors_before, errors_after: of both, judged by legal_after.
    """

    before: Float[Tensor, " square"]
    after: Float[Tensor, " square"]
    board_after: Int[Tensor, " square"]
    legal_after: Bool[Tensor, " square"]
    errors_before: int
    errors_after: int


def edit_board(
    examples: Mapping[str, EditExample],
    edit: Callable[[str, int, int, float], EditResult],
    strengths: Sequence[float],
    *,
    strength: float,
) -> ipywidgets.VBox:
    """A panel: choose a square to change what a network believes of it, and see its moves before and after.

    A click, or Enter, makes the square one of the two states that it truly does not have, the next the other one.
    There is one edit at a time.

    Args:
        examples: name -> a position and its first edit; all boards have one size.
        edit: from the name of an example, a square, its new state and a strength to what the edit did.
        strengths: what the slider offers.
        strength: where it starts, one of them.

    Raises:
        ValueError: If there are no examples, their boards differ in size, or a first edit or the strength is none.
    """
    lengths = {len(example.board) for example in examples.values()}
    if len(lengths) != 1 or strength not in strengths:
        raise ValueError(
            "examples must hold at least one board, all of one size, and strength be one of strengths; "
            f"got boards of {sorted(lengths)} squares, and {strength} of {list(strengths)}"
        )
    for name, example in examples.items():
        if not 0 <= example.square < len(example.board) or example.state not in _edited_states(example, example.square):
            raise ValueError(
                f"{name}: square and state must change the board, got square {example.square}, state {example.state}; "
                "flip a disc, for instance"
            )
    size = round(lengths.pop() ** 0.5)
    which = ipywidgets.Dropdown(options=list(examples), description="position")
    dose = ipywidgets.SelectionSlider(
        options=[(f"{value:g}", value) for value in strengths], value=strength, description="strength"
    )
    text, before, after, signs = (ipywidgets.HTML() for _ in range(4))
    buttons = _buttons(size)
    now = {}  # the square that is edited, and its state

    def refresh(_) -> None:
        words, drawings = _show_edit(edit, examples[which.value], which.value, strength=dose.value, **now)
        text.value = _STYLE + sentence(f"{words}<br>Click on a square of the second board to change what it holds.", 2)
        before.value, after.value = drawings
        signs.value = legend(drawings)
        for button, says in zip(buttons.children, re.findall("<title>(.*?)</title>", drawings[1]), strict=True):
            button.tooltip = html.unescape(says)  # the button lies over the square, and over what its drawing says

    def change_example(_) -> None:
        now.update(square=examples[which.value].square, state=examples[which.value].state)
        refresh(_)

    def click(square: int) -> None:
        first, second = _edited_states(examples[which.value], square)
        now.update(square=square, state=second if now == {"square": square, "state": first} else first)
        refresh(None)

    for square, button in enumerate(buttons.children):
        button.on_click(lambda _, square=square: click(square))
    which.observe(change_example, "value")
    dose.observe(refresh, "value")
    change_example(None)
    clickable = ipywidgets.Box([after, buttons])
    clickable.add_class("course-clickable")
    boards = ipywidgets.Box([before, clickable])
    boards.add_class("course-side")
    table = ipywidgets.VBox([boards, signs])
    table.add_class("course-table")
    words, drawings = _show_edit(edit, examples[which.value], which.value, strength=strength, **now)
    words = f"{html.escape(which.value)}. {words}"
    static = sentence(words) + sheet(drawings, below=legend(drawings, show=as_img), show=as_img)
    return Explorer([row(which, dose), text, table], static_card(static, [plain(words)]))


def _show_edit(
    edit: Callable[[str, int, int, float], EditResult],
    example: EditExample,
    name: str,
    *,
    square: int,
    state: int,
    strength: float,
) -> tuple[str, list[str]]:
    """An edit in words and drawings: the board before and after, both with the moves that are legal afterwards."""
    result = edit(name, square, state, strength)
    errors = [f"{n} error{'s' if n != 1 else ''}" for n in (result.errors_before, result.errors_after)]
    was, becomes = STATE_NAMES[int(example.board[square])], STATE_NAMES[state]
    where = square_name(square, round(len(example.board) ** 0.5))
    words = f"<b>{where}</b>: {was} → <b>{becomes}</b>, strength {strength:g}. {errors[0]} before, {errors[1]} after."
    looks = [("Before", example.board, result.before), ("After", result.board_after, result.after)]
    return words, [
        draw_board(
            board,
            legal=result.legal_after,
            probabilities=probabilities,
            truth=example.board,
            title=f"{when}: {n_errors}",
        )
        for (when, board, probabilities), n_errors in zip(looks, errors, strict=True)
    ]


def _edited_states(example: EditExample, square: int) -> tuple[int, int]:
    return EDITED_STATES[int(example.board[square])]


def _buttons(size: int) -> ipywidgets.GridBox:
    """A button without a look of its own for every square, to be laid over a drawing of any width."""
    bare, style = ipywidgets.Layout(width="auto", height="auto", margin="0", padding="0"), ipywidgets.ButtonStyle()
    names = [square_name(square, size) for square in range(size * size)]
    buttons = [ipywidgets.Button(description=name, layout=bare, style=style) for name in names]
    border, edge = (f"{100 * length / (EDGE + SQUARE * size + BORDER):.3f}%" for length in (BORDER, EDGE))
    tracks = f"repeat({size}, 1fr)"
    layout = {"grid_template_columns": tracks, "grid_template_rows": tracks, "margin": f"0 {border} {border} {edge}"}
    return ipywidgets.GridBox(buttons, layout=layout)
