"""Figures of points hold what they were given, and say so when it does not fit."""

import pytest
import torch

from utils.datasets import Places
from utils.globe import project_equal_earth, unit_vectors
from utils.point_plots import plot_classes, plot_scatter_grid, plot_swatches, plot_world_map
from utils.probes import LinearProbe
from utils.style import BLUE, ORANGE


def test_swatches_show_true_and_predicted_colours_clipped():
    true, predicted = torch.tensor([[1.0, 0, 0], [0, 0, 1]]), torch.tensor([[1.2, 0, -0.1], [0, 0.5, 1]])
    figure = plot_swatches(["red", "blue"], true=true, predicted=predicted, title="t", n_columns=1)
    drawn = [(square.yanchor, square.x0, square.fillcolor) for square in figure.layout.shapes]
    assert drawn == [
        (0, 0, "rgb(255,0,0)"), (0, 22, "rgb(255,0,0)"), (1, 0, "rgb(0,0,255)"), (1, 22, "rgb(0,128,255)")
    ]  # fmt: skip
    assert [(name.y, name.text) for name in figure.layout.annotations] == [(0, "red"), (1, "blue")]
    with pytest.raises(ValueError, match="as many"):
        plot_swatches(["red"], true=true, predicted=predicted, title="t")


def test_classes_are_drawn_with_the_threshold_and_the_arrow_of_each_probe():
    points = torch.tensor([[0.0, 1.0], [1.0, 3.0], [4.0, 1.0], [5.0, 3.0]])
    labels = points[:, 0] > 3
    probe = LinearProbe(weight=torch.tensor([2.0, 0.0]), bias=torch.tensor(-5.0))  # x = 2.5
    figure = plot_classes(points, labels, probes={"upright": probe}, title="t")
    negative, positive, line = figure.data
    assert list(negative.x) == [0, 1] and list(positive.x) == [4, 5]
    assert list(line.x) == pytest.approx([2.5, 2.5]) and line.name == "upright (100% right)"
    (arrow,) = figure.layout.annotations
    assert arrow.ax == pytest.approx(2.5) and arrow.x > 2.6 and arrow.y == pytest.approx(arrow.ay)
    with pytest.raises(ValueError, match=r"points must be \[batch 2\]"):
        plot_classes(points, labels[:2], probes={}, title="t")


@pytest.fixture
def places() -> Places:
    """Four places: in the middle of the map, near its two ends, and in the south."""
    latitude, longitude = torch.tensor([0.0, 20, 20, -30]), torch.tensor([0.0, 170, -170, -60])
    continents = ["Africa", "Oceania", "Asia", "South America"]
    population = torch.ones(4, dtype=torch.int64)
    return Places(["Null", "West", "East", "South"], ["N", "W", "E", "S"], continents, latitude, longitude, population)


def drawn(figure, continent: str) -> tuple:
    """The lines, dots and circles of one continent."""
    return tuple(trace for trace in figure.data if trace.legendgroup == continent)


def test_the_map_joins_each_place_to_its_prediction(places: Places):
    predicted = unit_vectors(torch.tensor([0.0, 20, 20, -30]), torch.tensor([90.0, 160, -160, -60])) * 0.3
    figure = plot_world_map(places, predicted, shown=[0, 1], title="t")
    lines, dots, circles = drawn(figure, "Africa")
    assert dots.name == "Africa" and dots.showlegend is None and circles.showlegend is False
    assert (lines.x[0], lines.y[0]) == pytest.approx((dots.x[0], dots.y[0]), abs=1e-5)
    assert (lines.x[-1], lines.y[-1]) == pytest.approx((circles.x[0], circles.y[0]), abs=1e-5)
    assert circles.x[0] == pytest.approx(2.7066 / 2, abs=1e-3)  # 90 of 180 degrees along the equator
    assert list(circles.hovertext) == ["Null, N: 10,008 km off"]
    assert not drawn(figure, "Asia"), "nothing of Asia is shown"
    grey = figure.data[1]
    assert sum(x is not None for x in grey.x) == 4, "all places stand in the background"


@pytest.mark.parametrize("to", [-170.0, -100.0])
def test_no_line_runs_across_the_map_at_the_date_line(places: Places, to: float):
    longitude = torch.tensor([0.0, to, 170, -60])  # from 170° east over the date line, and the other way round
    predicted = unit_vectors(torch.tensor([0.0, 20, 20, -30]), longitude)
    figure = plot_world_map(places, predicted, shown=[1, 2], title="t")
    for continent in ("Oceania", "Asia"):
        line = drawn(figure, continent)[0]
        assert list(line.x).count(None) == 1, "one gap, at the edge"
        steps = [abs(b - a) for a, b in zip(line.x[:-1], line.x[1:], strict=True) if None not in (a, b)]
        assert max(steps) < 0.3
        gap = line.x.index(None)
        assert line.x[gap - 1] * line.x[gap + 1] < 0, "it leaves on one side and returns on the other"


def test_the_projection_keeps_areas_and_knows_its_ends():
    ends = unit_vectors(torch.tensor([0.0, 0, 0, 90, -90]), torch.tensor([0.0, 179.999, -179.999, 0, 0]))
    x, y = project_equal_earth(ends)
    assert x[:3].tolist() == pytest.approx([0, 2.7066, -2.7066], abs=1e-3)
    assert y.tolist() == pytest.approx([0, 0, 0, 1.3173, -1.3173], abs=1e-3)
    latitude = torch.linspace(-85, 85, 35).double()
    step = 0.01  # degrees
    across = project_equal_earth(unit_vectors(latitude, torch.full_like(latitude, step)))[0]
    up = [project_equal_earth(unit_vectors(latitude + shift, 0 * latitude))[1] for shift in (step / 2, -step / 2)]
    area = across * (up[0] - up[1]) / latitude.deg2rad().cos()  # of the map, for the same area on the globe
    assert area.max() / area.min() == pytest.approx(1, abs=1e-4)


def test_a_map_wants_one_prediction_for_each_place(places: Places):
    with pytest.raises(ValueError, match=r"\[place 3\] for 4 places, got \(3, 3\)"):
        plot_world_map(places, torch.eye(3), shown=[0], title="t")


POINTS = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
TRUE, NEGATED = torch.tensor([True, False, True]), torch.tensor([False, False, True])


def test_a_scatter_shows_truth_by_colour_and_polarity_by_symbol():
    panels = {"match": (POINTS, TRUE, NEGATED)}
    figure = plot_scatter_grid(panels, texts={"match": ["a", "b", "c"]}, title="t")
    drawn = {trace.name: trace for trace in figure.data}
    assert list(drawn) == ["true, affirmed", "false, affirmed", "true, negated"], "only what occurs"
    assert (drawn["true, negated"].x, drawn["true, negated"].y) == ((4,), (5,))
    assert drawn["true, affirmed"].marker.color == drawn["true, negated"].marker.color == BLUE
    assert drawn["false, affirmed"].marker.color == ORANGE
    assert drawn["true, affirmed"].marker.symbol != drawn["true, negated"].marker.symbol
    assert list(drawn["false, affirmed"].hovertext) == ["b<br>false, affirmed"]
    plain = plot_scatter_grid({"match": (POINTS, TRUE, None)}, title="t")
    assert [trace.name for trace in plain.data] == ["true", "false"] and list(plain.data[0].x) == [0, 4]


def test_scatters_side_by_side_share_one_legend():
    panels = {"match": (POINTS[:1], TRUE[:1], NEGATED[:1]), "truth": (POINTS, TRUE, NEGATED)}
    figure = plot_scatter_grid(panels, title="t", texts={"truth": ["a", "b", "c"]})
    assert [annotation.text for annotation in figure.layout.annotations] == ["match", "truth"]
    legend = [trace.name for trace in figure.data if trace.showlegend]
    assert legend == ["true, affirmed", "false, affirmed", "true, negated"]
    assert [trace.xaxis for trace in figure.data] == ["x", "x2", "x2", "x2"]
    assert figure.data[1].hovertext == ("a<br>true, affirmed",)


@pytest.mark.parametrize(
    "panel, texts, message",
    [
        ((torch.zeros(3, 3), TRUE, None), (), r"truth: points must be \[statement 2\], got \(3, 3\)"),
        ((POINTS, TRUE[:2], None), (), r"labels must be bool \[3\]"),
        ((POINTS, TRUE, NEGATED.long()), (), r"truth: negated must be bool \[3\], .* got torch.int64 \(3,\)"),
        ((POINTS, TRUE, None), ["a"], "one for each of the 3 points, or none, got 1"),
    ],
)
def test_a_scatter_that_does_not_fit_is_named(panel, texts, message):
    with pytest.raises(ValueError, match=message):
        plot_scatter_grid({"truth": panel}, texts={"truth": texts}, title="t")
    with pytest.raises(ValueError, match="at least one"):
        plot_scatter_grid({}, title="t")
