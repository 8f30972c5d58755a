"""Live feedback: `check(pool_mean)` runs the exercise's checks on what stands in the notebook."""

import contextlib
import difflib
import functools
import io
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import torch
from IPython import get_ipython
from IPython.display import display

from utils.course import build, feedback
from utils.course.calls import local_student
from utils.course.cells import Cell
from utils.course.chapter import Chapter
from utils.course.expect import describe
from utils.course.namespace import Namespace, build_namespace
from utils.course.progress import (
    merge_progress,
    progress_text,
    read_predictions,
    read_progress,
    record_attempt,
)
from utils.course.runner import CheckResult, run_checks

SAVED = "probing_progress.json"  # what a download is called


class CheckFailed(AssertionError):
    """Stops a run of the notebook in one line, without a traceback: the feedback stands above it."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class NotWritten(NotImplementedError):
    """Stops a run of the notebook at the first exercise that is still a stub."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@functools.cache
def _chapters() -> dict[str, Chapter]:
    return {name: build.load_chapter(name) for name in build.chapter_names()}


_started: str | None = None  # the chapter that this process's notebook is about


def start_chapter(name: str) -> None:
    """Get a notebook ready: explain undefined names in check cells, show where you are."""
    global _started
    shell, chapter, _started = get_ipython(), _chapters()[name], name
    if shell is not None and not is_grading():
        shell.set_custom_exc((NameError,), _explain_name_error)
        rows = read_progress().get(name, {})
        display(feedback.Card(*feedback.welcome(chapter, rows)))


def current_chapter() -> str:
    """The chapter that start_chapter got ready.

    Raises:
        RuntimeError: If it was not called in this kernel.
    """
    if _started is None:
        raise RuntimeError("no chapter is started; run the cells at the top down to start_chapter(...), then this one")
    return _started


def check(function: Callable | str) -> float | None:
    """Check one exercise, show what passed and what did not, and keep the points.

    Args:
        function: the function that you wrote, itself: `check(pool_mean)`.

    Returns:
        Nothing; under nbgrader the points, as a plain float.

    Raises:
        NotWritten, CheckFailed: So that a run of the whole notebook stops here; the reason is shown above.
    """
    chapter, name = _identify(function)
    with _without_stderr() if is_grading() else contextlib.nullcontext():
        results, seconds = _run_live(chapter, name, function)
    earned = sum(result.earned for result in results)
    exercise = chapter.exercises[name]
    if is_grading():
        print(feedback.report(exercise, results, seconds)[1])
        return float(earned)
    kind, attempts = results[0].kind, 0
    if kind not in feedback.NOT_TRIED:
        attempts = record_attempt(chapter.name, name, earned)
    display(feedback.Card(*feedback.report(exercise, results, seconds, attempts)))
    passed = sum(result.passed for result in results)
    if kind == "unwritten":
        raise NotWritten(f"{name} is not written yet; the run stops here")
    if passed < len(results):
        raise CheckFailed(f"{name}: {passed} of {len(results)} checks passed; the feedback above says what to change")
    return None


def _run_live(chapter: Chapter, name: str, function: Callable | str) -> tuple[list[CheckResult], float]:
    start = time.perf_counter()
    namespace = _live_namespace(chapter, name, function)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the data of checks are small; more threads wait for each other on a busy machine
    try:
        with warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices=[]):
            results = run_checks(chapter.name, name, local_student(namespace, chapter.exercises))
    finally:
        torch.set_num_threads(n_threads)
    return results, time.perf_counter() - start


def _live_namespace(chapter: Chapter, name: str, function: Callable | str) -> Namespace:
    """What a grader would see of the cells that were run so far."""
    shell = get_ipython()
    if shell is None:  # called from a script
        return Namespace(names={name: function})
    cells = [Cell(source, f"In [{n}]") for n, source in enumerate(shell.history_manager.input_hist_parsed)]
    return build_namespace(cells, chapter.exercises, repair=False)


def _identify(function: Callable | str) -> tuple[Chapter, str]:
    """The chapter and the exercise that a call of check means."""
    homes = {name: chapter for chapter in _chapters().values() for name in chapter.exercises}
    shell = get_ipython()
    written = build.CHECK.findall(shell.history_manager.input_hist_parsed[-1]) if shell is not None else []
    candidates = [function] if isinstance(function, str) else [getattr(function, "__name__", ""), *written]
    for name in candidates:
        if name in homes:
            return homes[name], name
    if not callable(function) and not isinstance(function, str):
        raise CheckFailed(f"check takes the function itself, as in check(pool_mean); got {describe(function)}")
    close = difflib.get_close_matches(candidates[0], homes, n=1)
    cure = f"did you mean check({close[0]})?" if close else f"they are {', '.join(homes)}"
    raise CheckFailed(f"there is no exercise called {candidates[0]}; {cure}")


def _explain_name_error(shell, kind, error, trace, tb_offset=None) -> None:
    """In a cell `check(name)` with an undefined name, say how to get on; leave every other NameError as it is."""
    homes = {name: chapter for chapter in _chapters().values() for name in chapter.exercises}
    asked = build.CHECK.findall(shell.history_manager.input_hist_parsed[-1])
    if error.name in asked and error.name in homes and error.name not in shell.user_ns:
        exercise = homes[error.name].exercises[error.name]
        results, seconds = _run_live(homes[error.name], error.name, error.name)
        display(feedback.Card(*feedback.report(exercise, results, seconds)))
        shell._showtraceback(kind, error, [f"{error.name} is not defined; the feedback above says what to do"])
    else:
        shell.showtraceback((kind, error, trace), running_compiled_code=True)


def progress() -> None:
    """Show every chapter's exercises: done or not, points, attempts; and how many predictions came out right."""
    table = feedback.progress_table(list(_chapters().values()), read_progress(), read_predictions())
    display(feedback.Card(*table))


def save_progress() -> None:
    """Download your progress as a file, for a machine that does not keep it, as in Colab; see `restore_progress`."""
    if is_grading():
        return
    content = progress_text()
    display(feedback.Card(*feedback.download(SAVED, content)))
    if files := _colab_files():
        copy = Path(tempfile.gettempdir()) / SAVED  # stays: the browser asks for it after the cell has ended
        copy.write_text(content, encoding="utf-8")
        files.download(str(copy))


def restore_progress(file: str | Path | None = None) -> None:
    """Add saved progress to what is here: of each exercise the better result, and no prediction is lost.

    Args:
        file: what `save_progress` downloaded. In Colab you choose it if it is not named.

    Raises:
        ValueError: If it is not named, missing, damaged or something else. Your progress is then as it was.
    """
    if is_grading():
        return
    files = _colab_files()
    if file is None and files is None:
        raise ValueError(f'name the file that save_progress() downloaded: restore_progress("{SAVED}")')
    contents = files.upload() if file is None else {str(file): _read_bytes(Path(file))}
    for name, content in contents.items():
        try:
            merge_progress(content.decode())
        except ValueError as error:
            raise ValueError(f"{name} is no file of save_progress() ({error}); your progress is as it was") from None
    progress()


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); name the file with its folder") from None


def _colab_files() -> ModuleType | None:
    """What moves files between Colab and its user; None anywhere else."""
    try:
        from google.colab import files
    except ImportError:
        return None
    return files


def is_grading() -> bool:
    """Whether nbgrader runs this notebook: then nothing is recorded, drawn or raised."""
    return "NBGRADER_EXECUTION" in os.environ


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Nothing reaches stderr, from Python or from below it: nbgrader gives no points to a cell that writes there."""
    disabled, kept, nowhere = logging.root.manager.disable, os.dup(2), os.open(os.devnull, os.O_WRONLY)
    logging.disable()  # handlers that were set up earlier keep the stderr of that time
    os.dup2(nowhere, 2)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
        logging.disable(disabled)
