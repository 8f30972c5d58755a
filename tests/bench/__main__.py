"""Every benchmark in one table: `python -m tests.bench [--threads 2] [--n 100] [--markdown] [PART...]`.

The parts: checks notebooks activations probes boards grading. With --markdown, what is printed is the README's table,
and nothing else.

Compare the ratios: both sides run in turns, in the same process. Seconds without a peer are those of this machine, and
of whatever else runs on it. Two threads that share busy cores wait for each other: there, --threads 1 is steadier.
The exit status is 0 whatever comes out: a benchmark is not a test.
"""

import argparse
import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from math import isnan
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
HEAD = ("what", "ours", "peer", "ratio", "target", "met")
CAPTION = "ratio: peer / ours where the target is ≥, ours / peer where it is ≤"


def read_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; its `parts` are names of PARTS."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    # a word for everything: before 3.12 argparse holds an empty list against the choices
    parser.add_argument(
        "parts", nargs="*", choices=[*PARTS, "all"], default="all", help="what to measure (default: all)"
    )
    parser.add_argument("--threads", type=int, default=2, help="of torch, scikit-learn and the kernels (default 2)")
    parser.add_argument("--n", type=int, default=100, help="notebooks in the class that is graded (default 100)")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    arguments = parser.parse_args(given)
    arguments.parts = list(PARTS) if "all" in arguments.parts else arguments.parts
    return arguments


def main() -> None:
    """Measure the parts asked for, and print the table."""
    arguments = read_arguments()
    torch.set_num_threads(arguments.threads)

    console = Console(stderr=arguments.markdown)
    title = f"{_cpu()}, {os.cpu_count()} cores, threads: {arguments.threads}, torch {torch.__version__}, {date.today()}"
    found: dict[str, list[Row]] = {}
    with threadpool_limits(arguments.threads):
        for part, rows in (PARTS | {"grading": partial(grading.rows, arguments.n)}).items():
            if part not in arguments.parts:
                continue
            try:
                with console.status(f"{part}: a minute or more"):
                    found[part] = rows()
            except Exception:  # the other parts still have something to say
                console.print_exception()
                found[part] = []
    if arguments.markdown:
        print(as_markdown(title, found))
    else:
        console.print(_as_table(title, found))


def as_markdown(title: str, found: Mapping[str, Sequence[Row]]) -> str:
    """The table as it stands in the README; a part without rows has failed."""
    lines = [HEAD, ("---", *["---:"] * (len(HEAD) - 2), "---")]
    for part, rows in found.items():
        lines += [texts(row) for row in rows] or [(f"{part}: failed", *[""] * (len(HEAD) - 1))]
    return "\n".join([f"{title}; {CAPTION}.", "", *(f"| {' | '.join(line)} |" for line in lines)])


def _as_table(title: str, found: Mapping[str, Sequence[Row]]) -> Table:
    table = Table(HEAD[0], title=title, caption=CAPTION)
    for column in HEAD[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    for part, rows in found.items():
        for row in rows:
            *others, met = texts(row)
            table.add_row(*others, f"[{'green' if row.passed else 'red'}]{met}")
        if not rows:
            table.add_row(f"[red]{part}: failed, see above")
        table.add_section()
    return table


def texts(row: Row) -> tuple[str, ...]:
    """What stands in the columns of HEAD."""
    sign, ours, met = ("≥" if row.at_least else "≤"), f"{_short(row.ours)} {row.unit}", ("yes" if row.passed else "no")
    if row.ratio is None:
        return row.what, ours, "", "", f"{sign} {row.target:g} {row.unit}", met
    if isnan(row.ratio):
        return row.what, ours, "", "", f"{sign} {row.target:g}", "not measured"
    return row.what, ours, f"{_short(row.peer)} {row.unit}", _short(row.ratio), f"{sign} {row.target:g}", met


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _cpu() -> str:
    """The model of the CPU, which platform knows on few systems."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text() if cpuinfo.exists() else "")
    return found[1] if found else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
