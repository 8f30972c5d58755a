"""Calling a submitted function: what came of it, in the words that the learner will read.

`run_call` notices what a checker must notice: unwritten, undefined, borrowed from utils, printed instead of returned,
arguments changed.
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
from inspect import isasyncgenfunction, iscoroutinefunction, isfunction, isgeneratorfunction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils import models
from utils.course.borrowed import BorrowedError, closed, home_in_course
from utils.course.encoding import decode, encode, normalise
from utils.course.namespace import Namespace
from utils.course.student import Outcome, Student


def local_student(namespace: Namespace, answers: Iterable[str]) -> Student:
    """A student in this process. `answers`: exercises whose versions in `utils` are closed while it runs."""
    answers = tuple(answers)
    return Student(lambda name, args, kwargs, wrt: run_call(namespace, answers, name, args, kwargs, wrt))


def run_call(
    namespace: Namespace, answers: Sequence[str], name: str, args: Sequence, kwargs: dict, wrt: Sequence[int]
) -> Outcome:
    """Call one submitted function and say what happened, in the words that the learner will read.

    The function gets copies of everything but models: whatever it does to them, later or now, stays with it. Models
    are put right again.
    """
    function = namespace.names.get(name)
    if function is None:
        return Outcome("undefined", message=_undefined(namespace, answers, name))
    if not callable(function):
        return Outcome("undefined", message=f"`{name}` is a {type(function).__name__}, not a function")
    if (home := home_in_course(function)) is not None:
        return Outcome("borrowed", message=f"`{name}` is the function of {home}. In this chapter you write your own")
    if any(test(function) for test in (isgeneratorfunction, iscoroutinefunction, isasyncgenfunction)):
        return Outcome("exception", message=f"`{name}` is a generator or async function: use `return` in a plain `def`")

    given, given_kwargs = [_copy(arg) for arg in args], {key: _copy(arg) for key, arg in kwargs.items()}
    for i in wrt:
        given[i] = given[i].requires_grad_()
    labels = [*_parameter_names(function, len(args)), *kwargs]
    before = [_state(arg) for arg in (*args, *kwargs.values())]
    printed, change = _Printed(), None
    try:
        with contextlib.redirect_stdout(printed), closed(answers), torch.enable_grad():
            value = function(*given, **given_kwargs)
            result = _outcome(name, value, [given[i] for i in wrt], has_printed=bool(printed.text.strip()))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, too, and what a class of the learner's own may raise
        result = _explain(error, namespace, function, name)
    finally:
        for label, state, copy in zip(labels, before, (*given, *given_kwargs.values()), strict=True):
            change = _changed(state, copy, name, label) or change
    return Outcome("mutated", change) if change and result.kind in ("value", "none") else result


def _outcome(name: str, value: Any, inputs: Sequence[Tensor], *, has_printed: bool) -> Outcome:
    """What a returned value comes to; with its gradients with respect to the inputs, if there are any."""
    if value is None and has_printed:
        return Outcome("none", f"`{name}` printed something but returned None. End it with `return`, not `print`")
    if value is None:
        return Outcome("none", f"`{name}` returned None: is its `return` line missing?")
    if inputs:
        if not (isinstance(value, Tensor) and value.numel() == 1 and value.requires_grad):
            one_by_chance = isinstance(value, Tensor) and value.ndim and value.numel() == 1  # a batch of one, say
            kind = "tensor" if one_by_chance else "scalar tensor"
            cure = "no float(), .item(), .detach() or no_grad() inside"
            return Outcome("exception", f"`{name}` must return a {kind} with a gradient: {cure}")
        grads = torch.autograd.grad(value.reshape(()), inputs, allow_unused=True)
        value = value, tuple(torch.zeros_like(x) if g is None else g for x, g in zip(inputs, grads, strict=True))
    return Outcome("value", value=normalise(value))


def _undefined(namespace: Namespace, answers: Sequence[str], name: str) -> str:
    others = [n for n in namespace.marked.get(name, []) if n not in answers]
    if len(others) == 1:
        return f"there is no `{name}`, but its cell defines `{others[0]}`: give it the exercise's name"
    written = [n for n, v in namespace.names.items() if isfunction(v) and v.__code__.co_filename.startswith("<")]
    close = difflib.get_close_matches(name, set(written) - {*answers, "get_ipython"}, n=1, cutoff=0.6)
    if close:
        return f"there is no `{name}`, but there is a `{close[0]}`: give it the exercise's name"
    shell = _shell()
    if not namespace.problems and shell is not None and callable(shell.user_ns.get(name)):
        cure = f"write it as `def {name}(...)`, at the left margin of a cell"
        return f"`{name}` exists in this notebook, but not where it is graded: {cure}"
    return f"there is no function `{name}`: run the cell that defines it.{_because(namespace, name)}"


def _because(namespace: Namespace, name: str) -> str:
    """The problem in a cell that may be why a name is missing, as a sentence."""
    syntax = [problem for problem in namespace.problems if "SyntaxError" in problem or "IndentationError" in problem]
    about = [problem for problem in namespace.problems if re.search(rf"\b{re.escape(name)}\b", problem)]
    found = [*about, *syntax]
    return f" The reason may be {found[0]}." if found else ""


def _shell() -> Any:
    """The IPython shell of a notebook, or None."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def _parameter_names(function: Any, n_positional: int) -> list[str]:
    try:
        names = list(inspect.signature(function).parameters)
    except Exception:  # builtins have none, and a learner's class may have anything
        names = []
    return (names + [f"argument {i + 1}" for i in range(len(names), n_positional)])[:n_positional]


class _Printed(io.TextIOBase):
    """Takes what is printed, and keeps enough to say that something was."""

    text = ""

    def write(self, text: str) -> int:
        self.text += text[: 200 - len(self.text)]
        return len(text)


def _copy(arg: Any) -> Any:
    """An argument as it arrives on the other side of the wire."""
    return arg if models.is_model(arg) else decode(*encode(arg), with_models=True)


def _state(arg: Any) -> Any:
    """What `_changed` compares with, after the call."""
    return (models.fingerprint(arg), models.leftover_hooks(arg)) if models.is_model(arg) else _copy(arg)


def _changed(old: Any, value: Any, name: str, label: str) -> str | None:
    """What a function did to an argument, as a sentence; a model is put right."""
    if not models.is_model(value):
        kind = type(value)
        cure = {Tensor: ".clone()", np.ndarray: ".copy()", list: ".copy()", dict: ".copy()", set: ".copy()"}.get(
            kind, ""
        )
        copy = f": {label} = {label}{cure}" if cure else ""
        return None if _same(old, value) else f"`{name}` changed its argument `{label}` in place. Work on a copy{copy}"
    fingerprint, hooks = old
    change = None
    if left := [hook for hook in models.leftover_hooks(value) if hook not in hooks]:
        value.reset_hooks()
        if models.leftover_hooks(value):  # permanent, or PyTorch's own
            models.forget_models()
        change = f"`{name}` left a hook on the model ({left[0]}). Use run_with_hooks, or remove the hook afterwards"
    if models.fingerprint(value) != fingerprint:
        models.restore_model(value)
        change = f"`{name}` changed the weights of `{label}` in place. Work on copies"
    return change


def _same(old: Any, new: Any) -> bool:
    """Equality of what crosses the wire, to the bit, so that NaN equals NaN."""
    try:
        return type(old) is type(new) and encode(old) == encode(new)
    except (Exception, SystemExit):  # it put something into the argument that is too large, or too strange
        return False


def _explain(error: BaseException, namespace: Namespace, function: Any, name: str) -> Outcome:
    """An exception that submitted code raised, as an outcome that names its line and its likely cause."""
    home = getattr(getattr(function, "__code__", None), "co_filename", "")  # a script's file; cells are in linecache
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == home or (frame.filename.startswith("<") and frame.filename in linecache.cache)
    ]
    line = f"line {frames[-1].lineno}: {(frames[-1].line or '').strip()}"[:200] if frames else ""
    try:
        text = re.sub(r"\s+", " ", str(error)[:1000]).strip()
    except BaseException as other:  # an exception of the learner's own
        text = f"(its text could not be had: {type(other).__name__})"
    text = text if len(text) < 300 else text[:300] + " …"
    kind, type_name = "exception", str(type(error).__name__)
    message = f"`{name}` raised {type_name}: {text}" + (f"  ({line})" if line else "")
    if isinstance(error, NotImplementedError) and "raise NotImplementedError" in line:
        stub = frames[-1].name
        kind = "unwritten"
        message = (
            f"`{name}` is not written yet ({line})"
            if stub == name
            else f"`{name}` uses `{stub}`, which is not written yet"
        )
    elif isinstance(error, BorrowedError):
        kind, message = "borrowed", text
    elif type(error) is NameError and isinstance(error.name, str) and frames:
        message = _missing_name(error.name, namespace, name, line)
    return Outcome(kind, message=message, type_name=type_name, line=line)


def _missing_name(missing: str, namespace: Namespace, name: str, line: str) -> str:
    shell, sees = _shell(), "A graded function sees its arguments, imports, other functions and CAPITAL constants"
    if shell is not None and missing in shell.user_ns:
        where = "which does not exist where it is graded"
        return f"`{name}` uses the notebook variable `{missing}` ({line}), {where}. {sees}: make it an argument"
    because = _because(namespace, missing)
    return f"`{name}` uses `{missing}`, which is not defined ({line}).{because} {sees}, and no other notebook variable"
