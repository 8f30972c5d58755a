"""The wording of notebooks: names, comments and strings, and which of them exactly two share; see `similarity`."""

import ast
import io
import re
import tokenize
from collections.abc import Sequence

from utils.course.cells import EXERCISE_COMMENT

MAX_WORDING, MAX_WORDING_CHARACTERS = 40, 300  # texts of one pair to show, characters of a text to compare


def names_and_strings(tree: ast.AST) -> set[str]:
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


def comments(source: str) -> set[str]:
    """The comments of several words, each with its sign."""
    texts: set[str] = set()
    if "#" not in source:
        return texts
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            text = _even(token.string.strip("# ")) if token.type == tokenize.COMMENT else ""
            if " " in text and not EXERCISE_COMMENT.match(f"# {text}"):
                texts.add(f"# {text}")
    except (tokenize.TokenError, SyntaxError, UnicodeEncodeError):
        pass  # the comments before the mistake are read; since Python 3.12, half a surrogate pair is one
    return texts


def _even(text: str) -> str:
    return " ".join(text[:MAX_WORDING_CHARACTERS].lower().split())


def shared_wording(wordings: Sequence[set[str]], course: str) -> dict[tuple[int, int], list[str]]:
    """What exactly two notebooks hold and the course's text does not, most words first.

    Args:
        wordings: names, comments and strings of every notebook.

    Returns:
        Indices of two notebooks -> what they share.
    """
    owners: dict[str, list[int]] = {}
    for index, wording in enumerate(wordings):
        for text in wording:
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
