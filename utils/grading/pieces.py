"""The pieces of a function that stay the same when somebody renames, reformats, comments or swaps lines.

They are hashes of the subtrees of its syntax tree; see `similarity`.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence

from xxhash import xxh3_64_intdigest

MIN_NODES = 3  # smaller subtrees, such as a name or a number, are in every answer
MAX_NODES = 20_000  # of an answer; the rest, innermost parts and helpers' helpers, is not compared
NO_NODE = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
NO_LINE = (ast.Pass, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)
NO_FIELD = {"ctx", "kind", "annotation", "returns", "type_comment", "type_params", "name", "msg"}
UNORDERED = {"body", "orelse", "finalbody", "handlers", "keywords"}
COMMUTES = (ast.Add, ast.Mult, ast.BitAnd, ast.BitOr, ast.Eq, ast.NotEq)
MIRRORED = {ast.Gt: ast.Lt, ast.GtE: ast.LtE}
TAKES_AXES = {"einsum", "rearrange", "reduce", "repeat", "pack", "unpack"}
CASTS = {"int", "float", "bool", "str"}
DEFINITION = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def nodes_that_count(root: ast.AST) -> list[ast.AST]:
    """The nodes that count, parents before children, after giving one spelling to what has several."""
    nodes = [root]
    for node in nodes:  # which grows meanwhile: no recursion, however deep the tree
        for name, value in ast.iter_fields(node):
            if name in NO_FIELD or len(nodes) >= MAX_NODES:
                continue
            children = [_folded(child) for child in (value if isinstance(value, list) else [value])]
            setattr(node, name, children if isinstance(value, list) else children[0])
            nodes += [child for child in children if isinstance(child, ast.AST) and not is_noise(child)]
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


def is_noise(node: ast.AST) -> bool:
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


def function_pieces(nodes: Sequence[ast.AST], modules: dict[str, str], helpers: Iterable[str]) -> set[int]:
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
    labels |= {name: hash_parts(sorted(values[name])) for name in values if labels.get(name) == "local"}
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
            yield from ((argument.arg, hash_parts("argument", i)) for i, argument in enumerate(_arguments(node)))
    for target, value in parts:
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            pairs = list(zip(target.elts, value.elts, strict=True))
        for part, given in pairs:
            bound = [name for name in ast.walk(part) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)]
            yield from ((name.id, hash_parts("value", i, hashes.get(given))) for i, name in enumerate(bound))


def _hash_all(nodes: Sequence[ast.AST], labels: dict[str, object], modules: dict[str, str]) -> dict[ast.AST, int]:
    hashes: dict[ast.AST, int] = {}
    for node in reversed(nodes):  # children first
        hashes[node] = _hash_node(node, hashes, labels, modules)
    return hashes


def _hash_node(node: ast.AST, hashes: dict[ast.AST, int], labels: dict[str, object], modules: dict[str, str]) -> int:
    match node:
        case ast.Constant(value=value):
            return hash_parts("Constant", _plain_number(value))
        case ast.Name(id=name) if name in labels:
            return hash_parts("Name", labels[name])
        case ast.Name(id=name):
            first, *rest = modules.get(name, name).split(".")
            value = hash_parts("Name", first)
            for part in rest:
                value = hash_parts("Attribute", value, part)
            return value
        case ast.arg(arg=name):
            return hash_parts("arg", labels.get(name))
        case ast.BinOp(left, op, right) | ast.Compare(left, [op], [right]):
            return _operation(op, hashes.get(left), hashes.get(right))
        case ast.BoolOp(op, values):
            return hash_parts("BoolOp", type(op).__name__, sorted(hashes.get(value, 0) for value in values))
    parts: list[object] = []
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            listed = [hashes.get(v) if isinstance(v, ast.AST) else v for v in value if not is_noise(v)]
            parts.append(sorted(listed, key=str) if name in UNORDERED else listed)
        elif name not in NO_FIELD:
            known = hashes.get(value) if isinstance(value, ast.AST) else value
            parts.append(type(value).__name__ if known is None else known)
    return hash_parts(type(node).__name__, *parts)


def _operation(op: ast.AST, left: int | None, right: int | None) -> int:
    sides = [left or 0, right or 0]
    if type(op) in MIRRORED:
        op, sides = MIRRORED[type(op)](), sides[::-1]
    return hash_parts(type(op).__name__, sorted(sides) if isinstance(op, COMMUTES) else sides)


def _plain_number(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # such a number cannot be written out either
            return hash(value)
    return value


def hash_parts(*parts: object) -> int:
    return xxh3_64_intdigest(repr(parts).encode())
