"""Figures hold what they were given, and say so when it does not fit."""

import pytest
import torch

from utils import plots
from utils.style import GREY, SERIES


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
    looks = [(drawn[name].line.color, drawn[name].marker.symbol) for name in lines]
    assert looks == list(SERIES[:2]), "two lines differ in colour and in symbol"
    with pytest.raises(ValueError, match="one value for each of the 3 points"):
        plots.plot_lines_by_layer(lines, layers=["embed", 0, 1], title="t", y_title="accuracy")


def test_a_guess_is_drawn_in_grey_and_must_have_all_layers():
    line = {"agent": torch.tensor([0.5, 0.8])}
    options = {"layers": ["embed", 0], "title": "t", "y_title": "accuracy"}
    assert len(plots.plot_lines_by_layer(line, **options, guess=[]).data) == 1
    guess = plots.plot_lines_by_layer(line, **options, guess=[0.4, 0.9]).data[-1]
    assert list(guess.y) == [0.4, 0.9] and guess.line.color == GREY
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


def test_grouped_bars_keep_series_apart():
    values = {"random": {"a": 3000.0, "b": 100.0}, "by country": {"a": 5000.0, "b": 200.0}}
    intervals = {series: {name: (x - 50, x + 70) for name, x in bars.items()} for series, bars in values.items()}
    figure = plots.plot_grouped_bars(values, intervals=intervals, title="t", y_title="km", number_format=",.0f")
    random, country = figure.data
    assert (random.name, country.name) == ("random", "by country") and list(country.y) == [5000, 200]
    assert list(random.error_y.array) == [70, 70] and list(random.error_y.arrayminus) == [50, 50]
    assert random.texttemplate == "%{y:,.0f}" and random.marker.color != country.marker.color


def test_a_dose_response_holds_its_controls():
    doses, effect = torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([-0.5, 0.0, 1.5])
    band = torch.stack([effect - 0.1, effect + 0.1], dim=1)
    shared = {"title": "t", "x_title": "dose", "y_title": "effect"}
    figure = plots.plot_dose_response(
        doses,
        {"mass-mean": effect},
        intervals={"mass-mean": band},
        natural=(-0.4, 0.4),
        baselines={"whole vector swapped": 0.09},
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
