"""From a chapter to the text of its notebooks: with answers, or with stubs in their place; the same in every run."""

import base64
import hashlib
import json
import re

from utils import ROOT
from utils.course.chapter import BEGIN, END, Chapter, SourceCell, SourceError
from utils.course.start import colab_link, course_address

IMAGE = re.compile(r"!\[([^\]]*)\]\((figures/[\w.-]+\.(?:png|svg))\)")
BADGE = "[![Open in Colab](figures/open_in_colab.svg)]({})"
MAX_IMAGE_BYTES = 80_000


def render(chapter: Chapter, *, answers: bool) -> str:
    """The text of a notebook file: the solution notebook if `answers`, else the learner's."""
    seen: dict[str, int] = {}
    cells = [
        _render_cell(chapter, cell, answers, seen) for cell in chapter.cells if answers or "solution" not in cell.tags
    ]
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _render_cell(chapter: Chapter, cell: SourceCell, answers: bool, seen: dict[str, int]) -> dict:
    source = cell.source if answers or cell.exercise is None else strip_solution(cell.source, cell.exercise)
    if cell.kind == "markdown":
        if cell is chapter.cells[0] and (link := colab_link(course_address(), chapter.name)):
            source = source.replace("\n", f"\n\n{BADGE.format(link)}\n", 1)
        source = source.replace("{{exercises}}", _exercise_table(chapter))
        source = IMAGE.sub(lambda match: f"![{match[1]}]({_data_uri(match[2])})", source)
    digest = hashlib.sha256(f"{cell.kind}\n{cell.source}".encode()).hexdigest()[:12]
    seen[digest] = seen.get(digest, 0) + 1  # an id says what the cell holds, so that an edit elsewhere leaves it alone
    metadata: dict = {"tags": list(cell.tags)} if cell.tags else {}
    if name := cell.exercise or cell.check:
        points = chapter.exercises[name].points if cell.check else None
        metadata |= {"exercise": name, "nbgrader": _nbgrader(source, name, points)}
    rendered = {"cell_type": cell.kind, "id": f"{digest}-{seen[digest]}", "metadata": metadata}
    if cell.kind == "code":
        rendered |= {"execution_count": None, "outputs": []}
    return rendered | {"source": source.splitlines(keepends=True)}


def strip_solution(source: str, name: str) -> str:
    """The stub: everything between the markers becomes one line that says what is to be written."""
    lines, inside = [], False
    for line in source.splitlines():
        if line.strip() == BEGIN:
            inside = True
            lines.append(line[: len(line) - len(line.lstrip())] + f'raise NotImplementedError("write {name} here")')
        elif line.strip() == END:
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


def _exercise_table(chapter: Chapter) -> str:
    exercises = chapter.exercises.values()
    rows = [
        f"| {e.number} | `{e.name}`{' (optional)' if e.optional else ''} | {e.points} | {e.minutes} |"
        for e in exercises
    ]
    points, minutes = sum(e.points for e in exercises), sum(e.minutes for e in exercises)
    head = "| | exercise | points | minutes |\n|---|---|---:|---:|\n"
    return head + "\n".join(rows) + f"\n| | | **{points}** | **{minutes}** |"


def _data_uri(name: str) -> str:
    content = (ROOT / "solutions" / name).read_bytes()
    if len(content) > MAX_IMAGE_BYTES:
        raise SourceError(f"solutions/{name}: {len(content):,} bytes; inline images have at most {MAX_IMAGE_BYTES:,}")
    kind = "svg+xml" if name.endswith(".svg") else "png"
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()


def _nbgrader(source: str, name: str, points: int | None) -> dict:
    """nbgrader's cell metadata, schema 3: an answer cell, or (with points) a locked check cell."""
    grade, solution = points is not None, points is None
    grade_id = f"check-{name}" if grade else name
    # nbgrader's own order: source, type, grade, solution, locked, id, points
    parts = [source, "code", str(grade), str(solution), str(grade), grade_id] + ([str(float(points))] if grade else [])
    metadata = {"schema_version": 3, "grade": grade, "solution": solution, "locked": grade, "task": False}
    metadata |= {
        "grade_id": grade_id,
        "cell_type": "code",
        "checksum": hashlib.md5("".join(parts).encode()).hexdigest(),
    }
    return metadata | ({"points": points} if grade else {})
