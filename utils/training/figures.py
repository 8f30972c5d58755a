"""Draw the pictures that stand in a chapter's prose: `python -m utils.training.figures 01_linear_probes`.

For course authors: runs the chapter's solution and draws the figure of each cell that has a line `# figure: NAME` with
plotly's own script in a headless Chromium into solutions/figures/NAME.png; then run `make notebooks`. `grading` in
place of a chapter grades a class of right and wrong answers, and draws the top of its report for the README. Needs
playwright and Chromium, which the course does not depend on.
"""

import argparse
import os
import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import plotly.graph_objects as go
from nbclient import NotebookClient

from utils import ROOT
from utils.course import build
from utils.course.cells import Cell
from utils.course.mutants import read_mutants
from utils.grading.collect import Submission
from utils.grading.results import Settings

FIGURE = re.compile(r"^# figure: (\w+)$", re.MULTILINE)
PLOTLY = "application/vnd.plotly.v1+json"
WIDTH, HEIGHT = 760, 400  # pixels, about what JupyterLab's text column has; a figure may ask to be higher
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync")  # what Chromium shall do without
NAMES = (
    "Aisha Bello", "Ali Rezaei", "Amara Okafor", "Arjun Mehta", "Bao Nguyen", "Camille Lefèvre", "Carlos Vega",
    "Clara Wagner", "Daniel Cohen", "Dmitri Volkov", "Eleni Papadopoulou", "Fatima Zahra", "Grace Mwangi", "Hana Sato",
    "Henrik Lund", "Ingrid Sørensen", "Ivan Petrov", "Jonas Brandt", "Kenji Mori", "Leila Haddad", "Lukas Meier",
    "Marta Kowalska", "Mina Park", "Noor El-Amin", "Olga Ivanova", "Priya Raman", "Samuel Asante", "Sofía Hernández",
)  # fmt: skip
PATIENCE = 120_000  # milliseconds, for one step on a busy machine


class BrowserMissingError(SystemExit):
    """Playwright or Chromium is not there. On the command line, how to get it is all that one sees."""


@contextmanager
def open_browser() -> Iterator:
    """A headless Chromium with a fresh profile, as playwright's Browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise BrowserMissingError("playwright is not installed; run `pip install playwright`") from None
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        if not os.path.exists(path or playwright.chromium.executable_path):
            raise BrowserMissingError("Chromium is not installed; run `playwright install chromium`")
        arguments = ["--no-first-run", *(f"--disable-{part}" for part in QUIET)]
        with playwright.chromium.launch(executable_path=path, args=arguments, timeout=PATIENCE) as browser:
            yield browser


def run_figures(chapter: str) -> dict[str, go.Figure]:
    """Run a chapter's solution without its checks, and without a trace in the author's progress; return its figures."""
    cells = build.load_chapter(chapter).cells
    code = [nbformat.v4.new_code_cell(cell.source) for cell in cells if cell.kind == "code" and not cell.check]
    where = {"metadata": {"path": str(ROOT / "solutions")}}
    client = NotebookClient(nbformat.v4.new_notebook(cells=code), timeout=900, resources=where)
    client.execute(env={"HF_HUB_OFFLINE": "1"} | os.environ | {"NBGRADER_EXECUTION": "figures"})  # settles nothing
    figures = {}
    for cell in code:
        for name in FIGURE.findall(cell.source):
            (shown,) = (output.data[PLOTLY] for output in cell.outputs if PLOTLY in output.get("data", {}))
            figures[name] = go.Figure(data=shown["data"], layout=shown["layout"])
    return figures


def draw_png(browser, figure: go.Figure) -> bytes:
    """Draw a figure as learners see it, without the buttons."""
    height = max(HEIGHT, figure.layout.height or 0)
    page = browser.new_page(viewport={"width": WIDTH, "height": height})
    drawing = figure.update_layout(width=WIDTH, height=height).to_html(config={"staticPlot": True})
    page.set_content(f"<style>body {{ margin: 0 }}</style>{drawing}", timeout=PATIENCE)
    page.evaluate("Plotly.redraw(document.querySelector('.plotly-graph-div')).then(() => 0)")  # done when it returns
    return page.screenshot(timeout=PATIENCE)


def grade_class(out: Path) -> None:
    """Grade a made-up class on chapter 01, every answer right, wrong or not written, and write the report.

    The wrong answers, and the right ones, are the planted ones of tests/mutants.
    """
    from utils.grading import report, run  # grading is not needed for the other figures

    chapter, rng = build.load_chapter("01_linear_probes"), random.Random(0)
    mutants, others = read_mutants(chapter.name)
    submissions = []
    for name in NAMES:
        share_wrong, cells = rng.uniform(0, 0.6), []
        for cell in chapter.cells:
            source = cell.source
            if cell.exercise and rng.random() < share_wrong:
                missing = chapter.exercises[cell.exercise].optional and rng.random() < 0.5
                wrong = [m.apply(source) for m in mutants if m.exercise == cell.exercise]
                source = f"def {cell.exercise}(*args):\n    raise NotImplementedError" if missing else rng.choice(wrong)
            elif cell.exercise:
                source = next(other.source for other in others if other.exercise == cell.exercise)
            if cell.kind == "code":
                cells.append(Cell(source, f"cell {len(cells) + 1}"))
        submissions.append(Submission(name, f"{name}.ipynb", chapter.name, cells=tuple(cells)))
    reason = "answers.ipynb is not JSON; expected a Jupyter notebook (.ipynb)"
    submissions.append(Submission("Kai Lindqvist", "answers.ipynb", None, reason=reason))
    report.write_report(run.run(submissions, Settings(), out), out)


def draw_report_png(browser) -> bytes:
    """Draw the top of an instructor's page."""
    with tempfile.TemporaryDirectory() as folder:
        grade_class(Path(folder))
        page = browser.new_page(viewport={"width": 1000, "height": 840})
        page.goto((Path(folder) / "index.html").as_uri(), timeout=PATIENCE)
        return page.screenshot(timeout=PATIENCE)


def main() -> None:
    """Write solutions/figures/NAME.png for every named figure of a chapter."""
    parser = argparse.ArgumentParser(prog="python -m utils.training.figures", description=__doc__.splitlines()[0])
    parser.add_argument("chapter", choices=[*build.chapter_names(), "grading"])
    chapter = parser.parse_args().chapter
    with open_browser():  # is it there? The notebook takes minutes
        pass
    figures = {} if chapter == "grading" else run_figures(chapter)
    with open_browser() as browser:
        pictures = {name: draw_png(browser, figure) for name, figure in figures.items()}
        if chapter == "grading":
            pictures["grading_report"] = draw_report_png(browser)
        for name, png in pictures.items():
            path = ROOT / "solutions" / "figures" / f"{name}.png"
            path.with_suffix(".tmp").write_bytes(png)
            path.with_suffix(".tmp").replace(path)
            print(f"{path.relative_to(ROOT)}: {len(png):,} bytes of at most {build.MAX_IMAGE_BYTES:,}")


if __name__ == "__main__":
    main()
