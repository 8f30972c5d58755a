"""Signs that submitted code did more than answer: what an instructor should look at.

None of them is proof, and none is needed with `split` trust, where the checks are out of reach. With `shared` trust
the checks run beside submitted code; there, a control tells whether they still fail what is wrong.
"""

import ast
import builtins
import random
import types
from collections.abc import Iterable

import numpy
import pytest
import torch

from utils.course import build, calls, encoding, expect, runner, student, wire
from utils.course.cells import Cell, parse_source
from utils.course.student import Outcome, Student

MAX_FLAGS = 20
MIN_COPIED = 3  # short right answers may be the same by chance
NONSENSE = Student(lambda name, args, kwargs, wrt: Outcome("value", value="nonsense"))
# modules whose functions the checks use; a function of theirs that is another one afterwards was patched
_WATCHED = (
    builtins,
    random,
    numpy,
    torch,
    torch.linalg,
    torch.nn.functional,
    pytest,
    runner,
    expect,
    student,
    calls,
    encoding,
    wire,
    build,
)
# names that no answer needs, with what they are for
_NAMES = {
    "__code__": "code of functions", "__globals__": "names of other modules", "__subclasses__": "all classes",
    "__builtins__": "builtins", "__closure__": "variables of other functions", "_getframe": "frames of callers",
    "currentframe": "frames of callers", "f_back": "frames of callers", "f_globals": "names of callers",
    "f_locals": "variables of callers", "tb_frame": "frames of callers", "get_objects": "all objects in memory",
    "get_referrers": "objects that refer to another", "modules": "loaded modules", "_exit": "the end of the process",
    "settrace": "tracing", "setprofile": "tracing", "environ": "the environment",
}  # fmt: skip
_MODULES = {
    "ctypes", "gc", "inspect", "importlib", "marshal", "mmap", "multiprocessing", "pickle", "pty", "pytest", "resource",
    "runpy", "shutil", "signal", "socket", "subprocess", "threading", "unittest", "urllib", "requests", "tests",
    "solutions",
}  # fmt: skip
_CALLS = {"eval", "exec", "compile", "__import__", "setattr", "delattr", "globals", "vars", "breakpoint"}


def suspicious(cells: Iterable[Cell], template: Iterable[str] = ()) -> list[str]:
    """What in the source of a submission an answer does not need, such as "cell 7, line 2: assigns to torch.allclose".

    Args:
        cells: the code cells as handed in; they are parsed, not run.
        template: sources of the cells that were handed out; a cell that equals one of them is left out.
    """
    known, flags = {source.strip() for source in template}, []
    for cell in cells:
        if cell.source.strip() in known:
            continue
        nodes = list(ast.walk(parse_source(cell.source) or ast.Module([], [])))  # what does not parse is not run
        modules = {name for node in nodes for name in _imported(node)}
        found = [(node.lineno, text) for node in nodes if (text := _suspicious(node, modules))]
        flags += [f"{cell.label}, line {line}: {text}" for line, text in sorted(set(found))]
    more = [f"and {len(flags) - MAX_FLAGS} more"] if len(flags) > MAX_FLAGS else []
    return flags[:MAX_FLAGS] + more


def copied(cells: Iterable[Cell], solutions: dict[str, str]) -> list[str]:
    """Whether the course's own answers were handed in, as at most one flag.

    Args:
        cells: the code cells as handed in.
        solutions: exercise -> source of the cell that answers it.
    """
    own = {name: _functions(source).get(name) for name, source in solutions.items()}
    handed_in = {name: code for cell in cells for name, code in _functions(cell.source).items()}
    same = [name for name, code in own.items() if code is not None and handed_in.get(name) == code]
    text = f"{len(same)} of {len(solutions)} answers are the course's own solutions, word for word"
    return [text] if len(same) >= MIN_COPIED else []


def _functions(source: str) -> dict[str, str]:
    """Name -> code of the functions that a cell defines, without layout and comments."""
    tree = parse_source(source) or ast.Module([], [])
    try:
        return {node.name: ast.unparse(node) for node in tree.body if isinstance(node, ast.FunctionDef)}
    except RecursionError:  # a sum of thousands
        return {}


def _imported(node: ast.AST) -> list[str]:
    """The names that an import binds."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    return []


def _suspicious(node: ast.AST, modules: set[str]) -> str:
    match node:
        case ast.Import(names=aliases):
            found = {alias.name.split(".")[0] for alias in aliases} & _MODULES
            return f"imports {', '.join(sorted(found))}" if found else ""
        case ast.ImportFrom(module=str(module)):
            inner = module.startswith(("utils.course.", "utils.grading")) and module.rpartition(".")[2] not in (
                "check",
                "predict",
            )
            return f"imports from {module}" if inner or module.split(".")[0] in _MODULES else ""
        case ast.Attribute(attr=name) if name in _NAMES:
            return f"uses {name} ({_NAMES[name]})"
        case ast.Name(id=name) if name in _NAMES and name.startswith("__"):
            return f"uses {name} ({_NAMES[name]})"
        case ast.Call(func=ast.Name(id=name)) if name in _CALLS:
            return f"calls {name}"
        case ast.Attribute(value=ast.Name(id=owner), attr=name, ctx=ast.Store() | ast.Del()) if owner in modules:
            return f"assigns to {owner}.{name}"
    return ""


def fingerprint() -> dict[tuple[str, str], int]:
    """Which object stands behind every name of the modules that the checks use."""
    return {
        (module.__name__, name): id(getattr(value, "__code__", value))
        for module in _WATCHED
        for name, value in vars(module).items()
        if isinstance(value, types.FunctionType | types.BuiltinFunctionType | type)
    }


def changes(before: dict[tuple[str, str], int]) -> list[str]:
    """The names that stand for something else than in `before`."""
    after = fingerprint()
    changed = sorted(key for key, value in before.items() if after.get(key) != value)
    return [f"while it ran, {module}.{name} was changed" for module, name in changed[:MAX_FLAGS]]


def control(chapter: str, exercise: str) -> list[str]:
    """Run the checks once more on answers that are wrong whatever was asked: they must fail."""
    earned = sum(result.earned for result in runner.run_checks(chapter, exercise, NONSENSE))
    return [f"the checks of {exercise} gave {earned} points to nonsense: they were tampered with"] if earned else []
