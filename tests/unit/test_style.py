"""The colours of figures stay apart for all eyes, and stand out from the ground."""

import itertools

import plotly.graph_objects as go
import pytest
import torch

from utils.style import GREY, GROUND, LINE_COLOURS, SERIES, finish

# Machado, Oliveira & Fernandes 2009, doi:10.1109/TVCG.2009.113, severity 1: what linear RGB looks like to others
EYES = {
    "all cones": [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no red cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green cones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
TO_XYZ = torch.tensor([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])  # IEC 61966-2-1
APART = 20  # Euclidean distance in CIELAB; 2 is just seen side by side, thin lines far apart need much more
CONTRAST = 3  # WCAG 2.1, 1.4.11: of what must be seen against its ground


def linear(colour: str) -> torch.Tensor:
    """Linear RGB, 0 to 1, of #rrggbb."""
    shares = torch.tensor([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return torch.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def lab(colour: str, eyes: str) -> torch.Tensor:
    """CIELAB of a colour as these eyes see it."""
    seen = (torch.tensor(EYES[eyes]) @ linear(colour)).clamp(0, 1)
    x, y, z = ((TO_XYZ @ seen) / TO_XYZ.sum(dim=1)).clamp(min=1e-6) ** (1 / 3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("eyes", EYES)
def test_no_two_colours_of_lines_look_alike(eyes):
    for one, other in itertools.combinations((*LINE_COLOURS, GREY), 2):
        distance = float((lab(one, eyes) - lab(other, eyes)).norm())
        assert distance > APART, f"{one} and {other} are {distance:.0f} apart to readers with {eyes}"


def test_red_and_green_of_one_lightness_would_be_found_alike():
    distances = {eyes: float((lab("#b04a3a", eyes) - lab("#6b6e2f", eyes)).norm()) for eyes in EYES}
    assert distances["no green cones"] < APART < distances["all cones"]


def test_every_line_stands_out_from_the_ground_and_has_a_symbol_of_its_own():
    for colour in (*LINE_COLOURS, GREY):
        assert contrast(colour, GROUND) > CONTRAST, f"{colour} has a contrast of {contrast(colour, GROUND):.1f}"
    assert contrast("#000000", "#ffffff") == pytest.approx(21, abs=0.01)
    assert len({symbol for _, symbol in SERIES}) == len(LINE_COLOURS)


def test_a_long_title_goes_over_two_lines_and_the_figure_makes_room():
    short, long = finish(go.Figure(), "A title"), finish(go.Figure(), 10 * "ten chars ")
    assert short.layout.title.text == "A title" and long.layout.title.text.count("<br>") == 1
    assert long.layout.height - short.layout.height == long.layout.margin.t - short.layout.margin.t == 20
    assert finish(long, "A title").layout == short.layout, "what is drawn later may finish it again"


def test_a_long_legend_makes_a_figure_higher_instead_of_its_plot_lower():
    def height(*names: str) -> int:
        return finish(go.Figure([go.Scatter(y=[0], name=name) for name in names]), "").layout.height

    assert height() == height("one", "two", "three") == 400
    assert height(*5 * ["about a third of a line"]) == 440, "in columns: two, two and one"
    assert height(*5 * [60 * "x"]) == 480, "a line for each"
    unnamed = go.Figure([go.Scatter(y=[0]), go.Scatter(y=[0], name=99 * "x", showlegend=False)])
    assert finish(unnamed, "").layout.height == 400
