"""Tables and maps hold what they were given, in colours that fit the kind of number."""

import pytest
import torch

from utils.heat_maps import plot_matrix, plot_square_values

VALUES = torch.tensor([[1.0, 0.25], [float("nan"), 0.5]])
NAMES = {"rows": ["cities", "not cities"], "columns": ["a", "b"], "x_title": "x", "y_title": "y", "value_title": "v"}
WHITE = torch.tensor([247.0, 247, 247])


def colour_of(heat, value: float) -> torch.Tensor:
    """Red, green, blue, 0 to 255, of a value: plotly blends between the colours of a scale of rgb(...)."""
    place = (value - heat.zmin) / (heat.zmax - heat.zmin) * (len(heat.colorscale) - 1)
    below = min(int(place), len(heat.colorscale) - 2)
    ends = [torch.tensor([float(x) for x in heat.colorscale[below + i][1][4:-1].split(",")]) for i in (0, 1)]
    return ends[0] + (place - below) * (ends[1] - ends[0])


def test_a_matrix_keeps_the_order_of_its_rows_and_its_texts():
    figure = plot_matrix(VALUES, **NAMES, title="t", texts=[["x", "y"], ["z", "n = 9"]])
    heat = figure.data[0]
    assert list(heat.y) == NAMES["rows"] and list(heat.x) == ["a", "b"]
    assert figure.layout.yaxis.autorange == "reversed", "the first row is on top"
    assert heat.z[0][1] == 0.25 and heat.customdata[1][1] == "n = 9"
    assert heat.colorbar.title.text == "v" and figure.layout.title.text == "t"


def test_shares_run_from_dark_to_bright_over_their_range():
    heat = plot_matrix(VALUES, **NAMES, title="t").data[0]
    assert (heat.zmin, heat.zmax) == (0, 1)
    assert heat.colorscale[0][1] == "#440154" and heat.colorscale[-1][1] == "#fde725", "Viridis"


@pytest.mark.parametrize("centre, value_range", [(0.5, (0, 1)), (0, (-1, 1)), (0, (-0.5, 1)), (0.5, (0.2, 1))])
def test_a_centre_is_white_with_blue_above_and_red_below_and_the_range_is_kept(centre, value_range):
    heat = plot_matrix(VALUES, **NAMES, title="t", centre=centre, value_range=value_range).data[0]
    assert (heat.zmin, heat.zmax) == value_range, "the colour bar shows no value that cannot be"
    assert (colour_of(heat, centre) - WHITE).abs().max() < 6
    (red, _, blue), (red_above, _, blue_above) = colour_of(heat, centre - 0.2), colour_of(heat, centre + 0.2)
    assert red > blue and blue_above > red_above


def test_a_shorter_side_ends_in_a_paler_colour():
    whole, cut = (plot_matrix(VALUES, **NAMES, title="t", centre=0, value_range=(low, 1)).data[0] for low in (-1, -0.5))
    for value in (-0.5, -0.25, 0.25, 1):
        assert (colour_of(whole, value) - colour_of(cut, value)).abs().max() < 6, "as far from the centre, as strong"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rows": ["a"]}, r"values must be \[row column\] with \(1, 2\), .* got \(2, 2\)"),
        ({"texts": [["a", "b"], ["c"]]}, r"texts must be 2 rows of 2, got rows of \[2, 1\]"),
        ({"centre": 2}, r"value_range must rise and hold the centre, got \(0, 1\) and 2"),
        ({"value_range": (1, 0)}, r"value_range must rise .* got \(1, 0\) and None; swap its ends"),
    ],
)
def test_a_matrix_that_does_not_fit_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        plot_matrix(torch.zeros(2, 2), **(NAMES | {"title": "t"} | change))


def test_a_map_names_its_squares_and_takes_its_colours_from_the_range():
    values = torch.linspace(0, 1, 36)
    values[14] = torch.nan
    share = plot_square_values(values, title="t", value_title="accuracy").data[0]
    assert share.z[0][1] == pytest.approx(1 / 35) and share.customdata[5][0] == "a6"
    assert (share.zmin, share.zmax) == (0, 1) and share.colorscale[0][1] == "#440154"  # Viridis begins dark
    signed = plot_square_values(values, title="t", value_title="cosine", value_range=(-0.5, 0.5), centre=0).data[0]
    assert (signed.zmin, signed.zmax) == (-0.5, 0.5) and colour_of(signed, 0.5).tolist() == [5, 48, 97]  # MINE is blue
    with pytest.raises(ValueError, match=r"values must be \[square\] with 16, 36 or 64 squares, got \(2, 18\)"):
        plot_square_values(values.view(2, 18), title="t", value_title="v")
