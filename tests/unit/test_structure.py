"""How utils hangs together: small modules with docstrings, no circle of imports, nothing that nobody uses."""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from utils import ROOT
from utils.course import build

MAX_LINES = 250
MODULES = sorted((ROOT / "utils").rglob("*.py"))
# where functions of utils are used; what only tests call is in nobody's way to an answer
USERS = [*MODULES, *ROOT.glob("solutions/*.py"), *ROOT.glob("tests/test_[0-9]*.py"), ROOT / "tests" / "conftest.py"]
USERS += [*ROOT.glob("tests/bench/*.py"), *ROOT.glob("tests/mutants/*.py")]
PROSE = [ROOT / "README.md", *ROOT.glob("chapters/*.md"), *ROOT.glob("solutions/*.py")]
REGISTERS = {"command", "register"}  # decorators by which something else calls a function


def name_of(path: Path) -> str:
    """Such as 'utils.course.check'; a package by its own name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def paths(names: Iterable[Path]) -> list:
    return [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in names]


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The modules that code imports, as far as it says; of `from utils import x` both utils and utils.x."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from running(child)


@pytest.mark.parametrize("path", paths(MODULES))
def test_a_module_says_what_it_is_and_fits_in_one_sitting(path):
    n_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert ast.get_docstring(parse(path)), "it has no docstring"
    assert n_lines <= MAX_LINES, f"{n_lines} lines, expected at most {MAX_LINES}; split it at a seam"


def test_no_modules_import_each_other():
    names = {name_of(path): path for path in MODULES}
    graph = {name: set(imported(running(parse(path)))) & names.keys() - {name} for name, path in names.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" is imported by ".join(error.args[1]))


def identifiers(nodes: Iterable[ast.AST]) -> set[str]:
    """The names that code uses, those that it looks up by a text in quotes included."""
    found = set()
    for node in nodes:
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                found.add(name)
            case ast.Constant(value=str(text)):
                found |= set(re.findall(r"[\"'](\w+)[\"']", text))
    return found


def scripts(tree: ast.Module) -> Iterator[ast.Module]:
    """A module, and the programs that it holds as texts for other processes."""
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value:
            try:
                yield ast.parse(node.value)
            except SyntaxError:
                continue


@cache
def uses() -> dict[str, set[str]]:
    """Module of utils -> the names that are used where it is imported."""
    found: dict[str, set[str]] = {name_of(path): set() for path in MODULES}
    for path in USERS:
        for script in scripts(parse(path)):
            names = identifiers(ast.walk(script))
            for module in set(imported(ast.walk(script))) & found.keys():
                found[module] |= names
    return found


def own_uses(path: Path, function: ast.AST) -> set[str]:
    """The names that a module uses outside of one of its functions."""
    return identifiers(n for node in parse(path).body if node is not function for n in ast.walk(node))


@cache
def mentioned() -> set[str]:
    """Names in code of the course's prose: `name`, name(...), and what it imports from utils."""
    texts = [path.read_text(encoding="utf-8") for path in PROSE]
    imports = [line for text in texts for line in re.findall(r"\bfrom utils[\w.]* import (.*)", text)]
    named = {name for text in texts for pair in re.findall(r"`(\w+)|\b(\w+)\(", text) for name in pair}
    return named | {name for line in imports for name in re.findall(r"\w+", line)}


def is_registered(function: ast.FunctionDef) -> bool:
    decorators = [d.func if isinstance(d, ast.Call) else d for d in function.decorator_list]
    return any(isinstance(d, ast.Attribute) and d.attr in REGISTERS for d in decorators)


def test_somebody_uses_every_public_function_of_utils():
    """But for the answers of exercises, which learners find there in later chapters."""
    known = mentioned() | {name for chapter in build.chapter_names() for name in build.load_chapter(chapter).exercises}
    unused = []
    for path in MODULES:
        for node in parse(path).body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_") or node.name in known:
                continue
            if node.name not in uses()[name_of(path)] | own_uses(path, node) and not is_registered(node):
                unused.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not unused, f"only tests use these: {', '.join(unused)}"
