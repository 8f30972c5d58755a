"""Solution notebooks in kernels of their own: how long `check` takes, and a run of everything, and how much memory.

Each notebook runs once, in a copy of the course. Every check cell is followed by copies of itself; the time that these
take is left out of the time of the run.
"""

import os
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from statistics import median

import nbformat
import torch
from nbclient import NotebookClient

from tests.bench.common import Row
from tests.copies import copy_course
from utils import ROOT
from utils.course import build

N_REPEATS = 5  # of each check
SECONDS_PER_CELL = 900  # only a hang takes longer
MAX_MEDIAN_CHECK, MAX_CHECK = 0.3, 2.0  # s
MAX_RUN, MAX_ALL_RUNS = 180.0, 900.0  # s
MAX_MEMORY = 3.0  # GB
# ru_maxrss counts in KiB, and in bytes on macOS
PEAK = """
import resource, sys
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


@dataclass(frozen=True)
class NotebookRun:
    """What one execution of a solution notebook took."""

    seconds: float  # from the start of the kernel to its end, without the repeated checks
    peak_gb: float
    checks: dict[str, list[float]]  # exercise -> seconds of every repeated call


def check_rows() -> list[Row]:
    """`check` in a warm notebook, over the exercises of all chapters."""
    runs = {name: run_notebook(name) for name in build.chapter_names()}
    calls = {f"{name[:2]} {exercise}": s for name, run in runs.items() for exercise, s in run.checks.items()}
    worst = max(calls, key=lambda exercise: max(calls[exercise]))
    return [
        Row(f"check, median of {len(calls)} exercises", median(map(median, calls.values())), MAX_MEDIAN_CHECK),
        Row(f"check, worst of {N_REPEATS * len(calls)} calls, {worst}", max(calls[worst]), MAX_CHECK),
    ]


def run_rows() -> list[Row]:
    """Seconds and peak memory of every notebook, run from top to bottom."""
    runs = {name: run_notebook(name) for name in build.chapter_names()}
    return [
        *[Row(f"run all, {name}", run.seconds, MAX_RUN) for name, run in runs.items()],
        Row(f"run all, sum of {len(runs)}", sum(run.seconds for run in runs.values()), MAX_ALL_RUNS),
        *[Row(f"peak memory, {name}", run.peak_gb, MAX_MEMORY, unit="GB") for name, run in runs.items()],
    ]


@cache
def run_notebook(name: str) -> NotebookRun:
    """Execute a chapter's solution notebook, with as many threads as torch has here; raises where a cell does."""
    notebook = nbformat.read(ROOT / "solutions" / f"{name}.ipynb", as_version=4)
    cells, repeats = [], {}
    for cell in notebook.cells:
        cells.append(cell)
        for exercise in build.CHECK.findall(cell.source) if cell.cell_type == "code" else []:
            repeats[exercise] = [nbformat.v4.new_code_cell(cell.source) for _ in range(N_REPEATS)]
            cells += repeats[exercise]
    last = nbformat.v4.new_code_cell(PEAK)
    notebook.cells = [*cells, last]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with tempfile.TemporaryDirectory() as folder:
        course = copy_course(Path(folder))  # progress is kept there
        resources = {"metadata": {"path": str(course / "solutions")}}
        start = time.perf_counter()
        NotebookClient(notebook, timeout=SECONDS_PER_CELL, resources=resources).execute(env=environment)
        seconds = time.perf_counter() - start
    checks = {exercise: [_seconds(cell) for cell in copies] for exercise, copies in repeats.items()}
    return NotebookRun(seconds - sum(map(sum, checks.values())), int(last.outputs[0].text) / 1e9, checks)


def _seconds(cell: nbformat.NotebookNode) -> float:
    """From the kernel's own clock: it got the cell, it had the answer."""
    times = cell.metadata.execution
    start, end = (datetime.fromisoformat(times[key]) for key in ("iopub.execute_input", "shell.execute_reply"))
    return (end - start).total_seconds()
