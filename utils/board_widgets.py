"""Panels with boards of Othello: step through games and see what a network believes; change a disc, see what follows.

They show what a notebook has computed. Of science only the rules are inside, utils.othello.legal_moves.
"""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ipywidgets
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.boards import BORDER, EDGE, SQUARE, STATE_NAMES, draw_board, draw_legend
from utils.course.feedback import GREEN, RED, Card
from utils.othello import EMPTY, MINE, PADDING, YOURS, legal_moves, square_name, token_squares
from utils.style import GROUND, INK
from utils.svg import as_img
from utils.widgets import Explorer, static_card

# true state -> what the first, third, ... and the second, fourth, ... click on a square make of it
EDITED_STATES = {EMPTY: (MINE, YOURS), MINE: (YOURS, EMPTY), YOURS: (MINE, EMPTY)}
_TEXT = "max-width:820px;min-height:3em;font-size:14px;line-height:1.5;color:var(--jp-content-font-color1,inherit)"
_STYLE = f"""<style>
.course-table {{ background: {GROUND}; border-radius: 8px; max-width: 740px; margin: 4px 0; overflow: hidden }}
.course-side {{ display: flex; flex-flow: row wrap; gap: 10px; align-items: flex-end; overflow: hidden }}
.course-side > * {{ flex: 1 1 240px; max-width: 360px; margin: 0 }}
.course-side svg, .course-side img {{ display: block; width: 100%; height: auto; margin: 0 }}
.course-clickable {{ display: grid; overflow: hidden }}
.course-clickable > * {{ grid-area: 1 / 1; margin: 0 }}
.course-clickable > .widget-gridbox {{ align-self: end; aspect-ratio: 1; overflow: visible }}
.course-clickable .jupyter-button, .course-clickable .jupyter-button:enabled:is(:hover, :focus, :active) {{
  background: none; box-shadow: none; outline: none; color: transparent; border-radius: 4px }}
.course-clickable .jupyter-button:enabled:is(:hover, :focus-visible):not(:active) {{
  box-shadow: inset 0 0 0 3px {INK} }}
</style>"""


@dataclass(frozen=True)
class GameView:
    """What `explore_games` shows of one game. Position p is the game after move p, as whoever moves next sees it.

    moves: tokens; padding after the end of the game is not shown.
    boards: the true ones, in EMPTY, MINE, YOURS.
    legal: where whoever moves next may truly play; nowhere once the game is over.
    believed: the boards that a probe reads in each layer.
    probabilities: of the next move on every square, 0 to 1.
    """

    moves: Int[Tensor, " pos"]
    boards: Int[Tensor, "pos square"]
    legal: Bool[Tensor, "pos square"]
    believed: Int[Tensor, "layer pos square"]
    probabilities: Float[Tensor, "pos square"]


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


def explore_games(
    games: Mapping[str, GameView], layers: Sequence[int | str], *, layer: int | str | None = None
) -> ipywidgets.VBox:
    """A panel: step through games and see, beside the true board, the board that a layer believes in.

    Args:
        games: name of a game -> what is shown of it.
        layers: names of the layers of GameView.believed, such as ["embed", 0, 1].
        layer: where the slider starts, one of them; the last if None.

    Raises:
        ValueError: If there are no games, or one does not fit the layers or itself.
    """
    for name, view in games.items():
        _check_view(name, view, len(layers))
    if not games or layer not in (None, *layers):
        raise ValueError(
            f"games must hold at least one, and layer be one of {list(layers)}; got {len(games)}, {layer!r}"
        )
    start, names = list(layers).index(layer) if layer is not None else len(layers) - 1, list(games)
    stops = [(name, pos) for name in names for pos in _illegal_favourites(games[name])]
    game = ipywidgets.Dropdown(options=names, description="game")
    move = ipywidgets.IntSlider(min=1, max=_n_moves(games[names[0]]), description="after move")
    previous, following, jump = (
        ipywidgets.Button(description=text, layout={"width": "auto"})
        for text in ("previous", "next", "next illegal favourite")
    )
    jump.disabled = not stops
    reveal = ipywidgets.Checkbox(description="show the believed board", indent=False, layout={"width": "auto"})
    rows = [(str(name), row) for row, name in enumerate(layers)]
    depth = ipywidgets.SelectionSlider(options=rows, value=start, description="layer")
    panel = ipywidgets.HTML()

    def refresh(_) -> None:
        depth.disabled = not reveal.value
        shown = _show_position(games[game.value], move.value - 1, layers, depth.value if reveal.value else None)
        panel.value = _panel(*shown)

    def change_game(_) -> None:
        move.max = _n_moves(games[game.value])
        refresh(_)

    def step(by: int) -> None:
        move.value = min(max(move.value + by, move.min), move.max)

    def jump_on(_) -> None:
        here = names.index(game.value), move.value - 1
        game.value, pos = next((stop for stop in stops if (names.index(stop[0]), stop[1]) > here), stops[0])
        move.value = pos + 1

    for part in (move, reveal, depth):
        part.observe(refresh, "value")
    game.observe(change_game, "value")
    previous.on_click(lambda _: step(-1))
    following.on_click(lambda _: step(1))
    jump.on_click(jump_on)
    refresh(None)
    name, pos = stops[0] if stops else (names[0], _n_moves(games[names[0]]) - 1)
    static = _static(name, *_show_position(games[name], pos, layers, start))
    return Explorer([_row(game, jump), _row(move, previous, following), _row(depth, reveal), panel], static)


def edit_board(
    examples: Mapping[str, EditExample],
    edit: Callable[[str, int, int, float], EditResult],
    strengths: Sequence[float],
    *,
    strength: float,
) -> ipywidgets.VBox:
    """A panel: click on a square to change what a network believes of it, and see its moves before and after.

    A click makes the square one of the two states that it truly does not have, the next click the other one. There is
    one edit at a time.

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
    text, before, after, legend = (ipywidgets.HTML() for _ in range(4))
    buttons = _buttons(size)
    now = {}  # the square that is edited, and its state

    def refresh(_) -> None:
        words, drawings = _show_edit(edit, examples[which.value], which.value, strength=dose.value, **now)
        text.value = _words(f"{words}<br>Click on a square of the second board to change what it holds.")
        before.value, after.value = drawings
        legend.value = draw_legend(*drawings)

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
    table = ipywidgets.VBox([boards, legend])
    table.add_class("course-table")
    static = _static(which.value, *_show_edit(edit, examples[which.value], which.value, strength=strength, **now))
    return Explorer([_row(which, dose), text, table], static)


def _check_view(name: str, view: GameView, n_layers: int) -> None:
    n_pos, n_squares = view.boards.shape[-2:] if view.boards.ndim > 1 else (0, 0)
    wanted = {"moves": (n_pos,), "boards": (n_pos, n_squares), "believed": (n_layers, n_pos, n_squares)}
    wanted |= {"legal": (n_pos, n_squares), "probabilities": (n_pos, n_squares)}
    for part, shape in wanted.items():
        if (got := tuple(getattr(view, part).shape)) != shape:
            raise ValueError(f"{name}: {part} must be {shape}, as boards [pos square] and layers say, got {got}")
    if not _n_moves(view):
        raise ValueError(f"{name}: moves must begin with a move, got none; leave games without moves out")


def _n_moves(view: GameView) -> int:
    return int((view.moves != PADDING).sum())


def _illegal_favourites(view: GameView) -> list[int]:
    """Positions in which the most likely square is not legal, although another one is."""
    favourites = view.probabilities.argmax(dim=-1, keepdim=True)
    illegal = ~view.legal.gather(-1, favourites)[:, 0] & view.legal.any(dim=-1)
    return illegal[: _n_moves(view)].nonzero().flatten().tolist()


def _show_position(view: GameView, pos: int, layers: Sequence[int | str], row: int | None) -> tuple[str, list[str]]:
    """A position in words and drawings: the true board; beside it what a layer believes, unless row is None."""
    board, legal, probabilities = view.boards[pos], view.legal[pos], view.probabilities[pos]
    size, favourite, is_over = round(len(board) ** 0.5), int(probabilities.argmax()), not legal.any()
    played = int(token_squares(size)[view.moves[pos] - 1])
    words = [f"Move {pos + 1} was <b>{square_name(played, size)}</b>."]
    if is_over:
        words.append("The game is over.")
    else:
        name, percent = square_name(favourite, size), f"{100 * probabilities[favourite]:.0f} %"
        words.append(f"The favourite is now <b>{name}</b>, {percent}: {_verdict(legal[favourite])}.")
    marks = {favourite: "the favourite, not legal"} if not (is_over or legal[favourite]) else None
    look = {"played": played, "probabilities": None if is_over else probabilities}
    drawings = [draw_board(board, legal=legal, marks=marks, title="The true board", **look)]
    if row is not None:
        believed = view.believed[row, pos]
        possible, n_wrong = legal_moves(believed), int((believed != board).sum())
        if not is_over:
            words.append(f"On the believed board it is {_verdict(possible[favourite])}.")
        words.append(f"The belief has {n_wrong or 'no'} square{'s' if n_wrong != 1 else ''} wrong.")
        title = f"The believed board, layer {layers[row]}"
        drawings.append(draw_board(believed, legal=possible, truth=board, marks=marks, title=title))
    return " ".join(words), drawings


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


def _verdict(legal: Tensor) -> str:
    colour, word = (GREEN, "legal") if legal else (RED, "not legal")
    return f'<b style="color:{colour}">{word}</b>'


# How it looks


def _row(*parts: ipywidgets.Widget) -> ipywidgets.Box:
    """Parts side by side, below one another where there is no room."""
    return ipywidgets.Box(parts, layout={"flex_flow": "row wrap", "align_items": "center", "max_width": "820px"})


def _buttons(size: int) -> ipywidgets.GridBox:
    """A button without a look of its own for every square, to be laid over a drawing of any width."""
    plain, style = ipywidgets.Layout(width="auto", height="auto", margin="0", padding="0"), ipywidgets.ButtonStyle()
    names = [square_name(square, size) for square in range(size * size)]
    buttons = [ipywidgets.Button(description=name, tooltip=name, layout=plain, style=style) for name in names]
    border, edge = (f"{100 * length / (EDGE + SQUARE * size + BORDER):.3f}%" for length in (BORDER, EDGE))
    tracks = f"repeat({size}, 1fr)"
    layout = {"grid_template_columns": tracks, "grid_template_rows": tracks, "margin": f"0 {border} {border} {edge}"}
    return ipywidgets.GridBox(buttons, layout=layout)


def _words(words: str) -> str:
    return f'{_STYLE}<div style="{_TEXT}">{words}</div>'


def _panel(words: str, drawings: Sequence[str], show: Callable[[str], str] = str) -> str:
    """Words, drawings side by side, and their legend, as HTML."""
    sides = "".join(f"<div>{show(drawing)}</div>" for drawing in drawings)
    table = f'<div class="course-side">{sides}</div>{show(draw_legend(*drawings))}'
    return f'{_words(words)}<div class="course-table">{table}</div>'


def _static(name: str, words: str, drawings: Sequence[str]) -> Card:
    """What stands in place of a panel. Its drawings are images, which pages that let no SVG in show too."""
    words = f"{html.escape(name)}. {words}"
    text = html.unescape(re.sub("<[^>]+>", "", words))
    return static_card(_panel(words, drawings, as_img), [text])
