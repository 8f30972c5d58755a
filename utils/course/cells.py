"""From a notebook file, of any version of the format and any origin, to its code cells.

Nothing is run. What would keep a grader busy for minutes is refused before it is read.
"""

import ast
import contextlib
import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

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


def unwrapped(cell: Cell) -> Cell:
    """A cell under %%time or %%capture counts as if the magic were not there."""
    if wrapped := WRAPPED.fullmatch(cell.source.strip()):
        with contextlib.suppress(SyntaxError, ValueError):  # somebody wrote the call, with a string that is none
            return Cell("\n" + _plain(ast.literal_eval(wrapped["body"])), cell.label)
    return cell


def exercise_marks(source: str) -> list[str]:
    """The exercises whose comment stands in a cell that defines something; a copied comment alone means nothing."""
    is_marked = "exercise:" in source  # asked first: pictures in markdown are long
    return EXERCISE_COMMENT.findall(source) if is_marked and DEFINES.search(source) else []


def parse_source(source: str) -> ast.Module | None:
    """The syntax tree of a cell, or None if it is not Python."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: thousands of brackets
        return None


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
    marks = exercise_marks(source) if kind in ("code", "markdown", "raw") else []  # version 3 had headings
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
    if parse_source(source) is not None:  # nothing that IPython rewrites is Python; its own reading takes longer
        return source if source.endswith("\n") else f"{source}\n"
    try:
        plain = TransformerManager().transform_cell(source)
    except Exception:  # a syntax error, which parsing will say in its own words
        return source
    blank = re.match(r"(?:[ \t]*\n)*", source)[0].count("\n")  # IPython drops empty lines at the top
    return plain if plain.startswith("\n") else "\n" * blank + plain
