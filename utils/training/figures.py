"""Draw the pictures that stand in a chapter's prose: `python -m utils.training.figures 01_linear_probes`.

For course authors: runs the chapter's solution and draws the figure of each cell that has a line `# figure: NAME` with
plotly's own script in a headless Chromium into solutions/figures/NAME.png; then run `make notebooks`. Needs playwright
and Chromium, which the course does not depend on. The README's pictures are drawn by gallery.py.
"""

import argparse
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import nbformat
import plotly.graph_objects as go
from nbclient import NotebookClient

from utils import ROOT
from utils.course import build, render

FIGURE = re.compile(r"^# figure: (\w+)$", re.MULTILINE)
PLOTLY = "application/vnd.plotly.v1+json"
WIDTH, HEIGHT = 760, 400  # pixels, about what JupyterLab's text column has; a figure may ask to be higher
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync")  # what Chromium shall do without
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


def run_figures(chapter: str, *, last: str | None = None) -> dict[str, go.Figure]:
    """Run a chapter's solution without its checks, and without a trace in the author's progress; return its figures.

    Args:
        last: name of the figure after which the run ends; at the end of the chapter if None.
    """
    code = []
    for cell in build.load_chapter(chapter).cells:
        if cell.kind == "code" and not cell.check:
            code.append(nbformat.v4.new_code_cell(cell.source))
        if last in FIGURE.findall(cell.source):
            break
    where = {"metadata": {"path": str(ROOT / "solutions")}}
    client = NotebookClient(nbformat.v4.new_notebook(cells=code), timeout=900, resources=where)
    client.execute(env={"HF_HUB_OFFLINE": "1"} | os.environ | {"NBGRADER_EXECUTION": "figures"})  # settles nothing
    figures = {}
    for cell in code:
        for name in FIGURE.findall(cell.source):
            (shown,) = (output.data[PLOTLY] for output in cell.outputs if PLOTLY in output.get("data", {}))
            figures[name] = go.Figure(data=shown["data"], layout=shown["layout"])
    return figures


def draw_png(browser, figure: go.Figure, width: int = WIDTH, height: int = HEIGHT, scale: float = 1) -> bytes:
    """Draw a figure as learners see it, without the buttons; in pixels, and so many of the device for each."""
    page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=scale)
    drawing = figure.update_layout(width=width, height=height).to_html(config={"staticPlot": True})
    page.set_content(f"<style>body {{ margin: 0 }}</style>{drawing}", timeout=PATIENCE)
    page.evaluate("Plotly.redraw(document.querySelector('.plotly-graph-div')).then(() => 0)")  # done when it returns
    return page.screenshot(timeout=PATIENCE)


def save_png(name: str, png: bytes, limit: int = render.MAX_IMAGE_BYTES) -> None:
    """Write solutions/figures/NAME.png whole or not at all, and say how many of the bytes it may have it takes."""
    path = ROOT / "solutions" / "figures" / f"{name}.png"
    path.with_suffix(".tmp").write_bytes(png)
    path.with_suffix(".tmp").replace(path)
    print(f"{path.relative_to(ROOT)}: {len(png):,} bytes of at most {limit:,}")


def main() -> None:
    """Write solutions/figures/NAME.png for every named figure of a chapter."""
    parser = argparse.ArgumentParser(prog="python -m utils.training.figures", description=__doc__.splitlines()[0])
    parser.add_argument("chapter", choices=build.chapter_names())
    chapter = parser.parse_args().chapter
    with open_browser():  # is it there? The notebook takes minutes
        pass
    figures = run_figures(chapter)
    with open_browser() as browser:
        for name, figure in figures.items():
            save_png(name, draw_png(browser, figure, height=max(HEIGHT, figure.layout.height or 0)))


if __name__ == "__main__":
    main()
