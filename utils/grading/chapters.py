"""Which chapter somebody means: by its name or number, by what a file is called, by what a notebook holds."""

import difflib
import functools
import re
from collections.abc import Sequence

from utils.course.build import chapter_names, load_chapter
from utils.course.cells import EXERCISE_COMMENT, Cell
from utils.grading import UsageError
from utils.grading.handed_in import display_name

STARTED = re.compile(r"\bstart_chapter\(\s*[\"'](\w+)[\"']")
DEFINED = re.compile(r"^[^\S\n]*(?:async[^\S\n]+)?(?:def[^\S\n]+(\w+)|(\w+)[^\S\n]*=[^\S\n]*lambda\b)", re.MULTILINE)
COPY = r"[ _-]*(copy)?[ _-]*(\(\d+\)|\d*)"  # what browsers, Jupyter and Windows append to a name that exists


def find_chapter(text: str) -> str:
    """The chapter that somebody means by its name or number; UsageError if there is none."""
    names = chapter_names()
    known = {alias: name for name in names for alias in (name, name[:2], name[:2].lstrip("0"))}
    if text in known:
        return known[text]
    near = difflib.get_close_matches(text[:80], names, n=1)
    cure = f"did you mean {near[0]}?" if near else f"the chapters are {', '.join(names)}"
    raise UsageError(f"there is no chapter {display_name(text)}; {cure}")


@functools.cache
def _chapter_pattern() -> re.Pattern:
    return re.compile(f"({'|'.join(chapter_names())}){COPY}", re.IGNORECASE)


def chapter_named(name: str) -> str | None:
    """The chapter that a file or folder is called after, such as '01_linear_probes (1)'."""
    match = _chapter_pattern().fullmatch(name) if len(name) < 100 else None
    return match[1].lower() if match else None


def chapter_of(cells: Sequence[Cell]) -> str | None:
    """The chapter most of whose exercises are named in comments; else the one that is started; else by functions."""
    text = "\n".join(cell.source for cell in cells)
    marked, started = set(EXERCISE_COMMENT.findall(text)), set(STARTED.findall(text))
    defined = {name for names in DEFINED.findall(text) for name in names}
    evidence = {}
    for name in chapter_names():
        exercises = load_chapter(name).exercises.keys()
        evidence[name] = (len(marked & exercises), name in started, len(defined & exercises))
    best = max(evidence, key=evidence.get)
    return best if any(evidence[best]) else None
