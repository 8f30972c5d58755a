"""Figures hold what they were given, and say so when it does not fit."""

import pytest
import torch

from utils import plots


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
    with pytest.raises(ValueError, match="one value for each of the 3 layers"):
        plots.plot_lines_by_layer(lines, layers=["embed", 0, 1], title="t", y_title="accuracy")


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
