"""The pages of a report: the class for the instructor, one page for each submission to hand out.

Everything that comes from students is escaped by the templates; the pages hold no script and load nothing.
"""

import functools
import hashlib
import itertools
import json
import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import jinja2
from markupsafe import Markup, escape

from utils.course import build, feedback
from utils.grading.handed_in import display_name
from utils.grading.results import CheckRow, ExerciseRow, Report, SubmissionRow

TEXT_CHARACTERS, EXAMPLE_CHARACTERS = 2000, 400  # of one text, and of the example of a common mistake
MAX_BINS, MAX_MISTAKES = 10, 5
NUMBER = re.compile(r"(?<!\w)[-+−]?\.?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?", re.IGNORECASE)
SOURCE_LINE = re.compile(r"\s*\(line \d+:.*\)", re.DOTALL)  # which message quote; everybody writes another
KINDS = {  # ExerciseRow.kind in words, where there is no message to show
    "undefined": "There is no function of this name.",
    "unwritten": "It is not written yet.",
    "borrowed": "It is the course's own function. In this chapter you write your own.",
    "timeout": "It took too long.",
    "died": "Its process ended before it answered.",
    "pending": "It is not graded yet.",
}
WITHOUT_LAYER = {  # what submitted code could do while a layer of the sandbox was missing
    "unprivileged user": "it ran as the user who graded",
    "resource limits": "it could use more memory, time and disk than it should",
    "files": "it could read what that user can read, other submissions and solutions too",
    "network": "it could use the network",
    "other processes": "it could send signals to that user's other processes",
    "system calls": "it could make any system call",
}


@dataclass(frozen=True)
class Mistake:
    """Messages that differ in nothing but numbers and quoted lines."""

    count: int  # of submissions
    example: str


@dataclass(frozen=True)
class ExerciseSummary:
    """One exercise over all graded submissions of a chapter."""

    number: str
    name: str
    optional: bool
    max_points: int
    count: int  # of submissions that were graded
    full: int  # of these with all points
    mean: float  # points
    mistakes: tuple[Mistake, ...]  # most common first
    n_mistakes: int  # all there are


@dataclass(frozen=True)
class ChapterSummary:
    """Everything that was handed in for one chapter."""

    title: str
    rows: tuple[tuple[SubmissionRow, str], ...]  # with the name of the page
    graded: int
    max_points: int
    median: float
    bins: tuple[tuple[str, int], ...]  # (points, such as "6 to 10", submissions)
    exercises: tuple[ExerciseSummary, ...]


def index_page(report: Report, names: Sequence[str]) -> str:
    """The class, for the instructor. `names` are those of the submissions' pages, in the same order."""
    rows = list(zip(report.submissions, names, strict=True))
    chapters = {row.chapter: None for row in report.submissions}
    chapters = [_summarise([(row, name) for row, name in rows if row.chapter == chapter]) for chapter in chapters]
    missing = {name: why for name, why in report.layers.items() if why != "active"}
    return template("index.html").render(
        report=report,
        chapters=chapters,
        look=[(row, name) for row, name in rows if row.flags or row.reason],
        active=[name for name in report.layers if name not in missing],
        missing=[(name, why, WITHOUT_LAYER.get(name, "")) for name, why in missing.items()],
        when=report.created[:16].replace("T", " "),
    )


def student_page(report: Report, row: SubmissionRow, messages: bool) -> str:
    """One submission, for its student: nothing about others, no flags, not the seed.

    Args:
        messages: whether it says what the checks said, or only which of them passed.
    """
    cards = [Markup(card(exercise, messages=messages)[0]) for exercise in row.exercises]
    title, when = _title(row.chapter), report.created[:16].replace("T", " ")
    return template("student.html").render(row=row, cards=cards, title=title, when=when)


@functools.cache
def template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"name": display_name, "text": visible, "words": _words}
    environment.globals |= {"green": feedback.GREEN, "red": feedback.RED}
    return environment.get_template(name)


def visible(text: str, limit: int = TEXT_CHARACTERS) -> str:
    """A text of several lines as it is shown: cut, and without characters that cannot be seen."""
    lines = text[:limit].expandtabs(4).splitlines()
    return "\n".join(display_name(line, limit) for line in lines) + (" …" if len(text) > limit else "")


def _words(text: str, limit: int = TEXT_CHARACTERS) -> Markup:
    """A message with its `code`."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(visible(text, limit)))))


def card(exercise: ExerciseRow, *, messages: bool = True) -> tuple[str, str]:
    """The card that a learner knows from the notebook, as (HTML, text); everything in the HTML is escaped.

    Args:
        messages: whether it says what the checks said, or only which of them passed.
    """
    checks = exercise.checks or (CheckRow(name="no check ran", points=0, passed=False),)
    kind = "" if checks[0].passed else exercise.kind
    texts = [visible(check.message) if messages and not check.passed else "" for check in checks]
    if kind and not texts[0]:
        texts[0] = KINDS.get(kind, f"It could not be checked ({kind}).")
    results = [
        SimpleNamespace(
            name=visible(check.name),
            points=check.points,
            passed=check.passed,
            earned=check.points if check.passed else 0,
            message=text,
            kind="unwritten" if kind == "pending" else kind,
        )
        for check, text in zip(checks, texts, strict=True)
    ]
    head = SimpleNamespace(number=exercise.number, name=exercise.name, points=exercise.max_points, hints=())
    return feedback.report(head, results, exercise.seconds)


def _title(chapter: str | None) -> str:
    if chapter is None:
        return "No chapter recognised"
    return build.load_chapter(chapter).title if chapter in build.chapter_names() else display_name(chapter)


def _summarise(rows: Sequence[tuple[SubmissionRow, str]]) -> ChapterSummary:
    """Everything that was handed in for one chapter, counted."""
    graded = [row for row, _ in rows if not row.reason]
    points, top = [row.points for row in graded], max((row.max_points for row in graded), default=0)
    n_bins = min(MAX_BINS, top + 1)
    counts = Counter(score * n_bins // (top + 1) for score in points)
    edges = [-(-i * (top + 1) // n_bins) for i in range(n_bins + 1)]  # rounded up: the first points of each bin
    labels = [f"{a}" if b == a + 1 else f"{a}–{b - 1}" for a, b in itertools.pairwise(edges)]
    by_name: dict[str, list[ExerciseRow]] = {}
    for row in graded:
        for exercise in row.exercises:
            by_name.setdefault(exercise.name, []).append(exercise)
    exercises = sorted(map(_summarise_exercise, by_name.values()), key=lambda exercise: by_number(exercise.number))
    return ChapterSummary(
        title=_title(rows[0][0].chapter),
        rows=tuple(rows),
        graded=len(graded),
        max_points=top,
        median=statistics.median(points) if points else 0.0,
        bins=tuple((label, counts[i]) for i, label in enumerate(labels)),
        exercises=tuple(exercises),
    )


def _summarise_exercise(rows: Sequence[ExerciseRow]) -> ExerciseSummary:
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for row in rows:
        said = {_pattern(check.message): check.message for check in row.checks if check.message}
        counts.update(said.keys())
        examples = said | examples
    common = counts.most_common(MAX_MISTAKES)
    return ExerciseSummary(
        number=rows[0].number,
        name=rows[0].name,
        optional=rows[0].optional,
        max_points=rows[0].max_points,
        count=len(rows),
        full=sum(row.points == row.max_points for row in rows),
        mean=statistics.mean(row.points for row in rows),
        mistakes=tuple(Mistake(count, visible(examples[key], EXAMPLE_CHARACTERS)) for key, count in common),
        n_mistakes=len(counts),
    )


def _pattern(message: str) -> str:
    """What the messages of one mistake have in common."""
    return NUMBER.sub("#", SOURCE_LINE.sub("", message[:TEXT_CHARACTERS]))


def by_number(number: str) -> list[int]:
    """Sorts "1.10" after "1.9"."""
    return [int(part) for part in re.findall(r"\d+", number)]


def page_names(rows: Iterable[SubmissionRow]) -> list[str]:
    """A file name for each submission's page: readable, safe, unique, and the same in every run."""
    seen: Counter[str] = Counter()
    names = []
    for row in rows:
        digest = hashlib.sha256(json.dumps([row.student, row.chapter, row.file]).encode()).hexdigest()[:8]
        name = f"{_slug(row.student, 50) or 'student'}-{_slug(row.chapter or 'no chapter', 30)}-{digest}"
        seen[name] += 1
        names.append(f"{name}-{seen[name]}.html" if seen[name] > 1 else f"{name}.html")
    return names


def _slug(text: str, limit: int) -> str:
    plain = unicodedata.normalize("NFKD", text[: 2 * limit]).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:limit].strip("-")
