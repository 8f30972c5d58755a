"""The panel of chapter 03: step through games of Othello, and see what a network believes.

It shows what a notebook has computed. Of science only the rules are inside, utils.othello.legal_moves.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ipywidgets
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.boards import draw_board
from utils.course.feedback import GREEN, RED
from utils.othello import PADDING, legal_moves, square_name, token_squares
from utils.svg import as_img
from utils.widgets.panel import Explorer, legend, plain, row, sentence, sheet, static_card


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
    names, start = list(games), list(layers).index(layer) if layer is not None else len(layers) - 1
    stops = [(name, pos) for name in names for pos in _illegal_favourites(games[name])]
    game = ipywidgets.Dropdown(options=names, description="game")
    move = ipywidgets.IntSlider(min=1, max=_n_moves(games[names[0]]), description="after move")
    previous, following, jump = (
        ipywidgets.Button(description=text, layout={"width": "auto"})
        for text in ("previous", "next", "next illegal favourite")
    )
    jump.disabled = not stops
    reveal = ipywidgets.Checkbox(description="show the believed board", indent=False, layout={"width": "auto"})
    options = [(str(name), i) for i, name in enumerate(layers)]
    depth = ipywidgets.SelectionSlider(options=options, value=start, description="layer")
    panel = ipywidgets.HTML()

    def refresh(_) -> None:
        depth.disabled = not reveal.value
        believed_by = depth.value if reveal.value else None
        words, drawings = _show_position(games[game.value], move.value - 1, layers, believed_by)
        panel.value = sentence(words, lines=2) + sheet(drawings, below=legend(drawings))

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
    words, drawings = _show_position(games[name], pos, layers, start)
    words = f"{html.escape(name)}. {words}"
    static = sentence(words) + sheet(drawings, below=legend(drawings, show=as_img), show=as_img)
    rows = [row(game, jump), row(move, previous, following), row(depth, reveal)]
    return Explorer([*rows, panel], static_card(static, [plain(words)]))


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


def _show_position(view: GameView, pos: int, layers: Sequence[int | str], layer: int | None) -> tuple[str, list[str]]:
    """A position in words and drawings: the true board; beside it what a layer believes, unless that is None."""
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
    if layer is not None:
        believed = view.believed[layer, pos]
        possible, n_wrong = legal_moves(believed), int((believed != board).sum())
        if not is_over:
            words.append(f"On the believed board it is {_verdict(possible[favourite])}.")
        words.append(f"The belief has {n_wrong or 'no'} square{'s' if n_wrong != 1 else ''} wrong.")
        title = f"The believed board, layer {layers[layer]}"
        drawings.append(draw_board(believed, legal=possible, truth=board, marks=marks, title=title))
    return " ".join(words), drawings


def _verdict(legal: Tensor) -> str:
    colour, word = (GREEN, "legal") if legal else (RED, "not legal")
    return f'<b style="color:{colour}">{word}</b>'
