"""Figures of sparse autoencoders hold what they were given, and say so when it does not fit."""

import pytest
import torch

from utils import sae_plots
from utils.style import GREY

AXES = {"title": "t", "x_title": "L0", "y_title": "coverage"}
POINTS = {
    "topk": [(32.0, 0.8, "k = 32"), (8.0, 0.6, "k = 8")],
    "untrained network": [(16.0, 0.1, "k = 16")],
    "k-means": [(1.0, 0.3, "1 centre")],
}


def traces_of(figure) -> dict:
    return {trace.name: trace for trace in figure.data if trace.name}


def test_a_frontier_is_drawn_from_left_to_right_with_labels_and_intervals():
    intervals = {"topk": [(0.7, 0.95), (0.5, 0.65)]}
    figure = sae_plots.plot_frontier(POINTS, intervals=intervals, baselines={"probe": 0.97}, x_log=True, **AXES)
    drawn = traces_of(figure)
    assert list(drawn) == list(POINTS) and drawn["topk"].x == (8, 32) and drawn["topk"].y == (0.6, 0.8)
    assert drawn["topk"].customdata == ("k = 8", "k = 32") and "customdata" in drawn["topk"].hovertemplate
    assert list(drawn["topk"].error_y.array) == pytest.approx([0.05, 0.15])
    assert list(drawn["topk"].error_y.arrayminus) == pytest.approx([0.1, 0.1])
    assert drawn["k-means"].error_y.array is None
    (line,) = figure.layout.shapes
    assert line.y0 == line.y1 == 0.97 and line.name == "probe (0.97)" and line.line.dash == "dash"
    assert figure.layout.xaxis.type == "log" and {1, 2, 5, 10, 50} <= set(figure.layout.xaxis.tickvals)
    assert figure.layout.xaxis.title.text == "L0" and figure.layout.yaxis.title.text == "coverage"


def test_a_kind_looks_alike_in_every_figure_and_the_untrained_network_is_grey_and_dashed():
    both = [traces_of(sae_plots.plot_frontier({k: POINTS[k] for k in kinds}, **AXES)) for kinds in (POINTS, ["topk"])]
    assert both[0]["topk"].line.color == both[1]["topk"].line.color
    assert both[0]["topk"].marker.symbol == both[1]["topk"].marker.symbol == "square"
    floor = both[0]["untrained network"]
    assert floor.line.color == GREY and floor.line.dash == "dash" and both[0]["topk"].line.dash == "solid"
    looks = {(trace.line.color, trace.marker.symbol) for trace in both[0].values()}
    assert len(looks) == 3
    for names in (sae_plots.KINDS, ("a", "b", "topk", "c"), "abcdef"):
        shown = sae_plots.plot_frontier({name: [(1.0, 0.5, "")] for name in names}, **AXES).data
        assert len({(trace.line.color, trace.marker.symbol) for trace in shown}) == len(names)


@pytest.mark.parametrize(
    "points, more, message",
    [
        ({}, {}, "at least one for each kind"),
        ({"topk": []}, {}, r"at least one for each kind, got \{'topk': 0\}"),
        (POINTS, {"intervals": {"topk": [(0, 1)]}}, "intervals of 'topk' must be 2, one for each point, got 1"),
        (POINTS, {"intervals": {"top": [(0, 1)]}}, "intervals must be of kinds in points, .* got top"),
        ({"topk": [(0.0, 0.5, "")]}, {"x_log": True}, "x of 'topk' must be above 0 on a logarithmic axis, got 0"),
    ],
)
def test_a_frontier_that_does_not_fit_is_named(points, more, message):
    with pytest.raises(ValueError, match=message):
        sae_plots.plot_frontier(points, **AXES, **more)


def pentagon(length: float = 1.0) -> torch.Tensor:
    angles = torch.arange(5) * 2 * torch.pi / 5
    return torch.stack([angles.cos(), angles.sin()], dim=1) * length


def test_superposition_opens_on_its_last_frame_and_can_play_all_of_them():
    early = pentagon()
    early[2:] *= 0.01
    figure = sae_plots.plot_superposition([("step 0", early), ("step 9", pentagon())], title="t")
    arrows = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [(trace.x[1], trace.y[1]) for trace in arrows] == [pytest.approx(row) for row in pentagon().tolist()]
    assert all(trace.x[0] == trace.y[0] == 0 for trace in arrows)
    assert figure.data[-1].text == ("0", "1", "2", "3", "4", "")
    assert figure.frames[0].data[-1].text == ("0", "1", "", "", "", "near 0: 2, 3, 4")
    assert [frame.name for frame in figure.frames] == ["0", "1"]
    (slider,) = figure.layout.sliders
    assert slider.active == 1 and [step.label for step in slider.steps] == ["step 0", "step 9"]
    play = figure.layout.updatemenus[0].buttons[0]
    assert play.label == "▶ play" and list(play.args[0]) == ["0", "1"]
    assert play.args[1]["frame"]["redraw"]  # else numbers that were empty do not come back
    circle = figure.layout.shapes[0]
    assert (circle.type, circle.x0, circle.x1, circle.y0, circle.y1) == ("circle", -1, 1, -1, 1)
    assert figure.layout.yaxis.scaleanchor == "x" and figure.layout.xaxis.range == figure.layout.yaxis.range


def test_one_frame_has_no_slider_and_long_arrows_fit_in():
    figure = sae_plots.plot_superposition([("", pentagon(2.5))], title="t")
    assert not figure.layout.sliders and not figure.layout.updatemenus
    assert figure.layout.xaxis.range[1] > 2.5
    many = sae_plots.plot_superposition([("", torch.randn(20, 2))], title="t")
    assert len({trace.line.color for trace in many.data[:-1]}) == 20


@pytest.mark.parametrize(
    "frames, message",
    [
        ([], r"frames must be \[feature 2\], .* got \[\]"),
        ([("", torch.zeros(2, 5))], r"got \[\(2, 5\)\]; transpose W"),
        ([("", torch.zeros(5, 2)), ("", torch.zeros(4, 2))], r"the same features, got \[\(4, 2\), \(5, 2\)\]"),
        ([("", torch.full((5, 2), torch.nan))], "must be finite, got NaN"),
    ],
)
def test_frames_that_do_not_fit_are_named(frames, message):
    with pytest.raises(ValueError, match=message):
        sae_plots.plot_superposition(frames, title="t")


GAINS = {"standard": torch.tensor([0.01, -0.02, 0.03]), "scarce": torch.tensor([0.5, torch.nan, 0.25])}
ENDS = {"standard": (0.0, -0.01, 0.02), "scarce": (0.375, 0.25, 0.5)}
TASKS = {"task_names": ["a", "b", "c"], "model_names": ["facts_gpt", "facts_gpt", "minilm"], "title": "t"}


def test_gains_are_dots_by_model_with_the_mean_of_each_row():
    figure = sae_plots.plot_paired_gains(GAINS, intervals=ENDS, **TASKS)
    drawn = traces_of(figure)
    assert drawn["facts_gpt"].x == pytest.approx((0.01, -0.02, 0.5)) and drawn["minilm"].x == pytest.approx(
        (0.03, 0.25)
    )
    rows = dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))
    assert rows["standard"] > rows["scarce"]  # the first is on top
    assert abs(drawn["facts_gpt"].y[0] - rows["standard"]) < 0.45 > abs(drawn["facts_gpt"].y[2] - rows["scarce"])
    assert drawn["facts_gpt"].hovertext[0] == "a (facts_gpt)<br>standard: +0.010"
    bars = [trace for trace in figure.data if trace.mode == "lines"]
    assert [trace.x for trace in bars] == [(-0.01, 0.02), (0.25, 0.5)] and bars[0].line.width >= 5
    ticks = [trace.x for trace in figure.data if trace.mode == "markers" and trace.marker.symbol == "line-ns"]
    assert ticks == [(0.0,), (0.375,)]
    assert [trace.showlegend for trace in bars] == [True, False]
    assert figure.layout.shapes[0].x0 == figure.layout.shapes[0].x1 == 0
    assert drawn["facts_gpt"].marker.color != drawn["minilm"].marker.color
    assert drawn["facts_gpt"].marker.symbol != drawn["minilm"].marker.symbol


@pytest.mark.parametrize(
    "change, message",
    [
        ({"intervals": {"standard": (0, 0, 0)}}, r"the same regimes, got \['standard', 'scarce'\] and \['standard'\]"),
        ({"model_names": ["minilm"]}, "one for each of the 3 tasks"),
        ({"gains": {"standard": torch.zeros(3), "scarce": torch.zeros(2)}}, "'scarce': 2"),
        ({"intervals": ENDS | {"scarce": (0.25, 0.375, 0.5)}}, r"intervals of 'scarce' must be \(mean, low, high\)"),
    ],
)
def test_gains_that_do_not_fit_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        sae_plots.plot_paired_gains(**({"gains": GAINS, "intervals": ENDS} | TASKS | change))
