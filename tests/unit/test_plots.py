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


def test_a_matrix_is_white_on_its_centre_and_keeps_the_order_of_its_rows():
    values = torch.tensor([[1.0, 0.25], [float("nan"), 0.5]])
    names = {"rows": ["cities", "not cities"], "columns": ["a", "b"], "x_title": "tested on", "y_title": "trained on"}
    figure = plots.plot_matrix(values, **names, title="t", limits=(0.2, 1), texts=[["x", "y"], ["z", "n = 9"]])
    heat = figure.data[0]
    assert (heat.zmin, heat.zmax) == (0, 1), "the farther end, on both sides of 0.5"
    assert list(heat.y) == names["rows"] and list(heat.x) == ["a", "b"]
    assert figure.layout.yaxis.autorange == "reversed", "the first row is on top"
    assert heat.z[0][1] == 0.25 and heat.customdata[1][1] == "n = 9"
    effects = plots.plot_matrix(values, **names, title="t", centre=0, limits=(-0.5, 1)).data[0]
    assert (effects.zmin, effects.zmax) == (-1, 1)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rows": ["a"]}, r"values must be \[row column\] with \(1, 2\), .* got \(2, 2\)"),
        ({"texts": [["a", "b"], ["c"]]}, r"texts must be 2 rows of 2, got rows of \[2, 1\]"),
        ({"centre": 2}, r"centre must lie within limits, got 2 and \(0, 1\)"),
    ],
)
def test_a_matrix_that_does_not_fit_is_named(change, message):
    fine = {"rows": ["a", "b"], "columns": ["a", "b"], "title": "t", "x_title": "x", "y_title": "y"}
    with pytest.raises(ValueError, match=message):
        plots.plot_matrix(torch.zeros(2, 2), **(fine | change))


POINTS = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
TRUE, NEGATED = torch.tensor([True, False, True]), torch.tensor([False, False, True])


def test_a_scatter_shows_truth_by_colour_and_polarity_by_symbol():
    figure = plots.plot_scatter(
        POINTS, TRUE, symbols=NEGATED, texts=["a", "b", "c"], title="t", x_title="x", y_title="y"
    )
    drawn = {trace.name: trace for trace in figure.data}
    assert list(drawn) == ["true, affirmed", "false, affirmed", "true, negated"], "only what occurs"
    assert (drawn["true, negated"].x, drawn["true, negated"].y) == ((4,), (5,))
    assert drawn["true, affirmed"].marker.color == drawn["true, negated"].marker.color == plots.BLUE
    assert drawn["false, affirmed"].marker.color == plots.ORANGE
    assert drawn["true, affirmed"].marker.symbol != drawn["true, negated"].marker.symbol
    assert list(drawn["false, affirmed"].hovertext) == ["b<br>false, affirmed"]
    plain = plots.plot_scatter(POINTS, TRUE, label_names=("is", "is not"), title="t", x_title="x", y_title="y")
    assert [trace.name for trace in plain.data] == ["is", "is not"] and list(plain.data[0].x) == [0, 4]


def test_scatters_side_by_side_share_one_legend():
    panels = {"match": (POINTS[:1], TRUE[:1], NEGATED[:1]), "truth": (POINTS, TRUE, NEGATED)}
    figure = plots.plot_scatter_grid(panels, title="t", texts={"truth": ["a", "b", "c"]})
    assert [annotation.text for annotation in figure.layout.annotations] == ["match", "truth"]
    legend = [trace.name for trace in figure.data if trace.showlegend]
    assert legend == ["true, affirmed", "false, affirmed", "true, negated"]
    assert [trace.xaxis for trace in figure.data] == ["x", "x2", "x2", "x2"]
    assert figure.data[1].hovertext == ("a<br>true, affirmed",)
    with pytest.raises(ValueError, match=r"truth: symbols must be bool \[3\], .* got torch.int64 \(3,\)"):
        plots.plot_scatter_grid({"truth": (POINTS, TRUE, NEGATED.long())}, title="t")
    with pytest.raises(ValueError, match="at least one"):
        plots.plot_scatter_grid({}, title="t")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"points": torch.zeros(3, 3)}, r"points must be \[statement 2\], got \(3, 3\)"),
        ({"labels": TRUE[:2]}, r"labels must be bool \[3\]"),
        ({"texts": ["a"]}, "one for each of the 3 points, or none, got 1"),
    ],
)
def test_a_scatter_that_does_not_fit_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_scatter(**({"points": POINTS, "labels": TRUE} | change), title="t", x_title="x", y_title="y")


def test_a_dose_response_holds_its_controls():
    doses, effect = torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([-0.5, 0.0, 1.5])
    band = torch.stack([effect - 0.1, effect + 0.1], dim=1)
    shared = {"title": "t", "x_title": "dose", "y_title": "effect"}
    figure = plots.plot_dose_response(
        doses,
        {"mass-mean": effect},
        intervals={"mass-mean": band},
        natural=(-0.4, 0.4),
        lines={"whole vector swapped": 0.09},
        placebo=torch.tensor([[-0.2, 0.2], [0, 0], [-0.3, 0.3]]),
        **shared,
    )
    drawn = {trace.name: trace for trace in figure.data if trace.name}
    assert list(drawn["mass-mean"].x) == [-1, 0, 1] and list(drawn["mass-mean"].y) == [-0.5, 0, 1.5]
    assert list(drawn["random directions"].y) == pytest.approx([0.2, 0, 0.3, -0.3, 0, -0.2])
    shapes = {shape.name: shape for shape in figure.layout.shapes}
    assert (shapes["natural range"].x0, shapes["natural range"].x1) == (-0.4, 0.4)
    assert shapes["whole vector swapped (0.09)"].y0 == 0.09
    assert figure.layout.yaxis.autorange is True and figure.layout.yaxis.range is None, "effects may leave 0 to 1"
    assert len(plots.plot_dose_response(doses, {"mass-mean": effect}, **shared).data) == 1
    with pytest.raises(ValueError, match=r"'placebo' must be \[dose 2\] for 3 doses, got \(2, 2\)"):
        plots.plot_dose_response(doses, {"mass-mean": effect}, placebo=torch.zeros(2, 2), **shared)
