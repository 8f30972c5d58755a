"""Every benchmark in one table: `python -m tests.bench [--threads 2] [--n 100] [PART...]`.

The parts: checks notebooks activations probes boards grading.

Compare the ratios: both sides run in turns, in the same process. Seconds without a peer are those of this machine, and
of whatever else runs on it. Two threads that share busy cores wait for each other: there, --threads 1 is steadier.
The exit status is 0 whatever comes out: a benchmark is not a test.
"""

import argparse
import os
import platform
import re
from datetime import date
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from tests.bench import activations, boards, grading, notebooks, probes
from tests.bench.common import Row

# Notebooks first: a kernel's peak memory starts at what this process holds when it starts the kernel.
PARTS = {
    "checks": notebooks.check_rows,
    "notebooks": notebooks.run_rows,
    "activations": activations.rows,
    "probes": probes.rows,
    "boards": boards.rows,
    "grading": grading.rows,
}
CAPTION = "ratio: peer / ours where the target is ≥, ours / peer where it is ≤"


def main() -> None:
    """Measure the parts asked for, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=PARTS, help="what to measure (default: everything)")
    parser.add_argument("--threads", type=int, default=2, help="of torch, scikit-learn and the kernels (default 2)")
    parser.add_argument("--n", type=int, default=100, help="notebooks in the class that is graded (default 100)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    console = Console()
    title = f"{_cpu()}, {os.cpu_count()} cores, threads: {arguments.threads}, torch {torch.__version__}, {date.today()}"
    table = Table("what", title=title, caption=CAPTION)
    for column in ("ours", "peer", "ratio", "target"):
        table.add_column(column, justify="right", no_wrap=True)
    with threadpool_limits(arguments.threads):
        for part, rows in (PARTS | {"grading": partial(grading.rows, arguments.n)}).items():
            if arguments.parts and part not in arguments.parts:
                continue
            try:
                with console.status(f"{part}: a minute or more"):
                    for row in rows():
                        table.add_row(*_texts(row))
            except Exception:  # the other parts still have something to say
                console.print_exception()
                table.add_row(f"[red]{part}: failed, see above")
            table.add_section()
    console.print(table)


def _texts(row: Row) -> list[str]:
    colour, sign = ("green" if row.passed else "red"), ("≥" if row.at_least else "≤")
    if row.ratio is None:
        target = f"{sign} {row.target:g} {row.unit}"
        return [row.what, f"[{colour}]{_short(row.ours)} {row.unit}", "", "", target]
    figures = [f"{_short(value)} {row.unit}" for value in (row.ours, row.peer)]
    return [row.what, *figures, f"[{colour}]{_short(row.ratio)}", f"{sign} {row.target:g}"]


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _cpu() -> str:
    """The model of the CPU, which platform knows on few systems."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text() if cpuinfo.exists() else "")
    return found[1] if found else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
