"""The course's own answers to the exercises: closed while submitted code runs, so that nobody hands them in.

What a learner has built comes back as a function of `utils` in later chapters. In its own chapter it refuses to work.
"""

import contextlib
import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import utils
from utils import ROOT

# where the answers live: every module of utils that a chapter imports from
_MODULES = [
    importlib.import_module(found.name) for found in pkgutil.iter_modules(utils.__path__, "utils.") if not found.ispkg
]


class BorrowedError(RuntimeError):
    """Submitted code called the course's own answer to an exercise of this chapter."""


@contextlib.contextmanager
def closed(answers: Iterable[str]) -> Iterator[None]:
    """While submitted code runs, the course's own versions of these exercises refuse to work.

    Their code is exchanged, so that it does not matter by which name, alias, default or partial they are reached.
    """
    codes = {function: function.__code__ for function in _own_versions(answers)}
    try:
        forget(answers)
        yield
    finally:
        for function, code in codes.items():
            function.__code__ = code


def forget(answers: Iterable[str]) -> None:
    """Take the course's own versions of these exercises out of this process for good."""
    for function in _own_versions(answers):
        function.__code__ = _REFUSE.replace(co_name=function.__name__)


def home_in_course(function: Any) -> str | None:
    """The file of the course in which a function was written, or None if it comes from a notebook."""
    try:
        path = Path(inspect.unwrap(function).__code__.co_filename)
    except Exception:  # a class, a callable object, one that wraps itself
        return None
    if any(path.is_relative_to(ROOT / part) for part in ("utils", "solutions")):
        return path.relative_to(ROOT).as_posix()
    return None


def _own_versions(answers: Iterable[str]) -> list[Any]:
    found = {inspect.unwrap(getattr(module, name, None)) for module in _MODULES for name in answers}
    return [function for function in found if inspect.isfunction(function)]


def _refuse(*args, **kwargs):
    import sys  # runs among the globals of the function whose place it takes

    from utils.course.borrowed import BorrowedError

    name = sys._getframe().f_code.co_name
    raise BorrowedError(f"`{name}` from utils is the answer of an exercise of this chapter; write your own")


_REFUSE = _refuse.__code__  # the code that closed functions get
