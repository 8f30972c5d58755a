"""One source per chapter, two notebooks: `python -m utils.course.build [--check]`.

solutions/NN_name.py is jupytext's percent format. From it come solutions/NN_name.ipynb (everything) and
chapters/NN_name.ipynb (what a learner opens: no answers, no outputs). Both are byte-identical on every rebuild.
"""

import argparse
import ast
import functools
import itertools
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jupytext

from utils import ROOT
from utils.course.cells import EXERCISE_COMMENT
from utils.course.chapter import BEGIN, END, Chapter, Exercise, SourceCell, SourceError
from utils.course.render import render
from utils.course.start import course_address, setup_cell

SETUP = "# {{setup}}"  # the whole of a source's first code cell: it is the same in every notebook
HEADING = re.compile(r"^### Exercise (\d+\.\d+) · `(\w+)` \((\d+) min(, optional)?\)$", re.MULTILINE)
CHECK = re.compile(r"^check\((\w+)\)$", re.MULTILINE)
HINT = re.compile(r"<details>\s*<summary>(Hint \d · [^<]*)</summary>(.*?)</details>", re.DOTALL)
SHOULD_SEE = "<summary>What you should see</summary>"
FETCHES = re.compile(r"https?://|\bwget\b|\bcurl\b|urlopen|requests\.(get|post)|hf_hub_download|snapshot_download")
FETCHES_IN_PROSE = re.compile(r"!\[[^\]]*\]\(https?:|<(?:img|script|iframe|link|video)\b[^>]*https?:")


def chapter_names() -> list[str]:
    """The chapters that have a source, in order, such as '01_linear_probes'."""
    return sorted(path.stem for path in (ROOT / "solutions").glob("[0-9][0-9]_*.py"))


def read_chapter(path: Path, tests: Path | None = None) -> Chapter:
    """Parse and validate one source.

    Args:
        path: solutions/NN_name.py.
        tests: its checks; tests/test_NN_name.py if not given.

    Raises:
        SourceError: If markers are unbalanced, an exercise lacks its heading, answer cell, check cell, points, three
            hints or its "What you should see", or a cell fetches something from the network.
    """
    text = path.read_text(encoding="utf-8")
    tests = tests or ROOT / "tests" / f"test_{path.stem}.py"
    if path.is_relative_to(ROOT):
        path = path.relative_to(ROOT)
    starts = [n for n, line in enumerate(text.splitlines(), start=1) if re.match(r"# %%(\s|$)", line)]
    raw = jupytext.reads(text, fmt="py:percent").cells
    if len(raw) != len(starts):
        raise SourceError(f"{path}:1: the file must start with a `# %%` line, and every cell with another")
    cells = []
    for cell, line in zip(raw, starts, strict=True):
        code = cell.source if cell.cell_type == "code" else ""
        ids, checks = EXERCISE_COMMENT.findall(code), CHECK.findall(code)
        if len(ids) > 1 or len(checks) > 1:
            raise SourceError(f"{path}:{line}: one exercise or check to a cell, got {ids + checks}")
        tags = tuple(cell.metadata.get("tags", []))
        cells.append(SourceCell(cell.cell_type, cell.source, line, tags, *(ids or [None]), *(checks or [None])))
        _validate_cell(path, cells[-1])
        if cell.source == SETUP:  # after the validation: this cell alone may fetch something
            cells[-1] = replace(cells[-1], source=setup_cell(course_address()))
    title = re.match(r"# (.+)", cells[0].source if cells else "")
    if title is None:
        raise SourceError(f"{path}:1: the first cell must be markdown that starts with the chapter's title, `# ...`")
    exercises = _read_exercises(path, cells, read_checks(tests))
    return Chapter(path.stem, title[1], tuple(cells), exercises)


@functools.cache
def load_chapter(name: str) -> Chapter:
    """One of the course's chapters by its name, parsed once per process; errors as for read_chapter."""
    return read_chapter(ROOT / "solutions" / f"{name}.py")


def read_checks(path: Path) -> dict[str, dict[str, int]]:
    """The checks in a test file, found without importing it: exercise -> test name -> points."""
    checks: dict[str, dict[str, int]] = {}
    for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        for mark in getattr(node, "decorator_list", []):
            if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "exercise":
                points = {k.arg: ast.literal_eval(k.value) for k in mark.keywords}.get("points", 0)
                checks.setdefault(ast.literal_eval(mark.args[0]), {})[node.name] = points
    return checks


def _validate_cell(path: Path, cell: SourceCell) -> None:
    inside = False
    for offset, line in enumerate(cell.source.splitlines(), start=1):
        where = f"{path}:{cell.line + offset}"
        marker = line.strip()
        if marker in (BEGIN, END):
            if cell.exercise is None:
                raise SourceError(
                    f"{where}: `{marker}` outside an exercise cell; start the cell with `# exercise: name`"
                )
            if (marker == BEGIN) == inside:
                raise SourceError(f"{where}: `{marker}` without its partner")
            inside = marker == BEGIN
        elif (FETCHES if cell.kind == "code" else FETCHES_IN_PROSE).search(line):
            raise SourceError(f"{where}: a cell must not fetch anything: {line.strip()[:60]}")
    if inside:
        raise SourceError(f"{path}:{cell.line}: `{BEGIN}` without `{END}` in this cell")
    if cell.exercise is not None and BEGIN not in cell.source:
        raise SourceError(f"{path}:{cell.line}: exercise `{cell.exercise}` has no `{BEGIN}`")
    if unknown := set(cell.tags) - {"solution"}:
        raise SourceError(f"{path}:{cell.line}: unknown tag {sorted(unknown)}; the only tag is `solution`")


def _read_exercises(path: Path, cells: list[SourceCell], checks: dict[str, dict[str, int]]) -> dict[str, Exercise]:
    exercises: dict[str, Exercise] = {}
    spans = [i for i, cell in enumerate(cells) if HEADING.search(cell.source) and cell.kind == "markdown"] + [
        len(cells)
    ]
    for start, stop in itertools.pairwise(spans):
        number, name, minutes, optional = HEADING.search(cells[start].source).groups()
        where, part = f"{path}:{cells[start].line}: exercise `{name}`", cells[start:stop]
        prose = "\n".join(cell.source for cell in part if cell.kind == "markdown" and "solution" not in cell.tags)
        hints = tuple((summary, body.strip()) for summary, body in HINT.findall(prose))
        for count, what in [
            (sum(cell.exercise == name for cell in part), f"answer cell with `# exercise: {name}`"),
            (sum(cell.check == name for cell in part), f"cell with `check({name})`"),
            (prose.count(SHOULD_SEE), "`What you should see`"),
        ]:
            if count != 1:
                raise SourceError(f"{where}: expected one {what}, got {count}")
        if len(hints) != 3:
            raise SourceError(f"{where}: expected three hints (the idea, the shapes, the line), got {len(hints)}")
        if name in exercises:
            raise SourceError(f"{where}: there are two of that name")
        exercises[name] = Exercise(name, number, int(minutes), bool(optional), checks.get(name, {}), hints)
        if exercises[name].points < 1:
            raise SourceError(f"{where}: its checks in test_{path.stem}.py are worth no points")
    for cell in cells:
        if {cell.exercise, cell.check} - {None} - exercises.keys():
            raise SourceError(f"{path}:{cell.line}: `{cell.exercise or cell.check}` has no heading `### Exercise ...`")
    if stray := checks.keys() - exercises.keys():
        raise SourceError(f"{path}: test_{path.stem}.py checks {sorted(stray)}, which the chapter does not have")
    return exercises


def exercise_cells(chapter: Chapter) -> dict[str, str]:
    """The answer cell of every exercise, solution included."""
    return {cell.exercise: cell.source for cell in chapter.cells if cell.exercise}


def outputs() -> Iterator[tuple[Path, str]]:
    """Every generated notebook and its text."""
    for name in chapter_names():
        chapter = load_chapter(name)
        yield ROOT / "solutions" / f"{name}.ipynb", render(chapter, answers=True)
        yield ROOT / "chapters" / f"{name}.ipynb", render(chapter, answers=False)


def main(arguments: list[str] | None = None) -> int:
    """Write the notebooks, or compare them: 0 if all is well, 1 with a line for everything that is not."""
    parser = argparse.ArgumentParser(prog="python -m utils.course.build", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 and name what differs or is orphaned"
    )
    check = parser.parse_args(arguments).check
    try:
        wanted = dict(outputs())
    except SourceError as error:
        print(error, file=sys.stderr)
        return 1
    status = 0
    for path in sorted({*wanted, *(ROOT / "solutions").glob("*.ipynb"), *(ROOT / "chapters").glob("*.ipynb")}):
        name = path.relative_to(ROOT)
        if path not in wanted:
            print(f"{name}: orphan, no source solutions/{path.stem}.py; delete it", file=sys.stderr)
            status = 1
        elif not path.exists() or path.read_text(encoding="utf-8") != wanted[path]:
            if check:
                print(f"{name}: differs from solutions/{path.stem}.py; run `make notebooks`", file=sys.stderr)
                status = 1
            else:
                path.parent.mkdir(exist_ok=True)
                temporary = path.with_suffix(".tmp")
                temporary.write_text(wanted[path], encoding="utf-8")
                temporary.replace(path)
                print(f"{name}: written")
    return status


if __name__ == "__main__":
    sys.exit(main())
