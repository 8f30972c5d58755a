"""The report's files: what they say, that students' texts do no harm in them, and that they are whole."""

import csv
import io
import json
import os
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from utils.grading import UsageError, pages, report
from utils.grading.results import CheckRow, ExerciseRow, Report, Settings, SubmissionRow

RTL, SURROGATE = "\u202e", "\udc80"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "[click](javascript:alert(1)) | `code` | <b>",
    "=HYPERLINK(1)",
    f"a{RTL}b",
    "../../etc/passwd",
    "x" * 10_000,
    "line\nbreak",
    "{{ 7 * 7 }}{% raw %}",
    f"half {SURROGATE}",
    "[bold red]markup[/]",
    "",
]


def exercise(name: str, *passed: bool, number: str = "1.1", message: str = "", kind: str = "") -> ExerciseRow:
    """An exercise whose checks are worth 1, 2, ... points; the message is that of every check that failed."""
    checks = [
        CheckRow(name=f"test_check_{i}", points=i, passed=ok, message="" if ok else message)
        for i, ok in enumerate(passed, start=1)
    ]
    return ExerciseRow(name=name, number=number, optional=False, checks=tuple(checks), kind=kind, seconds=0.5)


def submission(student: str, *exercises: ExerciseRow, **fields) -> SubmissionRow:
    fields = {"file": f"{student}/x.ipynb", "chapter": "01_linear_probes"} | fields
    return SubmissionRow(student=student, exercises=exercises, **fields)


def report_of(*rows: SubmissionRow, **settings) -> Report:
    layers = {"network": "active", "files": "the kernel has no landlock"}
    created = "2026-11-21T19:40:12+00:00"
    return Report(
        created=created, settings=Settings(seed=76543, **settings), layers=layers, versions={}, submissions=rows
    )


def hostile() -> Report:
    """Every text that a student controls is one that would like to be something else."""
    rows = []
    for text in HOSTILE:
        wrong = exercise("pool_mean", True, False, False, message=f"expected `1`, got {text}")
        texts = {"file": text, "notes": (text,), "problems": (text,), "flags": (text,), "sha256": text}
        rows += [submission(text, wrong, **texts), submission(text, reason=text or "empty", chapter=None, file="y")]
    return report_of(*rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_files_are_there_and_the_report_can_be_read_back(tmp_path):
    graded = report_of(submission("Ada", exercise("pool_mean", True, False)))
    report.write_report(graded, tmp_path / "new" / "out")
    out = tmp_path / "new" / "out"
    files = {"report.json", "report.schema.json", "grades.csv", "exercises.csv", "index.html"}
    assert {path.name for path in out.iterdir()} == files | {"students"}
    assert Report.model_validate_json((out / "report.json").read_bytes()) == graded
    assert json.loads((out / "report.json").read_text())["submissions"][0]["points"] == 1
    assert "points" in json.loads((out / "report.schema.json").read_text())["$defs"]["SubmissionRow"]["properties"]


def test_grades_have_a_block_of_columns_for_each_chapter_and_no_points_where_nothing_was_graded(tmp_path):
    rows = [
        submission("Ada", exercise("b", True, number="1.10"), exercise("a", False, True, number="1.2")),
        submission("Bo", exercise("c", True, number="2.1"), chapter="02_trusting_probes", flags=("one", "two")),
        submission("Cy", reason="not JSON"),
    ]
    report.write_report(report_of(*rows), tmp_path)
    assert (tmp_path / "grades.csv").read_bytes().startswith(b"\xef\xbb\xbfstudent,chapter,file,points,max_points,")
    ada, bo, cy = read_csv(tmp_path / "grades.csv")
    assert list(ada)[8:] == ["1.2 a", "1.10 b", "2.1 c"]
    assert [ada[key] for key in ("points", "max_points", "status", "1.2 a", "2.1 c")] == ["3", "4", "graded", "2", ""]
    assert (bo["flags"], bo["2.1 c"], bo["1.2 a"]) == ("one; two", "1", "")
    assert [cy[key] for key in ("points", "status", "reason")] == ["", "not graded", "not JSON"]


def test_exercises_have_a_row_each_with_the_first_message(tmp_path):
    graded = report_of(submission("Ada", exercise("a", True, False, message="got 2,\nexpected 3", kind="exception")))
    report.write_report(graded, tmp_path)
    (row,) = read_csv(tmp_path / "exercises.csv")
    wanted = {"student": "Ada", "exercise": "a", "points": "1", "max_points": "3", "checks_passed": "1", "checks": "2"}
    assert wanted.items() <= row.items()
    assert (row["kind"], row["message"], row["seconds"]) == ("exception", "got 2, expected 3", "0.5")


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        " +1",
        "-1",
        "@x",
        "\t1",
        "\r1",
        "\ufeff=1",
        "\x00=1",
        "\u200b=1",
        "＝1",
        "＋1",
        "－1",
        "＠1",
        "﹦1",
        "a;=1",
    ],
)
def test_no_text_is_a_formula(tmp_path, text):
    wrong = exercise("pool_mean", False, message=text)
    report.write_report(report_of(submission(text, wrong, file=text, flags=(text,), reason=text)), tmp_path)
    for name in ("grades.csv", "exercises.csv"):
        for row in read_csv(tmp_path / name):
            guarded = [cell for cell in row.values() if "'" in cell]
            assert all(re.match(r"'|a;'=", cell) for cell in guarded)
            assert len(guarded) == (4 if name == "grades.csv" else 2)


def test_numbers_and_ordinary_names_are_left_as_they_are(tmp_path):
    rows = [submission(name, exercise("a", False)) for name in ("Tom O'Brien", "Zoë", "a-b", "x@y.org", "شهد")]
    report.write_report(report_of(*rows), tmp_path)
    read = read_csv(tmp_path / "grades.csv")
    assert [row["student"] for row in read] == [row.student for row in rows]
    assert all(row["points"] == "0" for row in read)


def test_what_students_write_is_text_in_every_file(tmp_path):
    report.write_report(hostile(), tmp_path)
    for path in [tmp_path / "index.html", *(tmp_path / "students").iterdir()]:
        page = path.read_text(encoding="utf-8")
        body = re.sub(r'<a href="students/[a-z0-9-]+\.html">', "", page.split("<body>")[1])
        assert not re.search(r"<(script|img|a|b>\|)|<[^>]*\b(on\w+|href|src) *=", body)
        assert RTL not in page
        assert "x" * 2500 not in page
        assert "{{" in page or "7 *" not in page
    assert RTL not in (tmp_path / "grades.csv").read_text(encoding="utf-8-sig")
    assert len(Report.model_validate_json((tmp_path / "report.json").read_bytes()).submissions) == 2 * len(HOSTILE)


def test_page_names_are_safe_unique_and_always_the_same():
    rows = [submission(text) for text in [*HOSTILE, "Zoë", "zoe", "Zoë", "CON", "شهد"]]
    names = pages.page_names(rows)
    assert len(set(names)) == len(rows)
    assert names == pages.page_names(rows)
    assert all(report.PAGE_NAME.fullmatch(name) and len(name) <= 100 for name in names)
    assert names[HOSTILE.index("../../etc/passwd")].startswith("etc-passwd-01-linear-probes-")


def test_a_students_page_has_neither_flags_nor_the_seed_nor_other_students(tmp_path):
    rows = [submission("Ada", exercise("a", True), flags=("secret sign",)), submission("Bo", exercise("a", True))]
    report.write_report(report_of(*rows), tmp_path)
    page = next((tmp_path / "students").glob("ada-*")).read_text()
    assert "Ada" in page
    assert not [text for text in ("secret", "76543", "Bo<", "index.html") if text in page]
    index = (tmp_path / "index.html").read_text()
    assert all(text in index for text in ("secret sign", "76543", "the kernel has no landlock"))


def test_messages_can_be_kept_from_students_but_not_from_the_instructor(tmp_path):
    rows = [submission("Ada", exercise("a", True, False, message="drawn data: 42"))]
    rows += [submission("Bo", exercise("a", False, message="drawn text", kind="timeout"), notes=("a note",))]
    for messages in (True, False):
        report.write_report(report_of(*rows), tmp_path, messages=messages)
        shown = "".join(path.read_text() for path in (tmp_path / "students").iterdir())
        assert ("drawn" in shown) == messages
        assert all(text in shown for text in ("check 2", "1 of 3 points", "a note"))
        assert all("drawn" in (tmp_path / name).read_text() for name in ("index.html", "report.json", "exercises.csv"))
    assert "It took too long." in shown


def test_a_card_is_the_one_of_the_notebook():
    html, text = pages.card(exercise("pool_mean", True, False, False, number="1.2", message="use `mask`"))
    assert text.splitlines()[:2] == ["Exercise 1.2 · pool_mean: 1 of 6 points · 1 of 3 checks", "  ✓ check 1 (1 point)"]
    assert "Mend the first ✗ first" in text
    assert "<code>mask</code>" in html
    assert "no check ran" in pages.card(exercise("pool_mean"))[1]
    assert "not graded yet" in pages.card(exercise("pool_mean", False, kind="pending"))[1]


def test_messages_that_differ_in_numbers_or_in_the_quoted_line_are_one_mistake():
    messages = ["cosine .31, expected > 0.95", "cosine .35, expected > 0.95", "cosine -1.5e-3, expected > 0.95"]
    messages += ["`f` raised KeyError (line 3: a[1])", "`f` raised KeyError (line 12: b[x])", "layer v2 is missing"]
    rows = [submission(str(i), exercise("a", False, False, message=text)) for i, text in enumerate(messages)]
    (summary,) = pages._summarise([(row, "") for row in rows]).exercises
    found = [(mistake.count, mistake.example) for mistake in summary.mistakes]
    assert found == [(3, messages[0]), (2, messages[3]), (1, messages[5])]


@pytest.mark.parametrize(
    ("points", "top", "bins"),
    [
        ([0, 1, 1], 1, {"0": 1, "1": 2}),
        ([0, 5, 6, 50], 50, {"0–5": 2, "6–10": 1, "46–50": 1}),
        ([0, 1, 10, 11], 11, {"0–1": 2, "10": 1, "11": 1}),
    ],
)
def test_a_histogram_counts_every_submission_once(points, top, bins):
    checks = [tuple(CheckRow(name="c", points=1, passed=i < n) for i in range(top)) for n in points]
    rows = [ExerciseRow(name="a", number="1.1", optional=False, checks=each) for each in checks]
    summary = pages._summarise([(submission(str(i), row), "") for i, row in enumerate(rows)])
    assert {label: count for label, count in summary.bins if count} == bins


def test_an_empty_class_gets_a_report(tmp_path):
    report.write_report(report_of(), tmp_path)
    assert "0" in (tmp_path / "index.html").read_text()


def test_a_folder_of_submissions_is_never_taken_for_pages(tmp_path):
    (tmp_path / "students" / "ada").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"would be replaced, but holds ada.*--out"):
        report.write_report(report_of(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["students"]


def test_pages_through_a_link_are_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "students").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError):
        report.write_report(report_of(), tmp_path / "out")


@pytest.mark.parametrize("stop", range(1, 8))
def test_wherever_a_run_is_killed_every_file_is_whole_and_the_next_run_cleans_up(tmp_path, monkeypatch, stop):
    old, new = (report_of(submission(name, exercise("a", True))) for name in ("Ada", "Bo"))
    report.write_report(old, tmp_path / "new")
    report.write_report(new, tmp_path / "new")
    wanted = content(tmp_path / "new")
    report.write_report(old, tmp_path / "out")
    before = content(tmp_path / "out")
    moves, replace = [], os.replace

    def killed(*args):
        moves.append(args)
        if len(moves) == stop:
            raise KeyboardInterrupt
        replace(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(report.shutil, "rmtree", lambda *args, **kwargs: None)  # nothing is tidied after a kill
        with pytest.raises(KeyboardInterrupt):
            report.write_report(new, tmp_path / "out")
    for name, data in content(tmp_path / "out").items():
        assert name.startswith(report.NEW) or data in (before.get(name), wanted.get(name))
    report.write_report(new, tmp_path / "out")
    assert content(tmp_path / "out") == wanted


def test_the_pages_of_a_run_killed_between_two_moves_come_back(tmp_path):
    report.write_report(report_of(submission("Ada", exercise("a", True))), tmp_path)
    before = content(tmp_path)
    (tmp_path / ".new-x").mkdir()
    os.replace(tmp_path / "students", tmp_path / ".new-x" / "old")
    report._clean(tmp_path)
    assert content(tmp_path) == before


def test_a_step_summary_shows_names_as_they_are_and_nothing_else():
    summary = report.step_summary(hostile())
    tokens = MarkdownIt("commonmark").enable("table").parse(summary)
    kinds = {token.type for token in tokens} | {t.type for token in tokens for t in token.children or ()}
    assert kinds - {"text", "inline", "text_special"} == {"heading_open", "heading_close"} | {
        f"{part}_{end}" for part in ("table", "thead", "tbody", "tr", "th", "td") for end in ("open", "close")
    }
    assert sum(token.type == "tr_open" for token in tokens) == 2 * len(HOSTILE) + 1
    assert "secret" not in report.step_summary(report_of(submission("Ada", flags=("secret",))))
    assert "| Ada | 01&#95;linear&#95;probes | 1 | 3 |" in report.step_summary(
        report_of(submission("Ada", exercise("a", True, False)))
    )


def test_a_step_summary_has_at_most_a_megabyte_and_says_what_is_missing():
    summary = report.step_summary(report_of(*(submission("ü" * 79, reason="x" * 199) for _ in range(4000))))
    assert 900_000 < len(summary.encode()) <= 1_000_000
    left = int(re.search(r"\n(\d+) more are left out", summary)[1])
    assert summary.count("not graded") == 4000 - left


def test_a_terminal_shows_names_without_markup_and_without_control_characters():
    console = Console(width=200, file=io.StringIO(), force_terminal=True)
    rows = [submission("[bold red]A[/]", exercise("a", True)), submission("\x1b[31mB", reason="gone", flags=("f",))]
    console.print(report.terminal_table(report_of(*rows)))
    shown = console.file.getvalue()
    assert "[bold red]A[/]" in shown
    assert "\x1b[31m" not in shown
    assert "not graded: gone; f" in shown
