"""Drawings of boards hold what they were given, square by square, and so do the figures made of them."""

import base64
import re
from xml.etree import ElementTree

import pytest
import torch

from utils.boards import draw_board, draw_legend, plot_boards
from utils.othello import MINE, YOURS, legal_moves, start_board

SVG = "{http://www.w3.org/2000/svg}"
LEGAL = {19, 26, 37, 44}  # black's first moves: d3, c4, f5, e6


def squares(drawing: str) -> dict[str, tuple[str, set[str]]]:
    """Name of a square -> its tooltip after the name, and the signs on it."""
    found = {}
    for group in ElementTree.fromstring(drawing).iter(f"{SVG}g"):
        if group.get("class") == "square":
            name, words = group.find(f"{SVG}title").text.split(": ")
            found[name] = (words, {part.get("class") for part in group.findall(f"{SVG}g")})
    return found


@pytest.fixture
def probabilities() -> torch.Tensor:
    """e6, legal, 31 %; a8, not legal, 68 %; d4, which is taken, 0.6 %; f5 0.4 %."""
    probabilities = torch.zeros(64)
    probabilities[[44, 56, 27, 37]] = torch.tensor([0.31, 0.68, 0.006, 0.004])
    return probabilities


@pytest.mark.parametrize("size", [4, 6, 8])
def test_every_square_is_there_with_its_name_and_state(size):
    drawn = squares(draw_board(start_board(size)))
    assert list(drawn)[:2] == ["a1", "b1"] and list(drawn)[-1] == "abcdefgh"[size - 1] + str(size)
    low, high = size // 2 - 1, size // 2
    assert drawn["abcdefgh"[high] + str(high)] == ("mine", {"mine"})
    assert drawn["abcdefgh"[low] + str(high)] == ("yours", {"yours"})
    assert sum(words == "empty" and not signs for words, signs in drawn.values()) == size * size - 4


def test_a_square_says_all_that_is_known_of_it(probabilities):
    board = start_board()
    truth = board.clone()
    truth[27], truth[0] = MINE, YOURS
    drawing = draw_board(
        board,
        legal=legal_moves(board),
        probabilities=probabilities,
        truth=truth,
        marks={56: "not <legal>"},
        played=28,
        title="a < b",
    )
    drawn = squares(drawing)
    assert drawn["e6"] == ("empty, legal move, 31 %", {"legal", "probability"})
    assert drawn["f5"] == ("empty, legal move, under 1 %", {"legal", "probability"})
    assert drawn["a8"] == ("empty, 68 %, not <legal>", {"probability", "mark"})
    assert drawn["d4"] == ("yours, truly mine", {"yours", "differs"})
    assert drawn["a1"] == ("empty, truly yours, under 1 %", {"probability", "differs"})
    assert drawn["e4"] == ("mine, the last move", {"mine", "played"})
    assert {re.findall(r"\d+", words)[0] for words, _ in drawn.values() if "%" in words} == {"31", "68", "1"}
    assert "a &lt; b" in drawing


def test_a_more_likely_square_has_a_stronger_tint_and_numbers_stand_from_one_percent_on(probabilities):
    tree = ElementTree.fromstring(draw_board(start_board(), probabilities=probabilities))
    tints = [float(part.get("fill-opacity")) for part in tree.iter() if part.get("class") == "probability"]
    shown = [tint for tint in tints if tint]
    assert len(tints) == 60 and len(shown) == 3 and sorted(shown) == shown and shown[-1] < 1  # f5, e6, a8
    numbers = [t.text for g in tree.iter(f"{SVG}g") if g.get("class") == "square" for t in g.findall(f"{SVG}text")]
    assert numbers == ["31", "68"]


def test_long_titles_go_over_several_lines():
    narrow, wide = (draw_board(start_board(size), title="one two three four five six seven eight") for size in (6, 8))
    assert narrow.count('font-weight="600"') == 2 and wide.count('font-weight="600"') == 1


def test_the_legend_explains_what_is_drawn_and_nothing_else():
    board = start_board()
    assert "yours" in draw_legend(draw_board(board)) and "legal" not in draw_legend(draw_board(board))
    marked = [
        draw_board(board, legal=legal_moves(board), marks={0: "a < b", 1: "a < b", square: "c"}) for square in (2, 3)
    ]
    words = [text.text for text in ElementTree.fromstring(draw_legend(*marked)).iter(f"{SVG}text")]
    assert words == ["mine (whoever moves next)", "yours", "legal move", "a < b", "c"]
    heights = [float(re.search(r'height="(\d+)"', draw_legend(*marked, width=width))[1]) for width in (300, 700)]
    assert heights[0] > heights[1]


def test_a_figure_holds_each_drawing_and_names_the_square_under_the_mouse():
    first, second = draw_board(start_board(), title="first"), draw_board(start_board(6), title="second")
    figure = plot_boards({"one": first, "two": second}, title="t")
    held = [base64.b64decode(image.source.split(",")[1]).decode() for image in figure.layout.images]
    assert held[:2] == [first, second] and 'aria-label="legend"' in held[2]
    assert [note.text for note in figure.layout.annotations] == ["<b>one</b>", "<b>two</b>"]
    points = figure.data[0]
    assert len(points.x) == 64 + 36 and points.hovertext[28] == "e4: mine" and points.hovertext[64] == "a1: empty"
    assert points.x[0] < points.x[1] < points.x[64] and points.y[0] == points.y[1] > points.y[8]
    for i, (image, n_squares) in enumerate(zip(figure.layout.images, (64, 36), strict=False)):
        own = slice(64 * i, 64 * i + n_squares)
        assert image.x < min(points.x[own]) and max(points.x[own]) < image.x + image.sizex
        assert image.y < min(points.y[own]) and max(points.y[own]) < image.y + image.sizey
    assert not plot_boards([first], title="t").layout.annotations


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"legal": torch.zeros(36, dtype=torch.bool)},
            r"legal must be \[square\] with 64 squares like board, got \(36,\)",
        ),
        ({"legal": torch.zeros(64)}, "legal must be bool, got torch.float32"),
        ({"probabilities": torch.full((61,), 0.1)}, r"got \(61,\); what is known of tokens goes to their squares"),
        ({"probabilities": torch.full((64,), -2.5)}, "0 to 1, got -2.5 to -2.5; take the softmax"),
        ({"probabilities": torch.full((64,), torch.nan)}, "probabilities must be 0 to 1"),
        ({"truth": torch.full((64,), 3)}, r"truth must hold the integers 0, 1, 2 .* got torch.int64 \[3\]"),
        ({"marks": {64: "x"}}, r"must be squares 0 to 63, got \[64, None\]"),
        ({"played": -1}, r"must be squares 0 to 63, got \[-1\]"),
    ],
)
def test_what_does_not_fit_a_board_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        draw_board(start_board(), **options)


def test_other_wrong_input_is_named():
    with pytest.raises(ValueError, match=r"board must be \[square\] with 16, 36 or 64 squares, got \(2, 64\)"):
        draw_board(torch.zeros(2, 64, dtype=torch.int8))
    with pytest.raises(ValueError, match="take the argmax of probe logits"):
        draw_board(torch.rand(64))
    for wrong in ([], draw_board(start_board()), ["a board"]):
        with pytest.raises(ValueError, match="drawings must be a list or dict of results of draw_board"):
            plot_boards(wrong, title="t")
