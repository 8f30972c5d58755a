"""Running the checks of one exercise: the pytest tests of tests/test_NN_name.py, in this process.

The same ones run in CI against the solutions, in a notebook against what stands there, and at grading.
"""

import os
from dataclasses import dataclass

import pytest

from utils import ROOT
from utils.course import feedback
from utils.course.student import Student, StudentError

STUDENT = pytest.StashKey[tuple[Student, int]]()  # a student that is handed in, and the seed: see tests/conftest.py
# Without these plugins a run in a warm process takes hundredths of a second.
PLUGINS = "cacheprovider terminal logging warnings faulthandler doctest junitxml unraisableexception threadexception"
QUIET = [f"-pno:{name}" for name in PLUGINS.split()] + ["--capture=no", "--assert=plain", "--import-mode=importlib"]


@dataclass(frozen=True)
class CheckResult:
    """One check of one exercise."""

    name: str  # of the test function, a sentence
    points: int
    passed: bool
    message: str  # what was observed, expected, and the likely mistake; empty if it passed
    kind: str  # "" or why there was nothing to check, as in StudentError.kind
    seconds: float

    @property
    def earned(self) -> int:
        return self.points if self.passed else 0


class _Run:
    """A pytest plugin for one run: hands in the student, picks the exercise's checks, keeps their results."""

    def __init__(self, exercise: str, student: Student, seed: int):
        self.exercise, self.student, self.seed = exercise, student, seed
        self.results: list[CheckResult] = []
        self.interrupted = False

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[STUDENT] = (self.student, self.seed)
        config.option.tbstyle = "value"  # nobody reads tracebacks, each of which takes 30 ms: it parses the test file

    def pytest_pycollect_makeitem(self, obj: object) -> list | None:
        """Pass over the checks of other exercises here: to make items of them takes a quarter of a quick run."""
        marks = [mark for mark in getattr(obj, "pytestmark", ()) if mark.name == "exercise"]
        return [] if any(mark.args[0] != self.exercise for mark in marks) else None

    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if self.results and self.results[0].kind in feedback.NOT_TRIED:  # nothing to learn from asking again
            first, points = self.results[0], _points(item)
            self.results.append(CheckResult(item.originalname, points, False, first.message, first.kind, 0.0))
            return True
        return None

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo) -> None:
        if call.when == "call" or call.excinfo is not None:
            error = call.excinfo.value if call.excinfo is not None else None
            message, kind = failure_text(error), error.kind if isinstance(error, StudentError) else ""
            name = item.originalname
            self.results.append(CheckResult(name, _points(item), error is None, message, kind, call.duration))

    def pytest_keyboard_interrupt(self) -> None:
        self.interrupted = True


def _points(item: pytest.Item) -> int:
    return item.get_closest_marker("exercise").kwargs.get("points", 0)


def failure_text(error: BaseException | None) -> str:
    """What a failed check says to the learner."""
    if error is None:
        return ""
    if isinstance(error, AssertionError):
        return str(error).split("\nassert ")[0]  # where the test module came rewritten from an outer run of pytest
    return f"what came back could not be checked: {type(error).__name__}: {error}"


def run_checks(chapter: str, exercise: str, student: Student, *, seed: int = 0) -> list[CheckResult]:
    """Run the checks of one exercise on a student, and return one result for each.

    Args:
        chapter: such as "01_linear_probes".
        seed: the data of the checks are drawn from it.

    Raises:
        RuntimeError: If pytest could not run the checks at all.
        KeyboardInterrupt: If the run was interrupted.
    """
    run = _Run(exercise, student, seed)
    path = ROOT / "tests" / f"test_{chapter}.py"
    arguments = [str(path), f"-c{ROOT / 'pyproject.toml'}", f"--rootdir={ROOT}", f"--confcutdir={path.parent}", *QUIET]
    autoload = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # other packages' plugins cost time and may print
    try:
        status = pytest.main(arguments, plugins=[run])
    finally:
        if autoload is None:
            del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        else:
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = autoload
    if run.interrupted:
        raise KeyboardInterrupt
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not run.results:
        raise RuntimeError(f"the checks of {exercise} in {path} could not be run (pytest status {status})")
    return run.results
