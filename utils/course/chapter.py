"""What a chapter is: its cells, its exercises, and the mistakes that its source may have."""

from dataclasses import dataclass

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


class SourceError(ValueError):
    """A mistake in a chapter's source, as 'file:line: what, expected, got'."""


@dataclass(frozen=True)
class SourceCell:
    """One cell of the percent file; `line` is where it starts in the file."""

    kind: str  # "code" or "markdown"
    source: str
    line: int
    tags: tuple[str, ...]
    exercise: str | None  # the exercise whose answer cell this is
    check: str | None  # the exercise whose check cell this is


@dataclass(frozen=True)
class Exercise:
    """What a chapter's source and tests say about one exercise."""

    name: str
    number: str
    minutes: int
    optional: bool
    checks: dict[str, int]  # name of the test -> points
    hints: tuple[tuple[str, str], ...]  # (summary, text)

    @property
    def points(self) -> int:
        return sum(self.checks.values())


@dataclass(frozen=True)
class Chapter:
    """A parsed and validated source."""

    name: str
    title: str
    cells: tuple[SourceCell, ...]
    exercises: dict[str, Exercise]
