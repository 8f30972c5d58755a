"""Write the pages of the HTML book: `python -m utils.course.book`, the first half of `make book`.

build/book/pages/ is what Sphinx reads: README.md as the first page, the solution notebooks with their outputs, and the
Markdown pages of chapters/, in the same places as in the course, so that links between them hold. A notebook is run
again only if its text, or anything of `utils` that it may use, has changed since.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import nbformat
import plotly
from nbclient import NotebookClient

from utils import ROOT
from utils.course import build

PAGES = ROOT / "build" / "book" / "pages"
SECONDS_PER_CELL = 900  # far more than any cell needs; only a hang takes longer
PLOTLY_JS = "_static/plotly.min.js"  # from the pages' top folder
PLOTLY, WIDGET = "application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"


def write_pages() -> None:
    """Write everything that Sphinx reads into build/book/pages; runs the notebooks that are not there yet."""
    shutil.copytree(ROOT / "book", PAGES, dirs_exist_ok=True)
    shutil.copy(Path(plotly.__file__).parent / "package_data" / "plotly.min.js", PAGES / PLOTLY_JS)
    shutil.copytree(ROOT / "solutions" / "figures", PAGES / "solutions" / "figures", dirs_exist_ok=True)
    (PAGES / "chapters").mkdir(exist_ok=True)
    names = build.chapter_names()
    for name in names:
        page = PAGES / "chapters" / f"{name}.ipynb"
        source, made_from = ROOT / "solutions" / f"{name}.ipynb", _digest(name)
        if not page.exists() or nbformat.read(page, as_version=4).metadata.get("made_from") != made_from:
            print(f"chapters/{name}: running", flush=True)
            notebook = run(source)
            draw(notebook)
            notebook.metadata["made_from"] = made_from
            temporary = page.with_suffix(".tmp")
            nbformat.write(notebook, temporary)
            temporary.replace(page)
    extras = sorted(path.stem for path in (ROOT / "chapters").glob("*.md"))
    for name in extras:
        shutil.copy(ROOT / "chapters" / f"{name}.md", PAGES / "chapters")
    for page in (PAGES / "chapters").iterdir():
        if page.stem not in [*names, *extras]:
            page.unlink()  # of a chapter that is no more, or has another name now
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    contents = _contents("Chapters", names) + _contents("To keep, to teach", extras)
    (PAGES / "index.md").write_text(readme + contents, encoding="utf-8")


def run(path: Path) -> nbformat.NotebookNode:
    """Run a notebook of solutions/ in a copy of the course, so that the author's progress is neither read nor written.

    Raises:
        CellExecutionError: If a cell does.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        course = shutil.copytree(ROOT, Path(folder, "course"), ignore=shutil.ignore_patterns(".*", "build"))
        where = {"metadata": {"path": str(course / "solutions")}}
        client = NotebookClient(notebook, timeout=SECONDS_PER_CELL, resources=where, store_widget_state=False)
        client.execute(env={"HF_HUB_OFFLINE": "1"} | os.environ)
    return notebook


def draw(notebook: nbformat.NotebookNode) -> None:
    """Make the outputs, in place, fit for a page: figures as HTML for the book's own plotly.js, and no widgets.

    A widget has no kernel in a book; the static table before it says the same.
    """
    script = f"../{PLOTLY_JS}"  # the first figure of a page loads it
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
        for number, output in enumerate(cell.outputs):
            if figure := output.get("data", {}).pop(PLOTLY, None):
                shown = {"data": figure["data"], "layout": figure["layout"]}
                options = {"include_plotlyjs": script, "full_html": False, "config": {"responsive": True}}
                output.data["text/html"] = plotly.io.to_html(shown, div_id=f"figure-{cell.id}-{number}", **options)
                script = False


def _digest(name: str) -> str:
    """Of all that decides what a solution notebook shows; weights and tables are in their cards, by their sha256."""
    code = sorted([*(ROOT / "utils").rglob("*.py"), *(ROOT / "utils" / "assets").rglob("*.json")])
    parts = [ROOT / "requirements.txt", ROOT / "solutions" / f"{name}.ipynb", *code]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in parts)).hexdigest()


def _contents(caption: str, names: list[str]) -> str:
    """A table of contents for the sidebar, in MyST."""
    lines = "\n".join(f"chapters/{name}" for name in names)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"


if __name__ == "__main__":
    write_pages()
