"""What grading found: one model for all reports, and its JSON schema.

A `Report` holds a `SubmissionRow` for everything that was handed in, gradable or not; that holds an `ExerciseRow` for
each exercise of its chapter, and that a `CheckRow` for each check.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

from utils.course.chapter import Exercise

SCHEMA_VERSION = 1


class Row(BaseModel):
    """Frozen; sums are written and, when an old report is read, computed again."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Settings(Row):
    """What the outcome of grading depends on, besides the submission and the checks."""

    seed: int = 0  # the data of the checks are drawn from it
    trust: Literal["split", "shared"] = "split"  # whether checks run apart from submitted code, or in its process
    exercise_seconds: float = Field(60.0, gt=0)  # of submitted code, for all checks of one exercise
    submission_seconds: float = Field(600.0, gt=0)  # of submitted code, for all exercises of one notebook
    memory_mb: int = Field(1024, gt=0)  # beyond what the course itself needs
    require_sandbox: bool = False


class CheckRow(Row):
    """One check of one exercise."""

    name: str  # of the test function; its sentence is the name without `test_` and underscores
    points: int
    passed: bool
    message: str = ""  # what was observed, expected, and the likely mistake


class ExerciseRow(Row):
    """One exercise of one submission."""

    name: str
    number: str  # such as "1.2"
    optional: bool
    checks: tuple[CheckRow, ...]
    kind: str = ""  # why there was nothing to check, such as "unwritten", "timeout", "died"
    seconds: float = 0.0

    @computed_field
    @property
    def points(self) -> int:
        return sum(check.points for check in self.checks if check.passed)

    @computed_field
    @property
    def max_points(self) -> int:
        return sum(check.points for check in self.checks)

    @classmethod
    def unchecked(cls, exercise: Exercise, kind: str, message: str = "") -> "ExerciseRow":
        """A row without points, for an exercise whose checks have not come to an end."""
        checks = tuple(CheckRow(name=n, points=p, passed=False, message=message) for n, p in exercise.checks.items())
        return cls.of(exercise, checks, kind)

    @classmethod
    def of(cls, exercise: Exercise, checks: tuple[CheckRow, ...], kind: str, seconds: float = 0.0) -> "ExerciseRow":
        """The row of an exercise whose checks came out like this."""
        number, optional = exercise.number, exercise.optional
        return cls(name=exercise.name, number=number, optional=optional, checks=checks, kind=kind, seconds=seconds)

    @property
    def first_message(self) -> str:
        return next((check.message for check in self.checks if check.message), "")


class SubmissionRow(Row):
    """One notebook of one student, or the reason why what was handed in could not be graded."""

    student: str  # as handed in; escape it
    file: str  # as handed in, relative to the folder that was named
    chapter: str | None  # such as "01_linear_probes"; None if it cannot be told
    sha256: str = ""  # of the file
    reason: str = ""  # why it was not graded; empty if it was
    notes: tuple[str, ...] = ()  # what was chosen or repaired, for the student to read
    problems: tuple[str, ...] = ()  # statements that raised, as "cell 7, line 2: NameError: ..."
    flags: tuple[str, ...] = ()  # what the instructor should look at
    exercises: tuple[ExerciseRow, ...] = ()
    seconds: float = 0.0

    @computed_field
    @property
    def points(self) -> int:
        return sum(exercise.points for exercise in self.exercises)

    @computed_field
    @property
    def max_points(self) -> int:
        return sum(exercise.max_points for exercise in self.exercises)


class Report(Row):
    """One run of the grader."""

    schema_version: Literal[1] = SCHEMA_VERSION
    created: str  # ISO 8601, UTC
    settings: Settings
    layers: dict[str, str]  # layer of the sandbox -> "active", or why it was not
    versions: dict[str, str]  # of Python, torch and the checks
    submissions: tuple[SubmissionRow, ...]
