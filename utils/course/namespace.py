"""From a notebook's cells to the functions that a grader sees.

A graded function may use its arguments, imports, other definitions and CAPITAL constants; everything else in a
notebook is an experiment, which is not run. The live `check` builds its namespace with the same code, from the
cells that were executed, so that what passes in the notebook passes at grading as well.
"""

import __future__

import ast
import builtins
import contextlib
import io
import linecache
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field

from IPython.display import display

from utils.course.cells import Cell, exercise_marks, unwrapped

# what a constant may be computed from: not what waits for somebody, nor what IPython adds
BUILTINS = set(dir(builtins)) - {"input", "breakpoint", "help", "exit", "quit", "display", "get_ipython"}


@dataclass
class Namespace:
    """The names that the kept statements defined, and what a grader should say about the rest."""

    names: dict = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)  # statements that raised, as "cell 7, line 2: NameError: ..."
    repairs: list[str] = field(default_factory=list)  # what was put right, in words for the learner
    marked: dict[str, list[str]] = field(default_factory=dict)  # exercise comment -> functions defined in its cell


def build_namespace(cells: Iterable[Cell], exercises: Iterable[str] = (), *, repair: bool = True) -> Namespace:
    """Run the imports, definitions and CAPITAL constants of the cells; find the exercises among them.

    Args:
        cells: code cells in the order in which they take effect. Of several that define something under the same
            `# exercise: name` comment only the last one counts.
        exercises: names of functions to look for.
        repair: whether an exercise that is not defined under its name is taken from the cell that carries its
            comment, if that cell defines exactly one function.

    Returns:
        Namespace; statements that raise are listed in `problems`, and those after them still run.
    """
    names = {"__name__": "__main__", "__builtins__": builtins}  # a module that exists: dataclasses look theirs up
    names |= {"display": display, "get_ipython": lambda: None}  # IPython's builtins, the same with and without a kernel
    namespace = Namespace(names=names)
    cells = [unwrapped(cell) for cell in cells]
    last = {name: cell for cell in cells for name in exercise_marks(cell.source)}
    known = set(BUILTINS)  # names a constant may be computed from
    flags = 0  # of `from __future__ import ...`, which hold for all later cells
    defined: dict[str, set[str]] = {}  # function -> sources of the cells that define it
    for cell in cells:
        marks = exercise_marks(cell.source)
        for name in marks:
            defined.setdefault(name, set()).add(cell.source)
        if marks and all(last[name] is not cell for name in marks):
            continue
        functions = []
        for node in _parse(cell, namespace):
            if not _is_kept(node, known):
                continue
            before = set(names)
            if problem := _run(node, cell, names, flags):
                namespace.problems.append(problem)
                continue
            known |= _names_for_constants(node, set(names) - before)
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                flags |= sum({getattr(__future__, alias.name).compiler_flag for alias in node.names})
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name not in functions:
                functions.append(node.name)
                defined.setdefault(node.name, set()).add(cell.source)
        namespace.marked |= dict.fromkeys(marks, functions)
    exercises = list(exercises)
    for name in exercises:
        others = [other for other in namespace.marked.get(name, []) if other not in exercises]
        if repair and name not in names and len(others) == 1:
            names[name] = names[others[0]]
            namespace.repairs.append(f"took `{others[0]}` for `{name}`: its cell carries that exercise's comment")
        if len(defined.get(name, ())) > 1:
            namespace.repairs.append(f"`{name}` is defined in several cells; the last one counts")
    return namespace


def _parse(cell: Cell, namespace: Namespace) -> list[ast.stmt]:
    """The statements of a cell; with a syntax error it counts as empty, and is said. Tracebacks will find its lines."""
    lines = [line + "\n" for line in cell.source.split("\n")]
    linecache.cache[_filename(cell)] = (len(cell.source), None, lines, _filename(cell))
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(cell.source, _filename(cell)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two: thousands of brackets
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        text = error.msg if isinstance(error, SyntaxError) else error
        namespace.problems.append(f"{cell.label}{where}: {type(error).__name__}: {text}")
        return []


def _run(node: ast.stmt, cell: Cell, names: dict, flags: int) -> str:
    """Run one statement, quietly; returns "" or what went wrong."""
    try:
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
            exec(compile(ast.Module([node], []), _filename(cell), "exec", flags, dont_inherit=True), names)
    except (Exception, SystemExit) as error:
        try:
            text = str(error)[:300]
        except Exception:
            text = "an exception that cannot be shown"
        what = f" in `{node.name}`" if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else ""
        return f"{cell.label}, line {node.lineno}{what}: {type(error).__name__}: {text}"
    return ""


def _filename(cell: Cell) -> str:
    """The name under which tracebacks know the cell."""
    return f"<{cell.label}>"


def _targets(node: ast.stmt) -> list[str | None]:
    """The names to which a statement assigns, through tuples, too; None for everything that is not a name."""
    parts = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    names: list[str | None] = []
    while parts:
        part = parts[0]
        inner = (
            part.elts
            if isinstance(part, ast.Tuple | ast.List)
            else [part.value]
            if isinstance(part, ast.Starred)
            else []
        )
        parts = [*inner, *parts[1:]]
        if not inner:
            names.append(part.id if isinstance(part, ast.Name) else None)
    return names


def _is_kept(node: ast.stmt, known: set[str]) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return True
        case ast.Assign(value=ast.Lambda()) | ast.AnnAssign(value=ast.Lambda()):
            return None not in _targets(node)
        case ast.Assign(value=ast.expr() as value) | ast.AnnAssign(value=ast.expr() as value):
            return all(name and name.isupper() for name in _targets(node)) and _is_constant(value, known)
        case ast.AugAssign(target=ast.Name(id=name), value=value):
            return name.isupper() and name in known and _is_constant(value, known)
    return False


def _is_constant(value: ast.expr, known: set[str]) -> bool:
    """Whether an expression uses only builtins, libraries and other constants: nothing that an experiment made."""
    names = [node for node in ast.walk(value) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store)}  # the variables of comprehensions
    bound |= {node.arg for node in ast.walk(value) if isinstance(node, ast.arg)}  # and of lambdas
    return all(node.id in known or node.id in bound for node in names)


def _names_for_constants(node: ast.stmt, new: set[str]) -> set[str]:
    """Names that later constants may be computed from; not those of `utils`, whose functions load and run models."""
    match node:
        case ast.Import(names=aliases):
            return {(a.asname or a.name).split(".")[0] for a in aliases if a.name.split(".")[0] != "utils"}
        case ast.ImportFrom(module=module, names=aliases):
            names = new if aliases[0].name == "*" else {alias.asname or alias.name for alias in aliases}
            return set() if (module or "").split(".")[0] == "utils" else names
        case ast.Assign() | ast.AnnAssign():
            return {name for name in _targets(node) if name and name.isupper()}
    return set()
