"""The calibration curve counts what was settled, of all chapters, and says how much that says."""

import pytest

from utils.course import calibration, predict, progress
from utils.course.calibration import brier_score, group_predictions, plot_calibration, read_calibration, wilson_interval
from utils.course.progress import Prediction, record_outcome, record_prediction

OPTIONS = ("a", "b")


def ledger(*settled: tuple[float, bool]) -> dict:
    """Predictions of these confidences, right or wrong, in two chapters by turns."""
    rows = [Prediction("?", OPTIONS, "a", sure, "a" if right else "b") for sure, right in settled]
    return {f"0{odd}": {str(i): row for i, row in enumerate(rows) if i % 2 == odd} for odd in (0, 1)}


def test_predictions_are_grouped_by_how_sure_they_were():
    settled = [(0.34, False), (0.5, True), (0.69, False), (0.7, True), (0.9, True), (1.0, False)]
    groups = group_predictions(settled)
    assert [(g.name, g.n_right, g.n) for g in groups] == [
        ("under 50 %", 0, 1),
        ("50 % to 70 %", 1, 2),
        ("70 % to 90 %", 1, 1),
        ("90 % to 100 %", 1, 2),
    ]
    assert [g.confidence for g in groups] == pytest.approx([0.34, 0.595, 0.7, 0.95])
    assert [g.name for g in group_predictions([(0.95, True)])] == ["90 % to 100 %"]


def test_the_interval_is_wilsons():
    # Newcombe 1998, table I: 81 of 263, and the ends of 0 of 20 and 1 of 29, all by the score method without correction
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    low, high = wilson_interval(3, 3)
    assert 0 < low < 1 == high


def test_the_brier_score_is_a_mean_square():
    assert brier_score([(1.0, True), (1.0, False), (0.5, True), (0.5, False)]) == (0 + 1 + 0.25 + 0.25) / 4


def test_only_what_was_written_down_and_settled_counts():
    rows = ledger((0.8, True))
    rows["01"] |= {
        "unwritten": Prediction("?", OPTIONS, None, None, "a"),
        "open": Prediction("?", OPTIONS, "a", 0.9),
    }
    assert calibration.settled_predictions(rows) == [(0.8, True)]
    assert read_calibration(rows).startswith(
        "1 settled prediction, 1 right (100 %); you were 80 % sure. Brier score 0.04"
    )


def test_few_predictions_are_drawn_and_said_to_be_few():
    rows = ledger((0.8, True), (0.8, False), (0.6, True))
    assert "3 settled predictions, 2 right (67 %)" in read_calibration(rows)
    assert "fewer than 10" in read_calibration(rows) and len(plot_calibration(rows).data) == 2
    assert "No prediction of yours is settled" in read_calibration({})
    with pytest.raises(ValueError, match="must hold a settled one, got none"):
        plot_calibration({})


def test_the_reading_tells_a_gap_from_chance():
    over = ledger(*[(0.9, i < 6) for i in range(20)])
    assert "overconfident by 60 points, more than chance explains" in read_calibration(over)
    under = ledger(*[(0.5, True)] * 20)
    assert "underconfident by 50 points" in read_calibration(under)
    fits = ledger(*[(0.8, i < 15) for i in range(20)])
    assert "this fits as far as 20 can tell, since chance alone makes gaps of up to 18 points" in read_calibration(fits)
    certain = ledger(*[(1.0, True)] * 10)
    assert "gaps of up to 0 points" in read_calibration(certain)


def test_the_curve_stands_against_the_diagonal_with_intervals_counts_and_guessing():
    rows = ledger((0.6, True), (0.6, False), (0.9, True), (1.0, True))
    rows["01"]["of three"] = Prediction("?", ("a", "b", "c", "d"), "a", 0.25, "c")
    figure = plot_calibration(rows)
    diagonal, curve = figure.data
    assert diagonal.x == diagonal.y == (0, 1)
    assert curve.x == pytest.approx((0.25, 0.6, 0.95)) and curve.y == (0, 0.5, 1)
    ends = wilson_interval(1, 2)
    assert curve.error_y.array[1] == pytest.approx(ends[1] - 0.5)
    assert curve.error_y.arrayminus[1] == pytest.approx(0.5 - ends[0])
    assert [note.text for note in figure.layout.annotations] == ["0 of 1", "1 of 2", "2 of 2"]
    assert figure.layout.shapes[0].name == "guessing (0.45)"  # 4 of two options, 1 of four
    assert figure.layout.xaxis.range[0] < 0.25 and "5 settled predictions" in figure.layout.title.text


@pytest.fixture
def shown(tmp_path, monkeypatch) -> list:
    """What is displayed, with an empty ledger."""
    shown = []
    monkeypatch.setattr(progress, "PATH", tmp_path / ".progress.json")
    monkeypatch.setattr(progress, "_unsaved", {})
    monkeypatch.setattr(calibration, "display", shown.append)
    return shown


def test_chapters_find_it_beside_the_predictions():
    """The graders warn of imports from other modules of utils.course."""
    assert predict.calibration is calibration.calibration


def test_an_empty_ledger_gets_a_line_and_no_figure(shown):
    calibration.calibration()
    (card,) = shown
    assert repr(card).startswith("No prediction of yours is settled yet") and repr(card) in card._repr_html_()


def test_the_figure_and_its_reading_come_from_the_ledger_of_all_chapters(shown):
    for chapter, outcome in [("01", "a"), ("02", "b")]:
        record_prediction(chapter, "best", Prediction("?", OPTIONS, "a", 0.75))
        record_outcome(chapter, "best", Prediction("?", OPTIONS), outcome)
    calibration.calibration()
    figure, card = shown
    assert figure.data[1].y == (0.5,) and repr(card).startswith("2 settled predictions, 1 right (50 %)")


def test_under_grading_nothing_is_shown(shown, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    calibration.calibration()
    assert not shown
