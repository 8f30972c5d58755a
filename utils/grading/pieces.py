"""The pieces of an answer that stay the same when somebody renames, reformats, comments or swaps lines.

From cells to functions, from a function to hashes of its subtrees, and the wording beside them; see `similarity`.
Nothing is run.
"""

import ast
import io
import itertools
import re
import tokenize
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from xxhash import xxh3_64_intdigest

from utils.course.namespace import EXERCISE_COMMENT, Cell

EXCERPT = 6_000  # characters of an answer to show
MAX_WORDING, MAX_WORDING_CHARACTERS = 40, 300  # texts of one pair to show, characters of a text to compare
MIN_NODES = 3  # smaller subtrees, such as a name or a number, are in every answer
MAX_NODES = 20_000  # of an answer; the rest, innermost parts and helpers' helpers, is not compared
MAX_CELL, MAX_CELLS = 100_000, 500_000  # characters of one cell and of all; what is beyond is not compared
RUN_LENGTH = 5  # words and signs, of an answer that is not Python
NO_NODE = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
NO_LINE = (ast.Pass, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)
NO_FIELD = {"ctx", "kind", "annotation", "returns", "type_comment", "type_params", "name", "msg"}
UNORDERED = {"body", "orelse", "finalbody", "handlers", "keywords"}
COMMUTES = (ast.Add, ast.Mult, ast.BitAnd, ast.BitOr, ast.Eq, ast.NotEq)
MIRRORED = {ast.Gt: ast.Lt, ast.GtE: ast.LtE}
TAKES_AXES = {"einsum", "rearrange", "reduce", "repeat", "pack", "unpack"}
CASTS = {"int", "float", "bool", "str"}
DEFINITION = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


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


# --- from cells to answers -------------------------------------------------------------------------------------------


def read_notebook(cells: Iterable[Cell], exercises: Iterable[str], given: Iterable[str] = ()) -> Notebook:
    """Find the functions of a notebook, and cut those of the exercises into pieces.

    Args:
        given: sources of cells that were handed out; who left them as they are did not write them.
    """
    exercises, notebook = list(exercises), Notebook()
    sources = [_without_magic(cell.source) for cell in cells if cell.source.strip() not in given]
    sources = [source for source in sources if len(source) <= MAX_CELL]
    totals = itertools.accumulate(map(len, sources))
    sources = [source for source, total in zip(sources, totals, strict=True) if total <= MAX_CELLS]
    trees = [_parse(source) for source in sources]
    marks = [_marks(s) if tree is None or _functions(tree) else [] for s, tree in zip(sources, trees, strict=True)]
    last = {name: index for index, found in enumerate(marks) for name in found}
    renamed: dict[str, str] = {}
    for index, (source, tree) in enumerate(zip(sources, trees, strict=True)):
        notebook.wording |= _comments(source)
        if tree is not None:
            notebook.wording |= _names_and_strings(tree)
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


def _without_magic(source: str) -> str:
    """A cell under %%time or %%capture counts as if the magic were not there."""
    if "run_cell_magic" in source and (tree := _parse(source)):
        match tree.body:
            case [ast.Expr(ast.Call(ast.Attribute(attr="run_cell_magic"), [_, _, ast.Constant(str() as body)]))]:
                return body
    return source


def _parse(source: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: thousands of brackets
        return None


def _marks(source: str) -> list[str]:
    """The exercises whose comment stands in a cell."""
    lines = [line for line in source.split("\n") if "exercise" in line]  # thousands of blank lines stall the pattern
    return [match[1] for match in map(EXERCISE_COMMENT.match, lines) if match]


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
        nodes = _nodes(notebook.functions[called])
        if called == name and isinstance(nodes[0].body, list) and all(_is_noise(line) for line in nodes[0].body):
            return None
        used = dict.fromkeys(node.id for node in nodes if isinstance(node, ast.Name) and node.id in helpers)
        pieces |= _pieces(nodes, notebook.modules, used)
        n_nodes += len(nodes)
        if n_nodes < MAX_NODES:
            found += [helper for helper in used if helper not in seen]
            seen |= used.keys()
    return Answer(frozenset(pieces), "\n\n\n".join(notebook.sources[name] for name in found)[:EXCERPT])


def _runs(source: str) -> frozenset[int]:
    """The pieces of an answer that is not Python: hashes of short runs of words and signs."""
    words = re.findall(r"\w+|[^\w\s]", re.sub(r"#.*", "", source))
    return frozenset(_hash("run", *words[i : i + RUN_LENGTH]) for i in range(len(words) - RUN_LENGTH + 1))


def all_pieces(notebook: Notebook) -> set[int]:
    """The pieces of all functions of a notebook, exercises or not."""
    return set().union(*(_pieces(_nodes(node), notebook.modules, ()) for node in notebook.functions.values()))


# --- from a function to pieces ---------------------------------------------------------------------------------------


def _nodes(root: ast.AST) -> list[ast.AST]:
    """The nodes that count, parents before children, after giving one spelling to what has several."""
    nodes = [root]
    for node in nodes:  # which grows meanwhile: no recursion, however deep the tree
        for name, value in ast.iter_fields(node):
            if name in NO_FIELD or len(nodes) >= MAX_NODES:
                continue
            children = [_folded(child) for child in (value if isinstance(value, list) else [value])]
            setattr(node, name, children if isinstance(value, list) else children[0])
            nodes += [child for child in children if isinstance(child, ast.AST) and not _is_noise(child)]
    return nodes


def _folded(node: object) -> object:
    match node:
        case ast.AugAssign(target, op, value):
            return ast.Assign(targets=[target], value=ast.BinOp(left=target, op=op, right=value))
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            return ast.Assign(targets=[target], value=value)
        case ast.Raise(exc=ast.Call(func=kind)) if _last_name(kind) != "NotImplementedError":
            node.exc = kind  # the message is wording
        case ast.Call(ast.Name(cast), [ast.Constant() as value], []) if cast in CASTS:
            return value
        case ast.Call(func=function, args=arguments) if _last_name(function) in TAKES_AXES:
            for argument in arguments:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    argument.value = _numbered_axes(argument.value)
    return node


def _is_noise(node: ast.AST) -> bool:
    match node:
        case ast.Expr(ast.Constant()) | ast.Raise(exc=ast.Name("NotImplementedError")):
            return True
        case ast.Raise(exc=ast.Call(ast.Name("NotImplementedError"))):
            return True
    return isinstance(node, (*NO_NODE, *NO_LINE))


def _last_name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _numbered_axes(pattern: str) -> str:
    """Patterns such as "lbpd,bp->lbd" or "batch pos -> pos batch" with numbers, by first use, for their axes."""
    axes: dict[str, int] = {}
    axis = r"[^\W\d]\w*" if " " in pattern.strip() else r"[^\W\d]"
    return re.sub(axis, lambda match: f"<{axes.setdefault(match[0], len(axes))}>", pattern)


def _pieces(nodes: Sequence[ast.AST], modules: dict[str, str], helpers: Iterable[str]) -> set[int]:
    """The hashes of a function's subtrees: with locals that have no name, and with locals known by their values."""
    arguments = {argument.arg: f"argument {i}" for i, argument in enumerate(_arguments(nodes[0]))}
    labels: dict[str, object] = dict.fromkeys(helpers, "helper")
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            labels[node.id] = "local"
        elif isinstance(node, ast.arg):
            labels[node.arg] = "local"
        elif isinstance(node, DEFINITION) and node is not nodes[0]:
            labels[node.name] = "local"
    hashes = _hash_all(nodes, labels | arguments, modules)
    values: dict[str, set[int]] = {}
    for node in nodes:
        for name, value in _assigned(node, hashes):
            values.setdefault(name, set()).add(value)
    labels |= {name: _hash(sorted(values[name])) for name in values if labels.get(name) == "local"}
    sizes: dict[ast.AST, int] = {}
    for node in reversed(nodes):
        sizes[node] = 1 + sum(sizes.get(child, 0) for child in ast.iter_child_nodes(node))
    counted = [node for node in nodes if sizes[node] >= MIN_NODES and isinstance(node, ast.expr | ast.stmt)]
    return {known[node] for known in (hashes, _hash_all(nodes, labels | arguments, modules)) for node in counted}


def _arguments(node: ast.AST) -> list[ast.arg]:
    given = getattr(node, "args", None)
    if not isinstance(given, ast.arguments):
        return []
    return [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, [given.vararg, given.kwarg])]


def _assigned(node: ast.AST, hashes: dict[ast.AST, int]) -> Iterator[tuple[str, int]]:
    """The names that a node gives a value to, and a hash that stands for the value."""
    match node:
        case ast.Assign(targets=targets, value=value):
            parts = [(target, value) for target in targets]
        case ast.NamedExpr(target, value) | ast.For(target, value) | ast.AsyncFor(target, value):
            parts = [(target, value)]
        case ast.comprehension(target, value) | ast.withitem(value, ast.expr() as target):
            parts = [(target, value)]
        case _:
            parts = []
            if isinstance(node, DEFINITION):
                yield node.name, hashes[node]
            yield from ((argument.arg, _hash("argument", i)) for i, argument in enumerate(_arguments(node)))
    for target, value in parts:
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            pairs = list(zip(target.elts, value.elts, strict=True))
        for part, given in pairs:
            bound = [name for name in ast.walk(part) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)]
            yield from ((name.id, _hash("value", i, hashes.get(given))) for i, name in enumerate(bound))


def _hash_all(nodes: Sequence[ast.AST], labels: dict[str, object], modules: dict[str, str]) -> dict[ast.AST, int]:
    hashes: dict[ast.AST, int] = {}
    for node in reversed(nodes):  # children first
        hashes[node] = _hash_node(node, hashes, labels, modules)
    return hashes


def _hash_node(node: ast.AST, hashes: dict[ast.AST, int], labels: dict[str, object], modules: dict[str, str]) -> int:
    match node:
        case ast.Constant(value=value):
            return _hash("Constant", _plain_number(value))
        case ast.Name(id=name) if name in labels:
            return _hash("Name", labels[name])
        case ast.Name(id=name):
            first, *rest = modules.get(name, name).split(".")
            value = _hash("Name", first)
            for part in rest:
                value = _hash("Attribute", value, part)
            return value
        case ast.arg(arg=name):
            return _hash("arg", labels.get(name))
        case ast.BinOp(left, op, right) | ast.Compare(left, [op], [right]):
            return _operation(op, hashes.get(left), hashes.get(right))
        case ast.BoolOp(op, values):
            return _hash("BoolOp", type(op).__name__, sorted(hashes.get(value, 0) for value in values))
    parts: list[object] = []
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            listed = [hashes.get(v) if isinstance(v, ast.AST) else v for v in value if not _is_noise(v)]
            parts.append(sorted(listed, key=str) if name in UNORDERED else listed)
        elif name not in NO_FIELD:
            known = hashes.get(value) if isinstance(value, ast.AST) else value
            parts.append(type(value).__name__ if known is None else known)
    return _hash(type(node).__name__, *parts)


def _operation(op: ast.AST, left: int | None, right: int | None) -> int:
    sides = [left or 0, right or 0]
    if type(op) in MIRRORED:
        op, sides = MIRRORED[type(op)](), sides[::-1]
    return _hash(type(op).__name__, sorted(sides) if isinstance(op, COMMUTES) else sides)


def _plain_number(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # such a number cannot be written out either
            return hash(value)
    return value


def _hash(*parts: object) -> int:
    return xxh3_64_intdigest(repr(parts).encode())


# --- wording ---------------------------------------------------------------------------------------------------------


def _names_and_strings(tree: ast.AST) -> set[str]:
    """The names that code gives, as they are, and its strings of several words, in quotes."""
    texts: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) if len(name) > 3:
                texts.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                texts.add(name)
            case ast.Constant(value=str() as value) if " " in value.strip():
                texts.add(f'"{_even(value)}"')
    return texts


def _comments(source: str) -> set[str]:
    """The comments of several words, each with its sign."""
    texts: set[str] = set()
    if "#" not in source:
        return texts
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            text = _even(token.string.strip("# ")) if token.type == tokenize.COMMENT else ""
            if " " in text and not EXERCISE_COMMENT.match(f"# {text}"):
                texts.add(f"# {text}")
    except (tokenize.TokenError, SyntaxError):
        pass  # the comments before the mistake are read
    return texts


def _even(text: str) -> str:
    return " ".join(text[:MAX_WORDING_CHARACTERS].lower().split())


def shared_wording(notebooks: Sequence[Notebook], course: str) -> dict[tuple[int, int], list[str]]:
    """What exactly two notebooks hold and the course's text does not, most words first."""
    owners: dict[str, list[int]] = {}
    for index, notebook in enumerate(notebooks):
        for text in notebook.wording:
            owners.setdefault(text, []).append(index)
    words, sentences = set(re.findall(r"\w+", course)), " ".join(course.lower().split())
    shared: dict[tuple[int, int], list[str]] = {}
    for text, found in owners.items():
        if len(found) == 2 and text not in words and text.strip('#" ') not in sentences:
            shared.setdefault((found[0], found[1]), []).append(text)
    return {
        pair: sorted(texts, key=lambda text: (-len(text.split()), -len(text), text))[:MAX_WORDING]
        for pair, texts in shared.items()
    }
