"""From a notebook's cells to the functions that a grader sees.

A graded function may use its arguments, imports, other definitions and CAPITAL constants; everything else in a
notebook is an experiment, which is not run. The live `check` builds its namespace with the same code, from the
cells that were executed, so that what passes in the notebook passes at grading as well.
"""

import ast
import builtins
import json
import linecache
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).resolve().parents[2]  # the course's folder
EXERCISE_COMMENT = re.compile(r"^\s*#\s*exercise:\s*(\w+)\s*$", re.MULTILINE)


class NotebookError(ValueError):
    """A notebook that cannot be read: says which, what was expected and what came."""


@dataclass(frozen=True)
class Cell:
    """The source of one code cell, and how to name it to a person, such as 'cell 7' or 'In [7]'."""

    source: str
    label: str


@dataclass
class Namespace:
    """The names that the kept statements defined, and what a grader should say about the rest."""

    names: dict = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)  # statements that raised, as "cell 7, line 2: NameError: ..."
    repairs: list[str] = field(default_factory=list)  # what was put right, in words for the learner


def read_cells(path: str | Path) -> list[Cell]:
    """The code cells of a notebook file, in order.

    Raises:
        NotebookError: If the file is missing, a folder, empty, not UTF-8, not JSON or not a notebook.
    """
    path = Path(path)
    if not path.is_file():
        raise NotebookError(f"{path} is not a file; expected a Jupyter notebook (.ipynb)")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotebookError(f"{path} is not UTF-8 text ({error}); save it again from Jupyter") from None
    if not text.strip():
        raise NotebookError(f"{path} is empty; save it again from Jupyter")
    try:
        notebook = nbformat.reads(text, as_version=4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        plain = TransformerManager().transform_cell  # magics and shell lines become calls, which are not kept
        return [Cell(plain(cell.source), f"cell {index}") for index, cell in enumerate(cells, start=1)]
    except (json.JSONDecodeError, nbformat.reader.NotJSONError):
        raise NotebookError(f"{path} is not JSON; expected a Jupyter notebook (.ipynb)") from None
    except Exception as error:  # nbformat raises many kinds for JSON that is no notebook
        raise NotebookError(f"{path} is JSON but not a notebook ({type(error).__name__}: {error})") from None


def build_namespace(cells: Iterable[Cell], exercises: Iterable[str] = (), *, repair: bool = True) -> Namespace:
    """Run the imports, definitions and CAPITAL constants of the cells; find the exercises among them.

    Args:
        cells: code cells in the order in which they take effect. Of several with the same `# exercise: name` comment
            only the last one counts.
        exercises: names of functions to look for.
        repair: whether an exercise that is not defined under its name is taken from the cell that carries its
            comment, if that cell defines exactly one function.

    Returns:
        Namespace; statements that raise are listed in `problems`, and those after them still run.
    """
    namespace = Namespace(names={"__name__": "__notebook__", "__builtins__": builtins})
    cells = list(cells)
    last = {name: cell for cell in cells for name in EXERCISE_COMMENT.findall(cell.source)}
    known: set[str] = set(dir(builtins))  # names a constant may be computed from
    defined: dict[str, set[str]] = {}  # function -> sources of the cells that define it
    marked: dict[str, list[str]] = {}  # exercise comment -> functions defined in its cell
    for cell in cells:
        marks = EXERCISE_COMMENT.findall(cell.source)
        if any(last[name] is not cell for name in marks):
            for name in marks:
                defined.setdefault(name, set()).add(cell.source)
            continue
        tree = _parse(cell, namespace)
        functions = []
        for node in tree.body:
            if not _is_kept(node, known):
                continue
            code = compile(ast.Module([node], []), _filename(cell), "exec", dont_inherit=True)
            try:
                exec(code, namespace.names)
            except Exception as error:
                namespace.problems.append(f"{cell.label}, line {node.lineno}: {type(error).__name__}: {error}")
                continue
            known |= _names_for_constants(node)
            if isinstance(node, ast.FunctionDef):
                functions.append(node.name)
                defined.setdefault(node.name, set()).add(cell.source)
        marked |= dict.fromkeys(marks, functions)
    for name in exercises:
        if repair and name not in namespace.names and len(marked.get(name, [])) == 1:
            other = marked[name][0]
            namespace.names[name] = namespace.names[other]
            namespace.repairs.append(f"took `{other}` for `{name}`: its cell carries that exercise's comment")
        if len(defined.get(name, ())) > 1:
            namespace.repairs.append(f"`{name}` is defined in several cells; the last one counts")
    return namespace


def _parse(cell: Cell, namespace: Namespace) -> ast.Module:
    """Parse one cell; a cell with a syntax error counts as empty, and is said. Tracebacks will find its lines."""
    lines = cell.source.splitlines(keepends=True)
    linecache.cache[_filename(cell)] = (len(cell.source), None, lines, _filename(cell))
    try:
        return ast.parse(cell.source, _filename(cell))
    except (SyntaxError, ValueError) as error:
        namespace.problems.append(f"{cell.label}: {type(error).__name__}: {error}")
        return ast.Module([], [])


def _filename(cell: Cell) -> str:
    """The name under which tracebacks know the cell."""
    return f"<{cell.label}>"


def _is_kept(node: ast.stmt, known: set[str]) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return True
        case ast.Assign(value=ast.Lambda()):
            return True
        case ast.Assign(targets=targets, value=value):
            return all(isinstance(t, ast.Name) and t.id.isupper() for t in targets) and _is_constant(value, known)
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            return name.isupper() and _is_constant(value, known)
    return False


def _is_constant(value: ast.expr, known: set[str]) -> bool:
    """Whether an expression uses only builtins, libraries and other constants: nothing that an experiment made."""
    names = [node for node in ast.walk(value) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store)}  # the variables of comprehensions
    return all(node.id in known or node.id in bound for node in names)


def _names_for_constants(node: ast.stmt) -> set[str]:
    """Names that later constants may be computed from; not those of `utils`, whose functions load and run models."""
    match node:
        case ast.Import(names=aliases):
            return {(alias.asname or alias.name).split(".")[0] for alias in aliases} - {"utils"}
        case ast.ImportFrom(module=module, names=aliases):
            return set() if (module or "").split(".")[0] == "utils" else {a.asname or a.name for a in aliases}
        case ast.Assign(targets=targets):
            return {t.id for t in targets if isinstance(t, ast.Name) and t.id.isupper()}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return set()
