"""From a notebook's cells to the answers in it, cut into pieces, and the wording beside them; see `similarity`.

Nothing is run.
"""

import ast
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from utils.course.cells import Cell, exercise_marks, parse_source, unwrapped
from utils.grading.pieces import MAX_NODES, function_pieces, hash_parts, is_noise, nodes_that_count
from utils.grading.wording import comments, names_and_strings

EXCERPT = 6_000  # characters of an answer to show
MAX_CELL, MAX_CELLS = 100_000, 500_000  # characters of one cell and of all; what is beyond is not compared
RUN_LENGTH = 5  # words and signs, of an answer that is not Python


@dataclass(frozen=True)
class Answer:
    """One exercise of one student."""

    pieces: frozenset[int]
    source: str


@dataclass
class Notebook:
    """What was read of one submission; of several functions with one name the last one counts, as in grading."""

    functions: dict[str, ast.AST] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)  # of these functions
    modules: dict[str, str] = field(default_factory=dict)  # name -> what was imported under it, such as "torch.nn"
    answers: dict[str, Answer] = field(default_factory=dict)
    wording: set[str] = field(default_factory=set)


def read_answers(cells: Iterable[Cell], exercises: Iterable[str], given: Iterable[str] = ()) -> Notebook:
    """Find the functions of a notebook, and cut those of the exercises into pieces.

    Args:
        given: sources of cells that were handed out; who left them as they are did not write them.
    """
    exercises, notebook = list(exercises), Notebook()
    sources = [unwrapped(cell).source for cell in cells if cell.source.strip() not in given]
    sources = [source for source in sources if len(source) <= MAX_CELL]
    totals = itertools.accumulate(map(len, sources))
    sources = [source for source, total in zip(sources, totals, strict=True) if total <= MAX_CELLS]
    trees = [parse_source(source) for source in sources]
    marks = [exercise_marks(source) for source in sources]
    last = {name: index for index, found in enumerate(marks) for name in found}
    renamed: dict[str, str] = {}
    for index, (source, tree) in enumerate(zip(sources, trees, strict=True)):
        notebook.wording |= comments(source)
        if tree is not None:
            notebook.wording |= names_and_strings(tree)
        if marks[index] and all(last[name] != index for name in marks[index]):
            continue  # a later cell has taken its place
        if tree is None:
            notebook.answers |= {name: Answer(_runs(source), source[:EXCERPT]) for name in marks[index]}
            continue
        notebook.modules |= _modules(tree)
        functions, lines = _functions(tree), source.split("\n")
        for name, node in functions.items():
            notebook.functions[name] = node
            notebook.sources[name] = "\n".join(lines[node.lineno - 1 : node.end_lineno])[:EXCERPT]
        others = [name for name in functions if name not in exercises]
        renamed |= {name: others[0] for name in marks[index] if len(others) == 1}
    for name in exercises:
        found = name if name in notebook.functions else renamed.get(name)
        if found and (answer := _answer(notebook, found, exercises)):
            notebook.answers[name] = answer
    return notebook


def _functions(tree: ast.Module) -> dict[str, ast.AST]:
    functions: dict[str, ast.AST] = {}
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                functions[name] = node
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as value):
                functions[name] = value
    return functions


def _modules(tree: ast.AST) -> dict[str, str]:
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                modules |= {alias.asname: alias.name for alias in aliases if alias.asname}
            case ast.ImportFrom(module=str(module), names=aliases):
                modules |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in aliases}
    return modules


def _answer(notebook: Notebook, name: str, exercises: Sequence[str]) -> Answer | None:
    """An exercise's function with the notebook's functions that it calls; None for a stub."""
    helpers = notebook.functions.keys() - {*exercises, name}
    found, seen, n_nodes, pieces = [name], {name}, 0, set()
    for called in found:  # which grows meanwhile
        nodes = nodes_that_count(notebook.functions[called])
        if called == name and isinstance(nodes[0].body, list) and all(is_noise(line) for line in nodes[0].body):
            return None
        used = dict.fromkeys(node.id for node in nodes if isinstance(node, ast.Name) and node.id in helpers)
        pieces |= function_pieces(nodes, notebook.modules, used)
        n_nodes += len(nodes)
        if n_nodes < MAX_NODES:
            found += [helper for helper in used if helper not in seen]
            seen |= used.keys()
    return Answer(frozenset(pieces), "\n\n\n".join(notebook.sources[name] for name in found)[:EXCERPT])


def _runs(source: str) -> frozenset[int]:
    """The pieces of an answer that is not Python: hashes of short runs of words and signs."""
    words = re.findall(r"\w+|[^\w\s]", re.sub(r"#.*", "", source))
    return frozenset(hash_parts("run", *words[i : i + RUN_LENGTH]) for i in range(len(words) - RUN_LENGTH + 1))


def all_pieces(notebook: Notebook) -> set[int]:
    """The pieces of all functions of a notebook, exercises or not."""
    functions = map(nodes_that_count, notebook.functions.values())
    return set().union(*(function_pieces(nodes, notebook.modules, ()) for nodes in functions))
