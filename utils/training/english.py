"""English that is on every machine already: the documentation of Python and of the packages that the course needs.

    passages = collect_passages()            # about 112,000 sentences, the same order every time
    names = training_names()                 # words, colours and cities alone, half of what the tables hold
    seen_in_training("navy blue")            # False: no SAE saw this name by itself

MiniLM's SAEs are trained on it (utils.training.sae). Docstrings are read from source files with ast.parse, and nothing
of a package is run; Python's own language reference is the table of topics that help() shows. What is kept are
sentences of 3 to 60 words: no code, no lists of parameters, no mark-up. The exact text depends on the versions that are
installed; so the card of an SAE says how many passages there were, and the sha256 of all of them.

Exercises compare probes with SAEs on single words, colours and cities, and a word alone is not a sentence. So a part
of what an SAE sees are such names alone, but only those for which seen_in_training is True; the comparison uses the
others. (Those occur inside of sentences, and share words with names that were seen, as "navy blue" and "navy" do.)
"""

import ast
import hashlib
import importlib.util
import inspect
import re
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch

from utils.datasets import load_colours, load_places, load_sentiment_words
from utils.splits import word_stems

PACKAGES = (
    "torch", "transformers", "transformer_lens", "huggingface_hub", "tokenizers", "safetensors", "datasets",
    "accelerate", "numpy", "scipy", "sklearn", "pandas", "plotly", "einops", "jaxtyping", "ipywidgets", "IPython",
    "ipykernel", "jupyterlab", "jupyter_server", "jupyter_client", "jupyter_core", "nbformat", "nbclient", "nbconvert",
    "traitlets", "jupytext", "filelock", "tqdm", "rich", "psutil", "joblib", "pydantic", "typer", "click", "jinja2",
    "pytest", "_pytest", "sympy", "networkx", "fsspec", "requests", "tornado", "yaml", "anyio", "httpx", "bs4",
)  # fmt: skip
WORDS = range(3, 61)  # of a passage
COMMON = frozenset(
    (
        "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "if", "in", "is", "it",
        "not", "of", "on", "or", "that", "the", "this", "to", "when", "with", "you",
    )
)  # fmt: skip
NAME_SHARE = 0.25  # of the texts that are drawn; names are short, and less of the vectors
HELD_OUT_SHARE = 0.1  # of passages, and of names, that are only measured on

Names = tuple[str, ...]


@cache
def collect_passages(packages: Names = PACKAGES, *, standard_library: bool = True, share: float = 1.0) -> Names:
    """Collect sentences from docstrings and from Python's documentation, each once, in the order of their hashes.

    Args:
        packages: names that are imported; one that is not installed, or has no source files, adds nothing.
        standard_library: read that too, and pydoc's topics.
        share: of the source files, for a quick look; all of them take a minute.
    """
    found: set[str] = set()
    for file in _source_files(packages, standard_library):
        if _digest("/".join(file.parts[-3:]))[2] >= 256 * share:
            continue
        for text in _docstrings(file):
            found.update(split_sentences(text))
    return tuple(sorted(found, key=_digest))


@cache
def training_names() -> Names:
    """Words, colours and cities of the course's tables that an SAE may see alone, in the order of their hashes."""
    names = {*load_sentiment_words().words, *load_colours().names, *load_places().names}
    return tuple(sorted(filter(seen_in_training, names), key=_digest))


def draw_texts(n: int, generator: torch.Generator, *, held_out: bool = False) -> list[str]:
    """Draw passages, and names alone, NAME_SHARE of them; with replacement."""
    passages, names = _parts(held_out)
    is_name = torch.rand(n, generator=generator) < NAME_SHARE
    lot = torch.rand(n, generator=generator, dtype=torch.float64)
    kinds = [names if name else passages for name in is_name.tolist()]
    return [texts[int(draw * len(texts))] for texts, draw in zip(kinds, lot.tolist(), strict=True)]


@cache
def _parts(held_out: bool) -> tuple[Names, Names]:
    return tuple(
        tuple(text for text in texts if is_held_out(text) == held_out)
        for texts in (collect_passages(), training_names())
    )


def seen_in_training(text: str) -> bool:
    """Whether a name belongs to the half that SAEs of MiniLM saw alone in training; case does not matter.

    Decided by a hash, so it is the same everywhere. Forms of one sentiment word (by word_stems) stay together.
    """
    text = text.lower()
    if text in _sentiment_words():
        (text,) = word_stems([text])
    return _digest(text)[0] % 2 == 0


def is_held_out(text: str) -> bool:
    """Whether a passage or a name is for measuring only."""
    return _digest(text)[1] < 256 * HELD_OUT_SHARE


def hash_texts(texts: Names) -> str:
    """The sha256 of texts, one on each line."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def describe_text() -> dict:
    """What a card says of the text that SAEs were trained on."""
    passages, names = _parts(held_out=False)
    return {"passages": len(passages), "names": len(names), "sha256": hash_texts(passages + names)}


def split_sentences(text: str) -> list[str]:
    """Find the sentences of a docstring, without mark-up.

    A sentence begins with a capital letter, ends with a full stop, and holds letters, numbers and punctuation only, at
    least one of the commonest words, and 3 to 60 words in all. Whatever looks like something else is left out whole.
    """
    found = []
    for block in _blocks(text):
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z\"'(])", _without_markup(block)):
            words = sentence.split()
            is_prose = re.fullmatch(r"[A-Z][A-Za-z0-9 ,;:'\"()%.!?-]*[a-z)][.!?]", sentence) is not None
            is_code = re.search(r"\w[(]|[a-z]\.[a-z]|[a-z][A-Z]|\.\.|::|--| [,.;:]|\w:\w", sentence) is not None
            balanced = sentence.count("(") == sentence.count(")") and sentence.count('"') % 2 == 0
            common = not COMMON.isdisjoint(word.lower() for word in words)
            if is_prose and not is_code and balanced and common and len(words) in WORDS:
                found.append(sentence)
    return found


def _blocks(text: str) -> Iterator[str]:
    """Paragraphs, as one line each: what a blank line, another indentation or a list's mark separates."""
    block: list[str] = []
    indentation = 0
    for line in [*inspect.cleandoc(text).splitlines(), ""]:
        here, content = len(line) - len(line.lstrip()), line.strip()
        marked = re.match(r"([-*+•]|\d+[.)])\s|>>>|\.\.\s|:|@", content) is not None
        if block and (not content or here != indentation or marked):
            yield " ".join(block)
            block = []
        if content and not re.match(r">>>|\.\.\s|:|@", content):
            block.append(re.sub(r"^([-*+•]|\d+[.)])\s+", "", content))
            indentation = here + (len(content) - len(block[-1]) if len(block) == 1 else 0)


def _without_markup(text: str) -> str:
    text = re.sub(r":[\w:+-]+:`~?!?([^`<]*?)\s*(<[^>]*>)?`", r"\1", text)  # :class:`name`
    text = re.sub(r"`+([^`<]*?)\s*(<[^>]*>)?`+_{0,2}", r"\1", text)  # ``code`` and `link <url>`_
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)  # [link](url)
    text = re.sub(r"(?<!\w)(\*{1,2}|_)(\w[^*_]*?)\1(?!\w)", r"\2", text)  # *emphasis*
    return re.sub(r"\s+", " ", text.replace("’", "'").replace("“", '"').replace("”", '"')).strip()


def _source_files(packages: Names, standard_library: bool) -> Iterator[Path]:
    for name in packages:
        spec = importlib.util.find_spec(name)  # finds the folder and runs none of the package's code
        for folder in (spec.submodule_search_locations or []) if spec else []:
            yield from sorted(Path(folder).rglob("*.py"))
    if standard_library:
        folder = Path(sysconfig.get_path("stdlib"))
        skipped = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3"}
        files = (file for file in folder.rglob("*.py") if skipped.isdisjoint(file.relative_to(folder).parts))
        yield from sorted(files)


def _docstrings(file: Path) -> Iterator[str]:
    """Docstrings of a file; of pydoc's topics the texts."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError):  # templates, and tests of what is no Python
        return
    if file.parts[-2:] == ("pydoc_data", "topics.py"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" in node.value:
                yield node.value
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text:
                yield text


@cache
def _sentiment_words() -> frozenset[str]:
    return frozenset(load_sentiment_words().words)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
