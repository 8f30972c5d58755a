"""The command line: `python -m utils.grading run|similarity|export-gradescope`."""

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from utils.grading import UsageError
from utils.grading.results import Settings

# Each command imports what it needs: torch and jupytext take seconds, which --help should not.

PROGRAM = "python -m utils.grading"
USAGE, INTERRUPTED = 2, 130
MAX_SEED, MAX_SECONDS, MAX_MEMORY_MB = 2**31 - 1, 1e6, 1_000_000  # NumPy takes twice that seed
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(stderr=True)

Submissions = Annotated[list[Path], typer.Argument(help="notebooks, folders (one subfolder per student) or zips")]
Chapter = Annotated[str | None, typer.Option(help="such as 01; each notebook's own if not given")]
Out = Annotated[Path, typer.Option(help="folder of the report; nothing is written elsewhere")]
Seed = Annotated[int, typer.Option(min=0, max=MAX_SEED, help="the data of the checks are drawn from it")]
Messages = Annotated[bool, typer.Option("--messages/--no-messages", help="show students what the checks found")]


@app.command("run")
def run_(
    submissions: Submissions,
    chapter: Chapter = None,
    out: Out = Path("report"),
    jobs: Annotated[int | None, typer.Option(min=1, help="servers at once; as many as cores and memory allow")] = None,
    cluster: Annotated[str | None, typer.Option(metavar="ADDRESS", help="grade on a Dask cluster")] = None,
    seed: Seed = 0,
    trust: Annotated[Literal["split", "shared"], typer.Option(help="see the README")] = "split",
    require_sandbox: Annotated[bool, typer.Option(help="refuse to grade where a layer is missing")] = False,
    messages: Messages = True,
    exercise_seconds: Annotated[
        float, typer.Option(min=1, max=MAX_SECONDS, help="of submitted code, for one exercise")
    ] = 60,
    submission_seconds: Annotated[
        float, typer.Option(min=1, max=MAX_SECONDS, help="of submitted code, for one notebook")
    ] = 600,
    memory_mb: Annotated[int, typer.Option(min=64, max=MAX_MEMORY_MB, help="that submitted code may take")] = 1024,
) -> None:
    """Grade notebooks and write a report. Run it again with the same --out to go on where it was ended."""
    from utils.grading.collect import collect

    settings = Settings(
        seed=seed,
        trust=trust,
        require_sandbox=require_sandbox,
        exercise_seconds=exercise_seconds,
        submission_seconds=submission_seconds,
        memory_mb=memory_mb,
    )
    _check_folder(out, submissions)
    found = collect(submissions, chapter)
    from utils.grading import report, run  # not for a path that is wrong

    report.refuse_strangers(out)
    columns = (TextColumn("grading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console)
    task = bar.add_task("grading")
    with contextlib.ExitStack() as shown:

        def progress(done: int, total: int) -> None:
            if not bar.live.is_started:  # not before: an error may come, which has one line
                shown.enter_context(bar)
            bar.update(task, completed=done, total=total)

        graded = run.run(found, settings, out, jobs=jobs, cluster=cluster, progress=progress)
    report.write_report(graded, out, messages=messages)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(summary, "a", encoding="utf-8") as file:
            file.write(report.step_summary(graded))
    Console().print(report.terminal_table(graded))
    for layer, why in graded.layers.items():
        if why != "active":
            console.print(f"sandbox without {layer}: {why}", style="yellow", markup=False)
    _say(f"report: {out / 'index.html'}")


@app.command()
def similarity(submissions: Submissions, chapter: Chapter = None, out: Out = Path("similarity")) -> None:
    """Compare submissions with each other. Nothing is run."""
    from utils.grading.collect import collect
    from utils.grading.similarity import compare, write_similarity

    _check_folder(out, submissions)
    found = collect(submissions, chapter)
    pairs = [pair for name in sorted({s.chapter for s in found if s.chapter}) for pair in compare(found, name)]
    write_similarity(pairs, out)
    _say(f"report: {out / 'similarity.html'}")


@app.command()
def export_gradescope(
    chapter: Annotated[str, typer.Option(help="such as 01")],
    out: Annotated[Path, typer.Option(help="the zip to write")] = Path("autograder.zip"),
    seed: Seed = 0,
    messages: Messages = True,
) -> None:
    """Write the autograder zip that Gradescope takes."""
    from utils.grading import gradescope

    gradescope.export(chapter, out, seed=seed, messages=messages)
    _say(f"autograder: {out}")


@app.command(hidden=True)
def gradescope(
    base: Annotated[Path, typer.Option()],
    chapter: Annotated[str, typer.Option()],
    seed: Seed = 0,
    messages: Messages = True,
) -> None:
    """What the autograder zip calls at Gradescope."""
    from utils.grading import gradescope

    gradescope.autograde(base, chapter, Settings(seed=seed), messages=messages)


def _check_folder(out: Path, submissions: Sequence[Path]) -> None:
    """Before anything takes its time or is written: whether a report can be written there."""
    place, folders = Path(os.path.realpath(out)), [path for path in submissions if os.path.isdir(path)]
    if any(place.is_relative_to(os.path.realpath(folder)) for folder in folders):
        raise UsageError(f"--out {out} lies in a folder of submissions, and would be taken for one; name another place")
    existing = next(path for path in (place, *place.parents) if os.path.lexists(path))
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f"--out {out} cannot be a folder: {existing} is none that can be written to; name another one")


def _say(text: str, style: str | None = None) -> None:
    """One line to the terminal, however long."""
    console.print(" ".join(text.split()), style=style, markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Exit status 0 if grading ran, 2 for a command that cannot be carried out, with one line that says the cure."""
    try:
        status = app(sys.argv[1:] or ["--help"], prog_name=PROGRAM, standalone_mode=False)
    except UsageError as error:
        _say(f"error: {error}", "red")
        sys.exit(USAGE)
    except typer.TyperException as error:
        command = context.command_path if (context := getattr(error, "ctx", None)) else PROGRAM
        _say(f"error: {error.format_message().rstrip('.')}; see {command} --help", "red")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        status = INTERRUPTED
    if status == INTERRUPTED:  # as Typer returns it
        _say("interrupted; the same command goes on from here", "yellow")
    sys.exit(status)


if __name__ == "__main__":
    main()
