"""Calling a submitted function, in this process or across the wire, with the same outcome and the same words.

A check asks `student.pool_mean(acts, mask)`. Behind it stands a `Student`: a namespace in this process (the live
`check`, quick tests) or a server process that holds the namespace (grading). Both run `run_call`, which notices what
a checker must notice: unwritten, undefined, borrowed from utils, printed instead of returned, arguments changed.
"""

import contextlib
import difflib
import inspect
import io
import linecache
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from utils import activations, models, probes
from utils.course import wire
from utils.course.namespace import ROOT, Namespace

ANSWER_MODULES = (activations, probes)  # where the answers of the exercises live, once their chapter is over


class StudentError(AssertionError):
    """The submitted function did not return a value: `kind` says why, `type_name` which exception it raised."""

    def __init__(self, kind: str, message: str, type_name: str = "", line: str = ""):
        super().__init__(message)
        self.kind, self.type_name, self.line = kind, type_name, line


@dataclass(frozen=True)
class Outcome:
    """What one call did. `kind` is 'value' or the reason why there is none; `line` is the source line of an error."""

    kind: str
    value: Any = None
    message: str = ""
    type_name: str = ""
    line: str = ""

    def result(self) -> Any:
        """The value.

        Raises:
            StudentError: If there is none.
        """
        if self.kind != "value":
            raise StudentError(self.kind, self.message, self.type_name, self.line)
        return self.value


class Student:
    """Exercises as attributes: `student.pool_mean(acts, mask)` calls the submitted `pool_mean`."""

    def __init__(self, call):
        self._call = call

    def __getattr__(self, name: str) -> "Function":
        if name.startswith("_"):
            raise AttributeError(name)
        return Function(name, self._call)


@dataclass(frozen=True)
class Function:
    """One submitted function, wherever it lives."""

    name: str
    call: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(self.name, args, kwargs, ()).result()


def value_and_grad(function: Function, *args: Any, wrt: int | Sequence[int]) -> tuple[Any, tuple[Tensor, ...]]:
    """Value of a submitted scalar function, and its gradients with respect to the arguments at the positions `wrt`.

    The gradient is taken where the function lives, since graphs do not cross processes.
    """
    positions = (wrt,) if isinstance(wrt, int) else tuple(wrt)
    return function.call(function.name, args, {}, positions).result()


def local_student(namespace: Namespace, answers: Iterable[str]) -> Student:
    """A student in this process. `answers`: exercises whose versions in `utils` are closed while it runs."""
    answers = tuple(answers)
    return Student(lambda name, args, kwargs, wrt: run_call(namespace, answers, name, args, kwargs, wrt))


def run_call(
    namespace: Namespace, answers: Sequence[str], name: str, args: Sequence, kwargs: dict, wrt: Sequence[int]
) -> Outcome:
    """Call one submitted function and say what happened, in the words that the learner will read."""
    function = namespace.names.get(name)
    if function is None:
        return Outcome("undefined", message=_undefined(namespace, name))
    if not callable(function):
        return Outcome("undefined", message=f"`{name}` is a {type(function).__name__}, not a function")
    if (home := _home_in_course(function)) is not None:
        return Outcome("borrowed", message=f"`{name}` is the function of {home}. In this chapter you write your own")
    if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
        return Outcome("exception", message=f"`{name}` is a generator or async function: use `return` in a plain `def`")

    before = [_snapshot(arg) for arg in (*args, *kwargs.values())]
    labels = [*_parameter_names(function, len(args)), *kwargs]
    printed, grads = io.StringIO(), ()
    try:
        with contextlib.redirect_stdout(printed), _closed(answers):
            if wrt:
                args = [a.detach().clone().requires_grad_() if i in wrt else a for i, a in enumerate(args)]
                value = function(*args, **kwargs)
                if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
                    return Outcome("exception", message=f"`{name}` must return a scalar tensor with a gradient: no "
                                   "float(), .item(), .detach() or no_grad() inside")
                grads = torch.autograd.grad(value.reshape(()), [args[i] for i in wrt], allow_unused=True)
                grads = tuple(torch.zeros_like(args[i]) if g is None else g for i, g in zip(wrt, grads, strict=True))
            else:
                value = function(*args, **kwargs)
    except (Exception, SystemExit) as error:
        return _explain(error, namespace, name)

    for label, old, arg in zip(labels, before, (*args, *kwargs.values()), strict=False):
        if change := _changed(old, arg):
            return Outcome("mutated", message=change.format(name=name, label=label))
    if value is None:
        if printed.getvalue().strip():
            return Outcome("none", message=f"`{name}` printed something but returned None. End it with `return`, not `print`")
        return Outcome("none", message=f"`{name}` returned None: is its `return` line missing?")
    return Outcome("value", value=wire.normalise((value, grads) if wrt else value))


def _undefined(namespace: Namespace, name: str) -> str:
    functions = [n for n, v in namespace.names.items() if inspect.isfunction(v) and v.__code__.co_filename[0] == "<"]
    close = difflib.get_close_matches(name, functions, n=1, cutoff=0.5)
    if close:
        return f"there is no `{name}`, but there is a `{close[0]}`: give it the exercise's name"
    broken = [problem for problem in namespace.problems if "Error" in problem]
    because = f" A cell could not be read: {broken[0]}." if broken else ""
    return f"there is no function `{name}`: run the cell that defines it.{because}"


def _home_in_course(function: Any) -> str | None:
    """The file of the course in which a function was written, or None if it comes from a notebook."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    path = Path(code.co_filename) if code is not None else None
    if path is not None and any(path.is_relative_to(ROOT / part) for part in ("utils", "solutions")):
        return path.relative_to(ROOT).as_posix()
    return None


def _parameter_names(function: Any, n_positional: int) -> list[str]:
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        names = []
    return (names + [f"argument {i + 1}" for i in range(len(names), n_positional)])[:n_positional]


@contextlib.contextmanager
def _closed(answers: Sequence[str]):
    """While submitted code runs, the course's own versions of the exercises refuse to work."""

    def refuse(name):
        def closed(*args, **kwargs):
            raise BorrowedError(f"`{name}` from utils is the answer of this exercise; write your own")

        return closed

    with contextlib.ExitStack() as stack:
        for module in ANSWER_MODULES:
            for name in answers:
                if hasattr(module, name):
                    stack.enter_context(mock.patch.object(module, name, refuse(name)))
        yield


class BorrowedError(RuntimeError):
    """Submitted code called the course's own answer to an exercise of this chapter."""


def _snapshot(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if models.is_model(value):
        return models.fingerprint(value)
    if isinstance(value, (list, tuple)):
        return [_snapshot(item) for item in value]
    if isinstance(value, dict):
        return {key: _snapshot(item) for key, item in value.items()}
    if is_dataclass(value):
        return {key: _snapshot(item) for key, item in vars(value).items()}
    return value


def _changed(old: Any, value: Any) -> str | None:
    """How a value differs from its snapshot, as a sentence with places for the function's and argument's names."""
    if models.is_model(value):
        if hooks := models.leftover_hooks(value):
            value.reset_hooks()
            return f"`{{name}}` left a hook on the model ({hooks[0]}). Use run_with_hooks, or remove the hook afterwards"
        if models.fingerprint(value) != old:
            models.restore_model(value)
            return "`{name}` changed the weights of `{label}` in place. Work on copies"
        return None
    if isinstance(value, Tensor):
        same = isinstance(old, Tensor) and old.shape == value.shape and old.dtype == value.dtype and _equal(old, value)
    else:
        same = _same(old, _snapshot(value))
    return None if same else "`{name}` changed its argument `{label}` in place. Work on a copy: {label} = {label}.clone()"


def _equal(a: Tensor, b: Tensor) -> bool:
    """Equality in which NaN equals NaN."""
    a, b = a.detach(), b.detach()
    return torch.equal(a, b) or (a.is_floating_point() and torch.equal(torch.nan_to_num(a, 0.123), torch.nan_to_num(b, 0.123)))


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, Tensor):
        return isinstance(new, Tensor) and old.shape == new.shape and old.dtype == new.dtype and _equal(old, new)
    if isinstance(old, list):
        return isinstance(new, list) and len(old) == len(new) and all(map(_same, old, new))
    if isinstance(old, dict):
        return isinstance(new, dict) and old.keys() == new.keys() and all(_same(old[k], new[k]) for k in old)
    if isinstance(old, np.ndarray):
        return np.array_equal(old, new, equal_nan=old.dtype.kind == "f")
    return old is new or old == new


def _explain(error: BaseException, namespace: Namespace, name: str) -> Outcome:
    """An exception that submitted code raised, as an outcome that names its line and its likely cause."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith("<")]
    line = f"line {frames[-1].lineno}: {linecache.getline(frames[-1].filename, frames[-1].lineno).strip()}" if frames else ""
    kind, type_name = "exception", type(error).__name__
    text = re.sub(r"\s+", " ", str(error)).strip()
    text = text if len(text) < 300 else text[:300] + " …"
    message = f"`{name}` raised {type_name}: {text}" + (f"  ({line})" if line else "")
    if isinstance(error, NotImplementedError) and frames and "raise NotImplementedError" in line:
        kind, message = "unwritten", f"`{name}` is not written yet ({line})"
    elif isinstance(error, BorrowedError):
        kind, message = "borrowed", str(error)
    elif isinstance(error, NameError) and error.name and frames:
        message = _missing_name(error.name, namespace, name, line)
    return Outcome(kind, message=message, type_name=type_name, line=line)


def _missing_name(missing: str, namespace: Namespace, name: str, line: str) -> str:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and missing in shell.user_ns:
        return (
            f"`{name}` uses the notebook variable `{missing}` ({line}), which does not exist where it is graded. A graded "
            "function sees its arguments, imports, other functions and CAPITAL constants: make it an argument"
        )
    broken = [problem for problem in namespace.problems if missing in problem]
    because = f"; {broken[0]}" if broken else ""
    return (
        f"`{name}` uses `{missing}`, which is not defined ({line}){because}. A graded function sees its arguments, "
        "imports, other functions and CAPITAL constants, and no other notebook variable"
    )
