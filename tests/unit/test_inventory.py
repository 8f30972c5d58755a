"""The formula for minutes counts what a learner reads, writes and passes, and nothing else."""

from utils.course.chapter import BEGIN, END, Chapter, Exercise, SourceCell
from utils.course.inventory import estimate_minutes, inventory


def cell(kind: str, source: str, *tags: str, exercise: str | None = None, check: str | None = None) -> SourceCell:
    return SourceCell(kind, source, 1, tags, exercise, check)


def test_words_lines_and_checks_are_counted_once_each():
    folded = "<details>\n<summary>Hint 1</summary>\n" + "more " * 400 + "\n</details>"
    answer = f"def add(a, b):\n    {BEGIN}\n    # why\n    c = a + b\n\n    return c\n    {END}"
    cells = (
        cell("markdown", "word " * 200),
        cell("markdown", "answers " * 200, "solution"),
        cell("code", answer, exercise="add"),
        cell("code", "check(add)", check="add"),
        cell("markdown", folded + "word " * 100),
        cell("code", answer, exercise="add_again"),
        cell("code", "check(add_again)", check="add_again"),
    )
    exercises = {
        name: Exercise(name, "1.1", 5, False, {f"test_{i}": 1 for i in range(n_checks)}, ())
        for name, n_checks in {"add": 3, "add_again": 1}.items()
    }
    minutes = estimate_minutes(Chapter("01_sums", "Sums", cells, exercises))
    assert minutes == {"add": 1 + 2 + 3, "add_again": 0.5 + 2 + 1}


def test_every_exercise_of_the_course_has_both_numbers():
    for chapter in inventory()["chapters"]:
        assert all(exercise["minutes"] > 0 < exercise["minutes_by_formula"] for exercise in chapter["exercises"])
