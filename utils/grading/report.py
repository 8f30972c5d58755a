"""What grading found, for people and for other programs: one folder, whose pages work from disk and load nothing.

    report.json, report.schema.json     everything
    grades.csv, exercises.csv           for spreadsheets
    index.html                          the class; for the instructor
    students/NAME.html                  one page for each submission, to hand out: without flags and without the seed

Names, messages and notes come from students: in pages everything is escaped, in spreadsheets nothing is a formula,
and characters that show nothing, or turn text around, are shown as escapes.
"""

import csv
import io
import json
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from utils.grading import UsageError
from utils.grading.handed_in import display_name
from utils.grading.pages import by_number, index_page, page_names, student_page
from utils.grading.results import Report, SubmissionRow

PAGES, NEW, OLD = "students", ".new-", "old"  # OLD: where the pages wait while new ones take their place
PAGE_NAME = re.compile(r"[a-z0-9-]+-[0-9a-f]{8}(-\d+)?\.html")
CELL_CHARACTERS = 5000  # a cell of a spreadsheet takes 32,767
SUMMARY_BYTES = 1_000_000  # GitHub takes 1 MiB for one step
# What starts a formula, wide forms included. A semicolon starts a cell where commas are decimal points.
FORMULA = re.compile(r"(^|;)(\s*)(?=[=+\-@＝＋－＠﹢﹣﹦﹫])")


def write_report(report: Report, out: Path, *, messages: bool = True) -> None:
    """Write all files into a folder, in place of an older report.

    Every file is replaced as a whole, and so is the folder of pages. A run that is killed leaves the older files, or
    some older and some newer ones; the next run cleans up.

    Args:
        out: made if it is not there. Nothing is written outside.
        messages: whether the students' pages hold messages of checks; names and points of checks they always hold.

    Raises:
        UsageError: If `out/students` holds something else than pages of a report, which would be lost.
    """
    out.mkdir(parents=True, exist_ok=True)
    refuse_strangers(out)
    _clean(out)
    new = Path(tempfile.mkdtemp(prefix=NEW, dir=out))
    try:
        (new / PAGES).mkdir()
        names = page_names(report.submissions)
        for row, name in zip(report.submissions, names, strict=True):
            _write(new / PAGES / name, student_page(report, row, messages))
        files = {
            "report.json": json.dumps(report.model_dump(), indent=1, ensure_ascii=False),
            "report.schema.json": json.dumps(Report.model_json_schema(mode="serialization"), indent=1),
            "grades.csv": csv_text(_grades(report.submissions)),
            "exercises.csv": csv_text(_exercises(report.submissions)),
            "index.html": index_page(report, names),
        }
        for name, text in files.items():
            _write(new / name, text, "utf-8-sig" if name.endswith(".csv") else "utf-8")  # spreadsheets look for a mark
        if (out / PAGES).exists():
            os.replace(out / PAGES, new / OLD)
        os.replace(new / PAGES, out / PAGES)
        for name in files:  # the index last: its links work
            os.replace(new / name, out / name)
    finally:
        _clean(out)


def write_whole(path: Path, text: str) -> None:
    """Write a file whole, or leave the one that is there."""
    temporary = path.with_name(f"{NEW}{path.name}")
    _write(temporary, text)
    os.replace(temporary, path)


def _write(path: Path, text: str, encoding: str = "utf-8") -> None:
    with path.open("w", encoding=encoding, errors="replace", newline="") as file:  # half a surrogate pair becomes a ?
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def refuse_strangers(out: Path) -> None:
    """The folder of pages is replaced: UsageError if it is a folder of submissions that has the same name."""
    pages = out / PAGES
    if not os.path.lexists(pages):
        return
    is_folder = pages.is_dir() and not pages.is_symlink()
    strangers = [path.name for path in pages.iterdir() if not PAGE_NAME.fullmatch(path.name)] if is_folder else [PAGES]
    if strangers:
        found = display_name(min(strangers))
        raise UsageError(f"{pages} would be replaced, but holds {found}, no page of a report; name another --out")


def _clean(out: Path) -> None:
    """Put the old pages back where a run was stopped before the new ones took their place; remove its leftovers."""
    for left in sorted(out.glob(f"{NEW}*")):
        if (left / OLD).exists() and not (out / PAGES).exists():
            os.replace(left / OLD, out / PAGES)
        shutil.rmtree(left, ignore_errors=True)


def _grades(rows: Sequence[SubmissionRow]) -> Iterator[list]:
    """A line for each submission; one that was not graded has no points, which is something else than 0 points."""
    numbers = {(row.chapter, exercise.name): exercise.number for row in rows for exercise in row.exercises}
    columns = sorted(numbers, key=lambda column: (str(column[0]), by_number(numbers[column])))
    names = [f"{numbers[column]} {column[1]}" for column in columns]
    yield ["student", "chapter", "file", "points", "max_points", "status", "reason", "flags", *names]
    for row in rows:
        points = {(row.chapter, exercise.name): exercise.points for exercise in row.exercises}
        score = ["", "", "not graded"] if row.reason else [row.points, row.max_points, "graded"]
        words = [row.reason, "; ".join(row.flags)]
        yield [
            row.student,
            row.chapter or "",
            row.file,
            *score,
            *words,
            *(points.get(column, "") for column in columns),
        ]


def _exercises(rows: Iterable[SubmissionRow]) -> Iterator[list]:
    """A line for each submission and exercise."""
    names = ["student", "chapter", "exercise", "number", "points", "max_points", "checks_passed", "checks", "kind"]
    yield [*names, "message", "seconds"]
    for row in rows:
        for exercise in row.exercises:
            passed = sum(check.passed for check in exercise.checks)
            score = [exercise.points, exercise.max_points, passed, len(exercise.checks)]
            words = [exercise.kind, exercise.first_message]
            who = [row.student, row.chapter or "", exercise.name, exercise.number]
            yield [*who, *score, *words, round(exercise.seconds, 2)]


def csv_text(lines: Iterable[Sequence]) -> str:
    """RFC 4180; numbers stay numbers, texts become harmless."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerows([value if isinstance(value, int | float) else _cell(value) for value in line] for line in lines)
    return buffer.getvalue()


def _cell(text: str) -> str:
    """One line that no spreadsheet takes for a formula."""
    text = text[:CELL_CHARACTERS]
    seen = "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf")).lstrip()
    shown = FORMULA.sub(r"\1\2'", display_name(" ".join(text.split()), CELL_CHARACTERS))
    is_formula = FORMULA.match(seen) or text.startswith(("\t", "\r"))
    return f"'{shown}" if is_formula and not shown.startswith("'") else shown


def step_summary(report: Report) -> str:
    """Markdown for the file that GITHUB_STEP_SUMMARY names: students and points, at most 1 MB, without flags."""
    head = "## Grades\n\n| student | chapter | points | of | |\n|---|---|---:|---:|---|\n"
    cut = "\n{} more are left out here; grades.csv has them all.\n"
    lines, size = [head], len(head) + len(cut) + 20
    for i, row in enumerate(report.submissions):
        score = "| |" if row.reason else f"{row.points} | {row.max_points} |"
        why = f"not graded: {_markdown(display_name(row.reason, 200))}" if row.reason else ""
        line = f"| {_markdown(display_name(row.student))} | {_markdown(row.chapter or '')} | {score} {why} |\n"
        size += len(line.encode(errors="replace"))
        if size > SUMMARY_BYTES:
            lines.append(cut.format(len(report.submissions) - i))
            break
        lines.append(line)
    return "".join(lines)


def _markdown(text: str) -> str:
    """Text that Markdown shows as it is. The invisible space keeps an @ from calling somebody."""
    escaped = re.sub(r"[!-/:-@\[-`{-~]", lambda match: f"&#{ord(match[0])};", text)
    return escaped.replace("&#64;", "&#64;&#8203;")


def terminal_table(report: Report) -> Table:
    """The class in a terminal, flags included."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("student", "chapter", "points", "of", ""):
        table.add_column(name, justify="right" if name in ("points", "of") else "left", overflow="fold")
    for row in report.submissions:
        score = ("–", "–") if row.reason else (str(row.points), str(row.max_points))
        notes = [f"not graded: {row.reason}"] if row.reason else []
        note = "; ".join(display_name(text, 200) for text in [*notes, *row.flags])
        table.add_row(Text(display_name(row.student)), Text(row.chapter or "–"), *score, Text(note))  # Text: no markup
    return table
