"""Figures hold what they were given, and say so when it does not fit."""

import pytest
import torch

from utils import plots
from utils.datasets import Places
from utils.globe import project_equal_earth, unit_vectors
from utils.probes import LinearProbe


def test_lines_by_layer_keep_order_intervals_and_baselines():
    intervals = {"agent": torch.tensor([[0.4, 0.6], [0.7, 0.9]])}
    lines = {"agent": torch.tensor([0.5, 0.8]), "colour": torch.tensor([0.6, 0.6])}
    figure = plots.plot_lines_by_layer(
        lines, layers=["embed", 0], title="t", y_title="accuracy", intervals=intervals, baselines={"majority": 0.5}
    )
    drawn = {trace.name: trace for trace in figure.data if trace.name}
    assert list(drawn["agent"].x) == ["embed", "0"] and list(drawn["agent"].y) == pytest.approx([0.5, 0.8])
    band = next(trace for trace in figure.data if trace.fill == "toself")
    assert list(band.y) == pytest.approx([0.6, 0.9, 0.7, 0.4])
    assert "majority" in figure.to_json() and figure.layout.title.text == "t"
    with pytest.raises(ValueError, match="one value for each of the 3 points"):
        plots.plot_lines_by_layer(lines, layers=["embed", 0, 1], title="t", y_title="accuracy")


def test_a_guess_is_drawn_in_grey_and_must_have_all_layers():
    line = {"agent": torch.tensor([0.5, 0.8])}
    options = {"layers": ["embed", 0], "title": "t", "y_title": "accuracy"}
    assert len(plots.plot_lines_by_layer(line, **options, guess=[]).data) == 1
    guess = plots.plot_lines_by_layer(line, **options, guess=[0.4, 0.9]).data[-1]
    assert list(guess.y) == [0.4, 0.9] and guess.line.color == plots.GREY
    with pytest.raises(ValueError, match="one number for each of the 2 layers"):
        plots.plot_lines_by_layer(line, **options, guess=[0.4])


def test_lines_over_numbers_hold_baselines_and_marks():
    line = {"learned": torch.tensor([1.0, 0.8])}
    figure = plots.plot_lines(
        line, x=torch.tensor([0.5, 2.0]), x_title="n / d", title="t", y_title="y", marks={"limit": 2}
    )
    assert list(figure.data[0].x) == [0.5, 2.0] and figure.layout.xaxis.type == "linear"
    assert figure.layout.shapes[0].x0 == 2 and figure.layout.shapes[0].name == "limit"
    steps = plots.plot_lines(line, x=["random", "no shared word"], x_title="split", title="t", y_title="y")
    assert steps.layout.xaxis.type == "category" and list(steps.data[0].x) == ["random", "no shared word"]


def test_slopes_hold_both_steps_and_their_intervals():
    figure = plots.plot_slopes(
        {"bag of words": torch.tensor([0.6, -0.1])},
        intervals={"bag of words": torch.tensor([[0.5, 0.65], [-0.2, 0.1]])},
        steps=("random", "no shared word"),
        title="t",
        y_title="R²",
    )
    line = figure.data[0]
    assert line.name == "bag of words: 0.60 → -0.10" and list(line.y) == pytest.approx([0.6, -0.1])
    assert list(line.error_y.array) == pytest.approx([0.05, 0.2])
    assert list(line.error_y.arrayminus) == pytest.approx([0.1, 0.1])
    assert list(figure.layout.xaxis.ticktext) == ["random", "no shared word"]


def test_a_histogram_counts_every_example_once():
    logits, labels = torch.tensor([-2.0, -1.0, 0.5, 3.0, 3.0]), torch.tensor([False, False, False, True, True])
    figure = plots.plot_logit_histogram(logits, labels, title="t")
    negative, positive = figure.data[0], figure.data[1]
    assert sum(negative.y) == 3 and sum(positive.y) == 2
    assert "67% on its side" in negative.name and "100% on its side" in positive.name
    with pytest.raises(ValueError, match="must be"):
        plots.plot_logit_histogram(logits, labels[:3], title="t")


def test_bars_carry_their_intervals():
    figure = plots.plot_bars(
        {"a": 0.5, "b": 0.7}, intervals={"a": (0.4, 0.55), "b": (0.6, 0.9)}, title="t", y_title="y"
    )
    bars = figure.data[0]
    assert list(bars.error_y.array) == pytest.approx([0.05, 0.2])
    assert list(bars.error_y.arrayminus) == pytest.approx([0.1, 0.1])


def test_swatches_show_true_and_predicted_colours_clipped():
    true, predicted = torch.tensor([[1.0, 0, 0], [0, 0, 1]]), torch.tensor([[1.2, 0, -0.1], [0, 0.5, 1]])
    figure = plots.plot_swatches(["red", "blue"], true=true, predicted=predicted, title="t")
    assert list(figure.data[0].marker.color) == ["rgb(255,0,0)", "rgb(0,0,255)"]
    assert list(figure.data[1].marker.color) == ["rgb(255,0,0)", "rgb(0,128,255)"]
    with pytest.raises(ValueError, match="as many"):
        plots.plot_swatches(["red"], true=true, predicted=predicted, title="t")


def test_classes_are_drawn_with_the_threshold_and_the_arrow_of_each_probe():
    points = torch.tensor([[0.0, 1.0], [1.0, 3.0], [4.0, 1.0], [5.0, 3.0]])
    labels = points[:, 0] > 3
    probe = LinearProbe(weight=torch.tensor([2.0, 0.0]), bias=torch.tensor(-5.0))  # x = 2.5
    figure = plots.plot_classes(points, labels, probes={"upright": probe}, title="t")
    negative, positive, line = figure.data
    assert list(negative.x) == [0, 1] and list(positive.x) == [4, 5]
    assert list(line.x) == pytest.approx([2.5, 2.5]) and line.name == "upright (100% right)"
    (arrow,) = figure.layout.annotations
    assert arrow.ax == pytest.approx(2.5) and arrow.x > 2.6 and arrow.y == pytest.approx(arrow.ay)
    with pytest.raises(ValueError, match=r"points must be \[batch 2\]"):
        plots.plot_classes(points, labels[:2], probes={}, title="t")


def test_grouped_bars_keep_series_apart():
    values = {"random": {"a": 3000.0, "b": 100.0}, "by country": {"a": 5000.0, "b": 200.0}}
    intervals = {series: {name: (x - 50, x + 70) for name, x in bars.items()} for series, bars in values.items()}
    figure = plots.plot_grouped_bars(values, intervals=intervals, title="t", y_title="km", number_format=",.0f")
    random, country = figure.data
    assert (random.name, country.name) == ("random", "by country") and list(country.y) == [5000, 200]
    assert list(random.error_y.array) == [70, 70] and list(random.error_y.arrayminus) == [50, 50]
    assert random.texttemplate == "%{y:,.0f}" and random.marker.color != country.marker.color


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
    figure = plots.plot_world_map(places, predicted, shown=[0, 1], title="t")
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
    figure = plots.plot_world_map(places, predicted, shown=[1, 2], title="t")
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
        plots.plot_world_map(places, torch.eye(3), shown=[0], title="t")
