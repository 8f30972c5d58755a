"""The panels with boards without a front end: what they show as their parts change, and what stands in their place."""

import html
import re

import pytest
import torch

from utils.othello import EMPTY, MINE, YOURS, legal_moves, random_games, replay_games, square_name, token_squares
from utils.widgets import panel as panel_module
from utils.widgets.edits import EditExample, EditResult, edit_board
from utils.widgets.games import GameView, explore_games

SIZE, ILLEGAL = 6, 0  # a1: nobody gets there in the few moves that are played here


def text_of(markup: str) -> str:
    """HTML as one line of text, without the styles, the drawings and their legend."""
    markup = re.sub(r"<(style|svg).*?</\1>", " ", markup, flags=re.DOTALL)
    markup = re.sub(r'<div class="course-legend">.*?</div>', " ", markup)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", markup)).split())


def titles_of(markup: str) -> list[str]:
    """What the drawings are called."""
    return re.findall(r'aria-label="board ([^"]*)"', markup)


def play(seed: int, illegal_at: tuple[int, ...], n_moves: int = 4) -> GameView:
    """The beginning of a game on 6x6. The favourite has 60 % and is legal, except that it is a1 at some positions.

    Layer 0 believes the truth; layer 1 does not see the first own disc, and believes that b1 is yours and c1 mine.
    """
    moves = random_games(1, SIZE, seed=seed)[0, :n_moves]
    states = replay_games(moves[None], SIZE)
    boards, legal = states.boards[0], states.legal[0]
    probabilities = torch.full((n_moves, SIZE * SIZE), 0.4 / 35)
    favourites = legal.int().argmax(dim=1)
    favourites[list(illegal_at)] = ILLEGAL
    probabilities[range(n_moves), favourites] = 0.6
    wrong = boards.clone()
    wrong[range(n_moves), (boards == MINE).int().argmax(dim=1)] = EMPTY
    wrong[:, 1], wrong[:, 2] = YOURS, MINE
    return GameView(moves, boards, legal, torch.stack([boards, wrong]), probabilities)


@pytest.fixture
def games() -> dict[str, GameView]:
    return {"game 0": play(0, (1, 2)), "game <b>": play(1, (3,))}


@pytest.fixture
def parts(games) -> dict:
    """The parts of the panel by what they are called."""
    (game, jump), (move, previous, following), (layer, reveal), panel = (
        getattr(row, "children", row) for row in explore_games(games, ["embed", 0]).children
    )
    names = ("game", "jump", "move", "previous", "following", "layer", "reveal", "panel")
    return dict(zip(names, (game, jump, move, previous, following, layer, reveal, panel), strict=True))


def test_the_panel_of_games_opens_without_the_believed_board(parts, games):
    assert not parts["reveal"].value and parts["layer"].disabled and parts["layer"].label == "0"
    view = games["game 0"]
    played = square_name(token_squares(SIZE)[view.moves[0] - 1], SIZE)
    favourite = square_name(int(view.legal[0].int().argmax()), SIZE)
    assert text_of(parts["panel"].value) == f"Move 1 was {played}. The favourite is now {favourite}, 60 %: legal."
    assert titles_of(parts["panel"].value) == ["The true board"] and "not legal" not in parts["panel"].value


def test_the_believed_board_appears_on_demand_and_follows_the_layer(parts):
    parts["move"].value = 2
    assert "now a1, 60 %: not legal." in text_of(parts["panel"].value)
    parts["reveal"].value = True
    assert not parts["layer"].disabled
    shown = parts["panel"].value
    assert text_of(shown).endswith("On the believed board it is legal. The belief has 3 squares wrong.")
    assert titles_of(shown) == ["The true board", "The believed board, layer 0"]
    assert shown.count('class="differs"') == 3 + 1 and "b1: yours, truly empty" in shown  # and once in the legend
    assert shown.count("a1: empty, 60 %, the favourite, not legal") == 1
    assert shown.count("a1: empty, legal move, the favourite, not legal") == 1
    parts["layer"].value = 0
    assert text_of(parts["panel"].value).endswith("it is not legal. The belief has no squares wrong.")
    assert titles_of(parts["panel"].value)[1] == "The believed board, layer embed"


def test_the_buttons_step_within_a_game_and_jump_over_all_games_in_a_circle(parts):
    def where() -> tuple[str, int]:
        return parts["game"].value, parts["move"].value

    parts["previous"].click()
    assert where() == ("game 0", 1)
    for expected in [("game 0", 2), ("game 0", 3), ("game <b>", 4), ("game 0", 2)]:
        parts["jump"].click()
        assert where() == expected
        assert "not legal" in text_of(parts["panel"].value)
    for expected in (3, 4, 4):
        parts["following"].click()
        assert where() == ("game 0", expected)


def test_padding_is_not_shown_and_a_finished_game_has_no_favourite(games):
    view = games["game 0"]
    moves, legal = view.moves.clone(), view.legal.clone()
    moves[3:], legal[2:] = 0, False
    over = GameView(**(vars(view) | {"moves": moves, "legal": legal}))
    explorer = explore_games({"short": over, **games}, ["embed", 0])
    (game, _), (move, *_) = (row.children for row in explorer.children[:2])
    assert move.max == 3
    move.value = 3
    panel = explorer.children[-1]
    assert text_of(panel.value).endswith("The game is over.") and "%" not in text_of(panel.value)
    game.value = "game 0"
    assert move.max == 4


def test_instead_of_the_panel_stands_the_first_illegal_favourite_or_the_last_position(games, monkeypatch):
    shown = []
    monkeypatch.setattr(panel_module, "display", lambda thing, raw=False: shown.append(thing))
    explorer = explore_games(games, ["embed", 0], layer="embed")
    explorer._ipython_display_()
    card, panel = shown
    assert panel["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.model_id
    assert repr(card).startswith("game 0. Move 2 was") and "not legal. The belief has no squares wrong." in repr(card)
    labels = re.findall(r'<img alt="([^"]*)" src="data:image/svg', card.html)
    assert labels == ["board The true board", "board The believed board, layer embed", *[""] * 5]
    legal = explore_games({"<b>": play(1, ())}, ["embed", 0])
    assert repr(legal.static).startswith("<b>. Move 4 was") and "<b>. Move" not in legal.static.html
    assert legal.children[0].children[1].disabled  # nothing to jump to


@pytest.mark.parametrize(
    "change, message",
    [
        ({"believed": torch.zeros(3, 4, 36)}, r"game 0: believed must be \(2, 4, 36\), as .* got \(3, 4, 36\)"),
        ({"moves": torch.zeros(5)}, r"moves must be \(4,\), as boards .* got \(5,\)"),
        ({"probabilities": torch.zeros(4, 33)}, r"probabilities must be \(4, 36\)"),
        ({"moves": torch.zeros(4)}, "moves must begin with a move, got none"),
    ],
)
def test_a_game_that_does_not_fit_is_named(games, change, message):
    games["game 0"] = GameView(**(vars(games["game 0"]) | change))
    with pytest.raises(ValueError, match=message):
        explore_games(games, ["embed", 0])


def test_no_games_or_an_unknown_layer_are_named(games):
    with pytest.raises(ValueError, match="at least one"):
        explore_games({}, [0])
    with pytest.raises(ValueError, match=r"layer be one of \['embed', 0\]; got 2, 1"):
        explore_games(games, ["embed", 0], layer=1)


@pytest.fixture
def calls() -> list:
    return []


@pytest.fixture
def editor(calls):
    """Two positions; before an edit a1 gets everything, after it b1 gets as much as the edit is strong."""
    boards = replay_games(random_games(2, SIZE, seed=3)[:, :6], SIZE).boards[:, -1]
    boards[:, :4] = torch.tensor([MINE, YOURS, EMPTY, EMPTY])
    examples = {"first": EditExample(boards[0], 0, YOURS), "second <b>": EditExample(boards[1], 2, MINE)}

    def edit(example: str, square: int, state: int, strength: float) -> EditResult:
        calls.append((example, square, state, strength))
        after = examples[example].board.clone()
        after[square] = state
        before, moved = torch.zeros(2, SIZE * SIZE)
        before[0], moved[1] = 1, strength / 4
        return EditResult(before, moved, after, legal_moves(after), 3, 1)

    return edit_board(examples, edit, [0.5, 1, 2], strength=1)


def test_the_editor_opens_with_the_first_edit(editor, calls):
    _, text, table = editor.children
    assert calls[-1] == ("first", 0, YOURS, 1)
    assert text_of(text.value).startswith("a1: mine → yours, strength 1. 3 errors before, 1 error after.")
    (before, clickable), signs = table.children[0].children, table.children[1]
    after, buttons = clickable.children
    assert titles_of(before.value) == ["Before: 3 errors"] and titles_of(after.value) == ["After: 1 error"]
    assert "a1: mine, 100 %" in before.value and 'class="differs"' not in before.value
    assert "a1: yours, truly mine" in after.value and "b1: yours, 25 %" in after.value
    assert [button.tooltip for button in buttons.children][:2] == ["a1: yours, truly mine", "b1: yours, 25 %"]
    assert before.value.count('class="legal"') == after.value.count('class="legal"') > 0
    assert "differs from the true board" in signs.value
    assert [button.description for button in buttons.children][:7] == ["a1", "b1", "c1", "d1", "e1", "f1", "a2"]


def test_clicks_change_a_square_by_turns_and_controls_keep_the_edit(editor, calls):
    (which, dose), _, table = editor.children[0].children, *editor.children[1:]
    a1, b1, c1 = table.children[0].children[1].children[1].children[:3]
    a1.click()
    a1.click()
    b1.click()
    c1.click()
    c1.click()
    states = [(square, state) for _, square, state, _ in calls[-5:]]
    assert states == [(0, EMPTY), (0, YOURS), (1, MINE), (2, MINE), (2, YOURS)]
    dose.value = 2
    assert calls[-1] == ("first", 2, YOURS, 2)
    which.value = "second <b>"
    assert calls[-1] == ("second <b>", 2, MINE, 2)
    assert "c1: empty → mine, strength 2." in text_of(editor.children[1].value)


def test_instead_of_the_editor_stands_its_first_edit(editor):
    assert repr(editor.static) == "first. a1: mine → yours, strength 1. 3 errors before, 1 error after."
    assert len(re.findall("<img alt=", editor.static.html)) == 2 + 5


def test_what_does_not_fit_an_editor_is_named():
    def edit(*_) -> None:
        raise AssertionError("nothing to edit")

    board = torch.zeros(36, dtype=torch.int8)
    fine = EditExample(board, 0, MINE)
    for examples in ({}, {"a": fine, "b": EditExample(torch.zeros(64, dtype=torch.int8), 0, MINE)}):
        with pytest.raises(ValueError, match="at least one board, all of one size"):
            edit_board(examples, edit, [1], strength=1)
    with pytest.raises(ValueError, match=r"strength be one of strengths; .* 2 of \[1\]"):
        edit_board({"a": fine}, edit, [1], strength=2)
    for wrong in (EditExample(board, 36, MINE), EditExample(board, 0, EMPTY)):
        with pytest.raises(ValueError, match="a: square and state must change the board"):
            edit_board({"a": wrong}, edit, [1], strength=1)
