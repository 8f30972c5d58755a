"""Draw the README's pictures: `python -m utils.training.gallery [NAME...]`, all of them if none is named.

For course authors: each is made of real results, in a headless Chromium, and written to solutions/figures/NAME.png.
Needs playwright, Chromium and Pillow, which the course does not depend on; takes some minutes.
"""

import argparse
import html
import io
import random
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from utils import plots, point_plots
from utils.comparison import SIZES, score_family
from utils.course import build, render
from utils.course.cells import Cell
from utils.course.chapter import BEGIN, END
from utils.course.mutants import read_mutants
from utils.grading import report, run
from utils.grading.collect import Submission
from utils.grading.results import Settings
from utils.tasks import load_tasks
from utils.training.figures import PATIENCE, draw_png, open_browser, run_figures, save_png
from utils.training.lab import Lab, serve_lab
from utils.trials import draw_trial

WIDTH, HEIGHT, SCALE = 500, 380, 2  # CSS pixels, about a column of two on GitHub; device pixels for each
N_COLOURS = 128  # of a picture whose own are few
MAX_BYTES = {"readme_check": 300_000}  # of the others: render.MAX_IMAGE_BYTES
SEEDS = range(3)  # draws of examples, as many as the table of chapter 08 has
LAB_SIZE, LAB_SCALE = {"width": 940, "height": 1000}, 1.5
SHOWN_HEIGHT = 536  # of the page, from the answer's cell downwards
CHECKED, MISTAKE = ("07_sparse_autoencoders", "sae_decode"), "b_dec is left out"  # one line, which the last hint says
NAMES = (
    "Aisha Bello", "Ali Rezaei", "Amara Okafor", "Arjun Mehta", "Bao Nguyen", "Camille Lefèvre", "Carlos Vega",
    "Clara Wagner", "Daniel Cohen", "Dmitri Volkov", "Eleni Papadopoulou", "Fatima Zahra", "Grace Mwangi", "Hana Sato",
    "Henrik Lund", "Ingrid Sørensen", "Ivan Petrov", "Jonas Brandt", "Kenji Mori", "Leila Haddad", "Lukas Meier",
    "Marta Kowalska", "Mina Park", "Noor El-Amin", "Olga Ivanova", "Priya Raman", "Samuel Asante", "Sofía Hernández",
)  # fmt: skip


def believed_board() -> bytes:
    """Chapter 03: a board, the board that the network believes in, and its illegal favourite."""
    figure = run_figures("03_othello_board_probes", last="03_believed_board")["03_believed_board"]
    return _with_few_colours(_draw(figure))


def swatches() -> bytes:
    """Chapter 01: colours that are meant, and colours that a probe predicts; every second of those shown there."""
    drawn = run_figures("01_linear_probes", last="01_swatches")["01_swatches"].layout
    colours = [[int(part) for part in re.findall(r"\d+", square.fillcolor)] for square in drawn.shapes]
    true, predicted = torch.tensor(colours).view(-1, 2, 3)[::2].unbind(dim=1)
    figure = point_plots.plot_swatches(
        [html.unescape(name.text) for name in drawn.annotations][::2],
        true=true / 255,
        predicted=predicted / 255,
        title="Unseen names: meant (left) and predicted (right)",
        n_columns=2,
    )
    return _draw(figure)


def transfer() -> bytes:
    """Chapter 05: both worlds' matrices of transfer side by side, without the numbers."""
    figures = run_figures("05_truth_probes", last="05_matrix_truth")
    both = {name: figures[f"05_matrix_{name}"].data[0] for name in ("match", "truth")}
    figure = make_subplots(1, 2, subplot_titles=[f"the {name} network" for name in both], horizontal_spacing=0.04)
    for column, drawn in enumerate(both.values(), start=1):
        figure.add_heatmap(z=drawn.z, zmin=0, zmax=1, coloraxis="coloraxis", xgap=1, ygap=1, row=1, col=column)
        for axes, names in ((figure.update_xaxes, drawn.x), (figure.update_yaxes, drawn.y)):
            axes(_halves(names), showgrid=False, row=1, col=column)
    figure.update_yaxes(autorange="reversed", title="probe fitted on", title_standoff=0, col=1)
    figure.update_yaxes(autorange="reversed", showticklabels=False, col=2)
    figure.update_xaxes(title="scored on", title_standoff=5)
    bar = {"thickness": 10, "tickvals": [0, 0.5, 1], "outlinewidth": 0}
    figure.update_layout(coloraxis={"colorscale": "RdBu", "cmin": 0, "cmax": 1, "colorbar": bar})
    figure.update_layout(template="plotly_white", title="Accuracy on other statements, in two networks")
    return _draw(figure)


def _halves(names: list[str]) -> dict:
    """Ticks that name the affirmed half of an axis and the negated one."""
    negated = [i for i, name in enumerate(names) if name.endswith(", not")]
    affirmed = [i for i in range(len(names)) if i not in negated]
    return {"tickvals": [sum(half) / len(half) for half in (affirmed, negated)], "ticktext": ["affirmed", "negated"]}


def latents() -> bytes:
    """Chapter 08: AUROC on test by the number of latents, mean over all tasks, beside a probe on the whole stream."""
    curves = {"latents of the SAE": load_tasks(), "of a random dictionary": load_tasks(by_lot=True)}
    trials = {
        name: [draw_trial(task, "standard", seed=seed) for task in tasks for seed in SEEDS]
        for name, tasks in curves.items()
    }
    found = {name: [score_family(trial, "sae_k_sparse")[1] for trial in drawn] for name, drawn in trials.items()}
    scores = [score_family(trial, "logistic") for trial in trials["latents of the SAE"]]
    dense = [float(test[validation.argmax()]) for validation, test in scores]
    figure = plots.plot_lines(
        {name: torch.stack(rows).mean(dim=0) for name, rows in found.items()},
        x=[str(k) for k in SIZES],
        x_title="latents that the probe may use",
        y_title="AUROC on test",
        y_range=(0.5, 1),
        baselines={"all of the stream": sum(dense) / len(dense), "chance": 0.5},
        title=f"Mean over {len(load_tasks())} questions and {len(SEEDS)} draws",
    )
    return _with_few_colours(_draw(figure))


def check() -> bytes:
    """JupyterLab: a wrong answer, what `check` says of it, the mended answer, and all green."""
    from tests.copies import copy_course  # the course is graded without its tests' helpers, and this module is there

    answer, asked, frames = f"# exercise: {CHECKED[1]}", f"check({CHECKED[1]})", []
    with tempfile.TemporaryDirectory() as folder:
        served = serve_lab(copy_course(Path(folder)), f"chapters/{CHECKED[0]}.ipynb")
        with open_browser() as browser, served as address:
            lab = Lab(browser.new_page(viewport=LAB_SIZE, device_scale_factor=LAB_SCALE))
            lab.open(address)
            for command in ("application:toggle-left-area", "application:toggle-mode"):
                lab.command(command)
            lab.run("# setup: ")
            lab.run("start_chapter(")
            for source, seconds in zip(wrong_and_right(), ((3, 6), (3, 4)), strict=True):
                lab.write(answer, source)
                frames.append((_shoot(lab, answer), seconds[0]))
                lab.run(answer)
                lab.run(asked)
                lab.card(asked)
                frames.append((_shoot(lab, answer), seconds[1]))
    pngs, seconds = zip(*frames, strict=True)
    return _with_few_colours(*pngs, seconds=seconds)


def wrong_and_right() -> list[str]:
    """The planted answer with the mistake, and the one without, as a learner writes them."""
    chapter, exercise = CHECKED
    (mutant,) = [m for m in read_mutants(chapter)[0] if (m.exercise, m.feedback) == (exercise, MISTAKE)]
    right = build.exercise_cells(build.load_chapter(chapter))[exercise]
    answers = [cell.splitlines() for cell in (mutant.apply(right), right)]
    return ["\n".join(line for line in answer if line.strip() not in (BEGIN, END)) for answer in answers]


def _shoot(lab: Lab, text: str) -> bytes:
    """What stands from the cell with a text downwards."""
    cell = lab.go_to(text)
    lab.page.wait_for_timeout(1000)  # until the notebook has stopped scrolling
    box = cell.bounding_box()
    return lab.page.screenshot(clip=box | {"height": SHOWN_HEIGHT}, timeout=PATIENCE)


def grading_report() -> bytes:
    """The top of an instructor's page."""
    with tempfile.TemporaryDirectory() as folder:
        _grade_class(Path(folder))
        with open_browser() as browser:
            page = browser.new_page(viewport={"width": 1000, "height": 840})
            page.goto((Path(folder) / "index.html").as_uri(), timeout=PATIENCE)
            return _with_few_colours(page.screenshot(timeout=PATIENCE))


def _grade_class(out: Path) -> None:
    """Grade a made-up class on chapter 01, every answer right, wrong or not written, and write the report.

    The wrong answers, and the right ones, are the planted ones of tests/mutants.
    """
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


def _draw(figure: go.Figure) -> bytes:
    """Draw a figure at the size of the README's columns."""
    figure.update_layout(title_font_size=15, title_y=0.97, margin={"l": 40, "r": 10, "t": 60, "b": 40})
    with open_browser() as browser:
        return draw_png(browser, figure, WIDTH, HEIGHT, SCALE)


def _with_few_colours(*pngs: bytes, seconds: Sequence[float] = ()) -> bytes:
    """A picture, or an animation of several of the same size, with one palette: a third of the bytes.

    Args:
        seconds: how long each picture of an animation is shown; it starts again after the last.
    """
    try:
        from PIL import Image
    except ImportError:
        raise SystemExit("Pillow is not installed; run `pip install pillow`") from None
    images = [Image.open(io.BytesIO(png)) for png in pngs]
    width, height = images[0].size
    sheet = Image.new("RGB", (width, height * len(images)))
    for i, image in enumerate(images):
        sheet.paste(image, (0, i * height))
    sheet = sheet.quantize(N_COLOURS, dither=Image.Dither.NONE)
    first, *others = [sheet.crop((0, i * height, width, (i + 1) * height)) for i in range(len(images))]
    options = {"save_all": True, "append_images": others, "duration": [1000 * s for s in seconds], "loop": 0}
    file = io.BytesIO()
    first.save(file, format="PNG", optimize=True, **(options if others else {}))
    return file.getvalue()


PICTURES: dict[str, Callable[[], bytes]] = {
    "readme_believed_board": believed_board,
    "readme_transfer": transfer,
    "readme_swatches": swatches,
    "readme_latents": latents,
    "readme_check": check,
    "grading_report": grading_report,
}


def main() -> None:
    """Draw the pictures that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m utils.training.gallery", description=__doc__.splitlines()[0])
    # a word for all: before 3.12 argparse holds an empty list against the choices
    names = [*PICTURES, "all"]
    parser.add_argument("names", nargs="*", choices=names, default="all", metavar="NAME", help=", ".join(names))
    names = parser.parse_args().names
    with open_browser():  # is it there? What is drawn takes minutes
        pass
    for name in PICTURES if "all" in names else names:
        save_png(name, PICTURES[name](), MAX_BYTES.get(name, render.MAX_IMAGE_BYTES))


if __name__ == "__main__":
    main()
