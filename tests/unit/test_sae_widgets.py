"""The panel of latents without a front end: what it shows as its parts change, and what stands in its place."""

import html
import re
import time

import pytest
import torch

from utils.othello import EMPTY, MINE, YOURS
from utils.widgets import panel as panel_module
from utils.widgets.latent_views import LatentView
from utils.widgets.latents import explore_latents

TOKENS = ["Lyon", " is", " in", " <b>", " ."]


def text_of(markup: str) -> str:
    """HTML as one line of text, without the styles."""
    markup = re.sub(r"<(style|title).*?</\1>", " ", markup, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def parts_of(explorer) -> tuple:
    (which, order), (number, previous, following), panel = (getattr(p, "children", p) for p in explorer.children)
    return which, order, number, previous, following, panel


@pytest.fixture
def view() -> LatentView:
    """Twenty boards of 6x6, each full but for the square of its number. Latent 0 is on in all of them and stronger
    from board to board, 1 in the first two, 2 in none, 3 in half of them."""
    latents = torch.zeros(20, 4)
    latents[:, 0] = torch.arange(1.0, 21)
    latents[:2, 1] = torch.tensor([0.5, 0.25])
    latents[::2, 3] = 2
    boards = torch.full((20, 36), MINE)
    boards[:, 18:] = YOURS
    boards[range(20), range(20)] = EMPTY
    mine = torch.zeros(4, 36)
    mine[0, 7], mine[1, 0], mine[2, 3] = -0.25, 0.5, 0.75
    empty = torch.full((4, 36), torch.nan)
    empty[:, 1] = torch.tensor([0.1, 0.2, 0.3, 0.4])
    cosines = {"mine − yours": mine, "empty": empty}
    return LatentView(latents, boards=boards, last_moves=torch.arange(20) - 1, cosines=cosines)


@pytest.fixture
def text_view() -> LatentView:
    """One sentence of five tokens, and a second one of which only the last token is known."""
    latents = torch.tensor([[1.0, 0], [0, 0], [2.0, 0], [4.0, 0], [0, 0], [3.0, 3.0]])
    cosines = {"truth": torch.tensor([-0.5, 0.1]), "<i>": torch.tensor([0.25, 0.2])}
    texts = [TOKENS] * 5 + [["Long"] * 40]
    return LatentView(latents, texts=texts, positions=[0, 1, 2, 3, 4, 39], cosines=cosines)


def test_the_panel_counts_what_a_latent_is_on_for(view):
    *_, number, _, _, panel = parts_of(explore_latents({"topk": view}, latent=0))
    shown = text_of(panel.value)
    assert "topk, latent 0 4 latents, 1.6 on in a vector, 1 never on" in shown
    assert "density 100 % on in 20 of 20 vectors" in shown and "rank by density 1 of 4 latents" in shown
    assert "when on 10.5 on average, at most 20" in shown and "largest |cosine| 0.25 mine − yours, b2" in shown
    number.value = 1
    assert "density 10 % on in 2 of 20 vectors" in text_of(panel.value)
    assert "rank by density 3 of 4" in text_of(panel.value)
    number.value = 2
    assert "on in none of these vectors" in text_of(panel.value) and "strongest" not in text_of(panel.value)
    assert "d1: +0.75" in panel.value  # its direction is there all the same


def test_the_strongest_examples_and_some_of_the_middle_are_shown_with_their_last_move(view):
    *_, panel = parts_of(explore_latents({"topk": view}, latent=0))
    captions = re.findall(r'aria-label="board, (.*?)"', panel.value)
    assert captions[:4] == ["value 20", "value 19", "value 18", "value 17"]
    assert captions[4:] == ["80 % quantile, 16", "60 % quantile, 12", "40 % quantile, 8", "20 % quantile, 4"]
    strongest = panel.value.split('aria-label="board, value 20"')[1].split("</svg>")[0]
    assert "b4: empty" in strongest and "a4: yours, the last move" in strongest  # board 19, move 18
    assert strongest.count('class="mine"') == 18 and strongest.count('class="yours"') == 17
    assert "the last move" in panel.value.split('class="course-legend"')[1]


def test_few_values_are_shown_once(view):
    *_, number, _, _, panel = parts_of(explore_latents({"topk": view}))
    number.value = 1
    assert re.findall(r'aria-label="board, (.*?)"', panel.value) == ["value 0.5", "value 0.25"]
    assert "middle" not in text_of(panel.value).replace("text-anchor", "")


def test_orders_put_latents_that_are_never_on_last(view):
    _, order, number, previous, following, _ = parts_of(explore_latents({"topk": view}))

    def walk(kind: str) -> list[int]:
        order.value = kind
        seen = [number.value]
        assert previous.disabled
        for _ in range(3):
            following.click()
            seen.append(number.value)
        assert following.disabled
        following.click()
        assert number.value == seen[-1]
        return seen

    assert order.value == "cosine" and number.value == 1  # latent 2 is nearer, but never on
    assert walk("density") == [0, 3, 1, 2]
    assert walk("rarest") == [1, 3, 0, 2]
    assert walk("cosine") == [1, 3, 0, 2]
    assert walk("number") == [0, 1, 2, 3]
    previous.click()
    assert number.value == 2


def test_a_smaller_autoencoder_takes_over_whatever_latent_was_open(view, text_view):
    which, order, number, *_, panel = parts_of(explore_latents({"topk": view, "<i>": text_view}, latent=3))
    which.value = "<i>"
    assert number.max == 1 and number.value == 0 and order.value == "cosine"
    assert "<i>, latent 0" in text_of(panel.value) and "&lt;i&gt;, latent 0" in panel.value
    which.value = "topk"
    assert number.max == 3 and "topk, latent 1" in text_of(panel.value)


def test_a_sentence_tints_every_token_that_is_known_and_frames_the_one_that_counts(text_view):
    *_, panel = parts_of(explore_latents({"facts": text_view}, latent=0))
    rows = panel.value.split('class="course-sentence"')[1:]
    assert [text_of("<p " + row).split(" ", 3)[:3] for row in rows[:3]] == [
        ["value", v, w] for v, w in [("4", "Lyon"), ("3", "…"), ("2", "Lyon")]
    ]
    assert re.findall(r'title="(.*?)">(.*?)</mark>', rows[0]) == [("1", "Lyon"), ("2", "in"), ("4", "&lt;b&gt;")]
    framed = re.findall(r'<mark style="([^"]*)outline[^"]*" title="(.*?)"', rows[0])
    assert [value for _, value in framed] == ["4"]
    assert rows[1].count("Long") == 15  # the window, and the token itself
    bars = panel.value.split('aria-label="cosines with probe directions"')[1]
    assert re.findall(r"<title>(.*?)</title>", bars)[:2] == ["truth: -0.500", "&lt;i&gt;: +0.250"]


def test_without_cosines_nothing_is_drawn_of_them(view):
    bare = LatentView(view.latents, boards=view.boards)
    _, order, number, *_, panel = parts_of(explore_latents({"topk": bare}))
    assert order.value == "density" and "cosine" not in [value for _, value in order.options]
    assert number.value == 0 and "cosine" not in text_of(panel.value) and 'class="played"' not in panel.value


def test_maps_share_one_scale_and_leave_squares_without_a_probe_grey(view):
    *_, number, _, _, panel = parts_of(explore_latents({"topk": view}, latent=0))
    scales = []
    for latent in (0, 2):
        number.value = latent
        scales.append(re.findall(r">([+-]0\.\d)</text>", panel.value)[:2])
    assert scales == [["-0.8", "+0.8"]] * 2
    assert "a1: +nan" not in panel.value and "a1: no probe" in panel.value


def test_instead_of_the_panel_stands_the_first_latent_in_images(view, text_view, monkeypatch):
    shown = []
    monkeypatch.setattr(panel_module, "display", lambda thing, raw=False: shown.append(thing))
    explore_latents({"topk": view, "facts": text_view}, latent=0)._ipython_display_()
    assert repr(shown[0]).splitlines() == [
        "topk: 4 latents, 1.6 on in a vector, 1 never on",
        "facts: 2 latents, 0.8 on in a vector, 0 never on",
    ]
    assert "<svg" not in shown[0].html and shown[0].html.count("<img alt=") == 1 + 2 + 8 + 3  # three signs
    assert "application/vnd.jupyter.widget-view+json" in shown[1]


def test_many_latents_are_redrawn_at_once():
    """5,000 vectors and 2,048 latents: 150 ms a redraw are wanted, some 10 ms are usual."""
    latents = (torch.randn(5000, 2048, generator=torch.Generator().manual_seed(0)) - 2).relu()
    view = LatentView(latents, boards=torch.ones(5000, 64, dtype=torch.long), last_moves=torch.zeros(5000).long())
    *_, number, _, _, _ = parts_of(explore_latents({"topk": view}))
    seconds = []
    for latent in range(5, 2000, 200):
        start = time.perf_counter()
        number.value = latent
        seconds.append(time.perf_counter() - start)
    assert sorted(seconds)[len(seconds) // 2] < 0.15, f"a redraw takes {sorted(seconds)[len(seconds) // 2]:.2f} s"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"latents": torch.zeros(3)}, r"topk: latents must be \[vector latent\], .* got torch.float32 \(3,\)"),
        ({"latents": torch.ones(20, 4).long()}, "floats; got torch.int64"),
        ({"latents": -torch.ones(20, 4)}, r"0 or above, got -1 to -1; pass what encode returns"),
        ({"latents": torch.full((20, 4), torch.nan)}, "must be finite and 0 or above, got nan"),
        ({"boards": None}, "either boards or texts must be given, got neither"),
        ({"texts": [["a"]] * 20}, "either boards or texts must be given, got both"),
        ({"boards": torch.zeros(19, 36).long()}, r"boards must be \[vector square\] with 20 .* got \(19, 36\)"),
        ({"boards": torch.zeros(20, 32).long()}, "16, 36 or 64 squares"),
        ({"boards": torch.full((20, 36), 3)}, "EMPTY, MINE, YOURS"),
        ({"boards": torch.zeros(20, 36)}, "got torch.float32"),
        ({"last_moves": torch.zeros(3).long()}, r"last_moves must be integers \[20\]"),
        ({"last_moves": torch.full((20,), 36)}, r"0 to 35, or -1 for none, got 36 to 36; turn tokens into squares"),
        ({"cosines": {"mine": torch.zeros(4)}}, r"cosines 'mine' must be \[latent square\] with \(4, 36\), got \(4,\)"),
        ({"cosines": {"mine": torch.full((4, 36), 2.0)}}, "from -1 to 1, got up to 2; divide by the lengths"),
    ],
)
def test_boards_that_do_not_fit_are_named(view, change, message):
    with pytest.raises(ValueError, match=message):
        explore_latents({"topk": LatentView(**(vars(view) | change))})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"positions": None}, "texts and positions must be 6 each, one for each vector, got 6 and None"),
        ({"texts": [TOKENS]}, "got 1 and 6"),
        ({"texts": ["Lyon is in France ."] * 6}, "facts: texts must be lists of tokens, got 'Lyon .* row 0; split it"),
        ({"positions": [0, 1, 2, 3, 4, 40]}, "got 40 in row 5, which has 40 tokens; leave padding out"),
        ({"cosines": {"truth": torch.zeros(2, 36)}}, r"must be \[latent\] with \(2,\), got \(2, 36\)"),
    ],
)
def test_texts_that_do_not_fit_are_named(text_view, change, message):
    with pytest.raises(ValueError, match=message):
        explore_latents({"facts": LatentView(**(vars(text_view) | change))})


def test_a_panel_of_nothing_and_a_latent_that_is_none_are_refused(view):
    with pytest.raises(ValueError, match="views must hold at least one sparse autoencoder, got none"):
        explore_latents({})
    with pytest.raises(ValueError, match="latent must be from 0 to 3, as topk has 4, got 4"):
        explore_latents({"topk": view}, latent=4)
