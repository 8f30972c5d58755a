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
import json
import linecache
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager
from IPython.display import display

# spaces are [^\S\n]: with \s, which runs over line ends, a megabyte of empty lines takes hours
EXERCISE_COMMENT = re.compile(r"^[^\S\n]*#[^\S\n]*exercise:[^\S\n]*(\w+)[^\S\n]*$", re.MULTILINE)
DEFINES = re.compile(r"^[^\S\n]*(async\s+)?def\s|\blambda\b", re.MULTILINE)
MAX_NOTEBOOK_BYTES = 50_000_000
MAX_BRACKETS = 2_000_000  # each is a Python object of up to 240 bytes; plotly.js in an output has 0.1 million
MAX_CELLS = 2_000  # code cells; a solution notebook has about 100
MAX_CODE = 500_000  # characters in all code cells; a solution notebook has about 40,000
MAGIC_LINE = re.compile(r"^\s*[%!?,;/]|=\s*[%!]|\?\s*$")  # what IPython may rewrite
MAX_MAGIC = 2_000_000  # lines times characters: IPython reads the whole cell again for each line, 2.5 s per million
NAMED_CELLS = 5  # more than that are counted
STRING = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""  # as repr writes it
WRAPPED = re.compile(rf"get_ipython\(\)\.run_cell_magic\('(?:time|capture)', {STRING}, (?P<body>{STRING})\)\s*")
# what a constant may be computed from: not what waits for somebody, nor what IPython adds
BUILTINS = set(dir(builtins)) - {"input", "breakpoint", "help", "exit", "quit", "display", "get_ipython"}


class NotebookError(ValueError):
    """A notebook that cannot be read: says which, what was expected and what came."""


@dataclass(frozen=True)
class Cell:
    """The source of one code cell, and how to name it to a person, such as 'cell 7' or 'In [7]'."""

    source: str
    label: str


@dataclass(frozen=True)
class _RawCell:
    """A cell as it is in the file, except for line ends."""

    kind: str  # "code", "markdown", "raw", or what version 3 had besides
    source: str
    marks: list[str]  # the exercises that it answers
    has_metadata: bool  # nbgrader's


@dataclass
class Namespace:
    """The names that the kept statements defined, and what a grader should say about the rest."""

    names: dict = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)  # statements that raised, as "cell 7, line 2: NameError: ..."
    repairs: list[str] = field(default_factory=list)  # what was put right, in words for the learner
    marked: dict[str, list[str]] = field(default_factory=dict)  # exercise comment -> functions defined in its cell


def read_cells(path: str | Path) -> list[Cell]:
    """The code cells of a notebook file, in order, of any version of the format.

    Raises:
        NotebookError: As for read_notebook and parse_cells.
    """
    return parse_cells(read_notebook(path), Path(path).name)[0]


def read_notebook(path: str | Path) -> bytes:
    """The content of a notebook file; no more than one byte above the limit, which parse_cells refuses.

    Raises:
        NotebookError: If the file is missing, not a plain file, or cannot be read. Folders above it are not named.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise NotebookError(f"{path.name} is not a file; expected a Jupyter notebook (.ipynb)")
        with path.open("rb") as file:
            return file.read(MAX_NOTEBOOK_BYTES + 1)
    except OSError as error:
        raise NotebookError(f"{path.name} cannot be read: {error.strerror}") from None


def parse_cells(content: bytes, name: str) -> tuple[list[Cell], list[str]]:
    """The code cells of a notebook, in order, and what was put right, in words for the learner.

    A markdown or raw cell that holds an exercise's comment and a definition counts as a code cell if no code cell
    holds that exercise. "cell N" counts code cells and such cells, from 1.

    Args:
        content: of the file.
        name: of the file, for messages.

    Raises:
        NotebookError: If it is too large, empty, not UTF-8, not JSON, not a notebook, or holds more code than anybody
            writes.
    """
    try:
        raw = [_raw_cell(cell) for sheet in _sheets(content, name) for cell in sheet["cells"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise NotebookError(f"{name} is JSON but not a notebook ({type(error).__name__}: {error})") from None
    answered = {mark for cell in raw if cell.kind == "code" for mark in cell.marks}
    raw = [cell for cell in raw if cell.kind == "code" or (cell.marks and answered.isdisjoint(cell.marks))]
    _refuse_too_much([cell.source for cell in raw], name)
    cells = [Cell(_plain(cell.source), f"cell {index}") for index, cell in enumerate(raw, start=1)]
    return cells, _repairs(raw)


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
    cells = [_unwrapped(cell) for cell in cells]
    last = {name: cell for cell in cells for name in _marks(cell.source)}
    known = set(BUILTINS)  # names a constant may be computed from
    flags = 0  # of `from __future__ import ...`, which hold for all later cells
    defined: dict[str, set[str]] = {}  # function -> sources of the cells that define it
    for cell in cells:
        marks = _marks(cell.source)
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


def _sheets(content: bytes, name: str) -> list:
    """The parts of a notebook that have cells: the notebook itself, but version 3 had sheets."""
    if len(content) > MAX_NOTEBOOK_BYTES:
        limit = f"{MAX_NOTEBOOK_BYTES // 10**6} MB"
        raise NotebookError(f"{name} has more than {limit}; clear its outputs in Jupyter and save it again")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotebookError(f"{name} is not UTF-8 text ({error.reason}); save it again from Jupyter") from None
    if not text.strip():
        raise NotebookError(f"{name} is empty; save it again from Jupyter")
    if text.count("[") + text.count("{") > MAX_BRACKETS:
        limit = f"{MAX_BRACKETS:,} lists and tables"
        raise NotebookError(f"{name} holds more than {limit}; clear its outputs in Jupyter and save it again")
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError):
        raise NotebookError(f"{name} is not JSON; expected a Jupyter notebook (.ipynb)") from None
    return notebook.get("worksheets", [notebook])


def _raw_cell(cell: dict) -> _RawCell:
    kind, metadata = cell["cell_type"], cell.get("metadata")
    source = cell.get("source", cell.get("input", ""))  # version 3 called it input
    if not isinstance(source, str | list):
        raise TypeError(f"expected text in a cell, got {type(source).__name__}")
    source = "".join(source).replace("\r\n", "\n").replace("\r", "\n")
    marks = _marks(source) if kind in ("code", "markdown", "raw") else []  # version 3 had headings
    return _RawCell(kind, source, marks, isinstance(metadata, dict) and isinstance(metadata.get("nbgrader"), dict))


def _refuse_too_much(sources: list[str], name: str) -> None:
    """Refuse what would keep IPython busy for minutes; what is let through takes at most a few seconds."""
    for count, limit, what in [
        (len(sources), MAX_CELLS, "code cells"),
        (sum(map(len, sources)), MAX_CODE, "characters of code"),
    ]:
        if count > limit:
            raise NotebookError(f"{name} has {count:,} {what}, at most {limit:,} are read; delete what is not yours")
    work = 0
    for source in sources:
        lines = [line for line in source.splitlines() if MAGIC_LINE.search(line)]
        work += len(lines) * len(source)
        if any("?" in line for line in lines):  # IPython's pattern for these takes quadratic time
            work += len(source) ** 2 // 250
    if work > MAX_MAGIC:
        raise NotebookError(f"{name} has too many magics, shell lines or ? in long cells; delete them")


def _repairs(cells: list[_RawCell]) -> list[str]:
    """What was put right in reading the cells that count, in words for the learner."""
    numbered = list(enumerate(cells, start=1))
    retyped = [f"cell {n} is a {cell.kind} cell; its code was graded" for n, cell in numbered if cell.kind != "code"]
    if len(retyped) > NAMED_CELLS:
        retyped = [f"{len(retyped)} markdown or raw cells hold exercises; their code was graded"]
    exercises = [(n, cell) for n, cell in numbered if cell.kind == "code" and cell.marks]
    lost = [f"cell {n}: its metadata is lost; found by its comment" for n, cell in exercises if not cell.has_metadata]
    if lost and (len(lost) > NAMED_CELLS or len(lost) == len(exercises)):
        which = "all" if len(lost) == len(exercises) else len(lost)
        lost = [f"the metadata of {which} exercise cells is lost; they were found by their comments"]
    return retyped + lost


def _plain(source: str) -> str:
    """A cell with magics and shell lines as the calls that they stand for, which are not kept; same line numbers."""
    try:
        plain = TransformerManager().transform_cell(source)
    except Exception:  # a syntax error, which parsing will say in its own words
        return source
    blank = re.match(r"(?:[ \t]*\n)*", source)[0].count("\n")  # IPython drops empty lines at the top
    return plain if plain.startswith("\n") else "\n" * blank + plain


def _unwrapped(cell: Cell) -> Cell:
    """A cell under %%time or %%capture counts as if the magic were not there."""
    if wrapped := WRAPPED.fullmatch(cell.source.strip()):
        with contextlib.suppress(SyntaxError, ValueError):  # somebody wrote the call, with a string that is none
            return Cell("\n" + _plain(ast.literal_eval(wrapped["body"])), cell.label)
    return cell


def _marks(source: str) -> list[str]:
    """The exercises whose comment stands in a cell that defines something; a copied comment alone means nothing."""
    return EXERCISE_COMMENT.findall(source) if DEFINES.search(source) else []


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
