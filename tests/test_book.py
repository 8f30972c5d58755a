"""The HTML book, with small notebooks in place of the chapters: `make book` runs the real ones."""

import copy
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from utils import ROOT
from utils.course import book, build

SPHINX = ROOT / ".venv-book" / "bin" / "sphinx-build"
CODE = (
    "import plotly.graph_objects as go\nfor _ in range(2):\n    go.Figure(go.Scatter(y=[1, 2])).show()",
    "import ipywidgets\nipywidgets.IntSlider()",
    "from pathlib import Path\nPath('../.progress.json').write_text('a mark')\nprint(Path.cwd())",
)
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)")


def prose(name: str) -> str:
    return "\n\n".join(cell.source for cell in build.load_chapter(name).cells if cell.kind == "markdown")


def formulas(name: str) -> list[str]:
    return FORMULA.findall(re.sub(r"`[^`\n]*`", "", prose(name)))  # a $ in code begins none


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """A figure, a widget and a cell that writes progress, as `book.run` leaves them."""
    path = tmp_path_factory.mktemp("source") / "small.ipynb"
    cells = [nbformat.v4.new_markdown_cell("# A small chapter"), *map(nbformat.v4.new_code_cell, CODE)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return book.run(path)


@pytest.fixture(scope="module")
def pages(executed: nbformat.NotebookNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The pages of a book whose chapters are small, each with all formulas of the real one."""

    def run(path: Path) -> nbformat.NotebookNode:
        notebook = copy.deepcopy(executed)
        notebook.cells.insert(1, nbformat.v4.new_markdown_cell("\n\n".join(formulas(path.stem))))
        return notebook

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book, "PAGES", tmp_path_factory.mktemp("book") / "pages")
        patch.setattr(book, "run", run)
        book.write_pages()
        yield book.PAGES


def test_a_notebook_runs_in_a_copy_of_the_course(executed: nbformat.NotebookNode):
    folder = Path(executed.cells[-1].outputs[0].text.strip())
    assert folder.name == "solutions" and not folder.is_relative_to(ROOT) and not folder.exists()
    progress = ROOT / ".progress.json"
    assert not progress.exists() or progress.read_text() != "a mark"


def test_figures_become_html_and_widgets_are_left_out(executed: nbformat.NotebookNode):
    drawn = copy.deepcopy(executed)
    book.draw(drawn)
    figure, widget = (cell.outputs for cell in drawn.cells[1:3])
    assert all("Plotly.newPlot" in output.data["text/html"] and book.PLOTLY not in output.data for output in figure)
    loads = [re.findall('src="([^"]+)"', output.data["text/html"]) for output in figure]
    assert loads == [["../_static/plotly.min.js"], []], "the first figure loads plotly.js for all"
    assert executed.cells[2].outputs and not widget
    assert "widgets" not in drawn.metadata


def test_the_contents_list_every_page_and_the_chapters_in_order(pages: Path):
    listed = re.findall(r"^chapters/\w+$", (pages / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    names = build.chapter_names()
    assert listed[: len(names)] == [f"chapters/{name}" for name in names]
    assert sorted(listed) == sorted(f"chapters/{path.stem}" for path in (pages / "chapters").iterdir())


def test_links_lead_to_pages_of_the_book(pages: Path):
    texts = {page: page.read_text(encoding="utf-8") for page in pages.rglob("*.md")}
    texts |= {pages / "chapters" / f"{name}.ipynb": prose(name) for name in build.chapter_names()}
    links = [(page, link) for page, text in texts.items() for link in LINK.findall(text) if "://" not in link]
    links = [(page, link) for page, link in links if not link.startswith("figures/")]  # within the notebook
    assert len(links) > len(build.chapter_names())
    broken = [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]
    assert not broken


def test_only_what_has_changed_is_run_again(pages: Path, monkeypatch: pytest.MonkeyPatch):
    ran, run = [], book.run
    monkeypatch.setattr(book, "run", lambda path: ran.append(path.stem) or run(path))
    gone = pages / "chapters" / "99_gone.ipynb"
    gone.write_text("{}")
    book.write_pages()
    assert not ran and not gone.exists()
    page = pages / "chapters" / f"{build.chapter_names()[1]}.ipynb"
    notebook = nbformat.read(page, as_version=4)
    notebook.metadata["made_from"] = "something else"
    nbformat.write(notebook, page)
    book.write_pages()
    assert ran == [page.stem]


@pytest.fixture(scope="module")
def html(pages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the book, built with the command of `make book`."""
    if not SPHINX.exists():
        missing = "no Sphinx in .venv-book; run `make .venv-book/ready`"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    built = tmp_path_factory.mktemp("built")
    command = [SPHINX, "-qW", "--keep-going", "-d", built / "doctrees", pages, built / "html"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return built / "html"


def test_the_pages_hold_figures_and_formulas_and_fetch_nothing(html: Path):
    texts = {page.stem: page.read_text(encoding="utf-8") for page in html.rglob("*.html")}
    for name in build.chapter_names():
        assert "Plotly.newPlot" in texts[name] and f'href="chapters/{name}.html"' in texts["index"]
        assert ("<math" in texts[name]) == bool(formulas(name))
    loads = re.compile(r"""<(?:script|link|img)\b[^>]*\b(?:src|href)=["'](?:https?:)?//[^"']*""")
    assert not [load for text in texts.values() for load in loads.findall(text)]


def test_a_browser_draws_the_figures_from_the_books_own_files(html: Path, browser):
    page, asked, errors = browser.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((html / "chapters" / f"{build.chapter_names()[0]}.html").as_uri())
    page.wait_for_selector(".plotly-graph-div .main-svg", timeout=120_000)
    page.close()
    assert not errors and not [url for url in asked if not url.startswith("file:")]
