"""Grade submissions: one after the other, on all cores, or on a Dask cluster; resume where a run was ended.

`grade` sends one submission to this thread's warm server process (warm.py, server.py) and gives its row. `run` does
so for a batch through joblib, keeps every row in a cache as soon as it is there, and gives the report.
"""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import joblib
import psutil

from utils.course import build
from utils.grading import UsageError, integrity, sandbox
from utils.grading.cache import Done, cache_key, checks_digest, read_done, write_done
from utils.grading.cluster import backend, other_checks, refuse_chapters
from utils.grading.collect import Submission
from utils.grading.results import ExerciseRow, Report, Settings, SubmissionRow
from utils.grading.warm import ServerLost, close_servers, warm_server

CHECKS_SECONDS = 120.0  # what the checks of an exercise may take themselves
SERVER_BYTES = 2 << 30  # memory for one server and what it forks
ATTEMPTS = 2  # at an exercise during which the server was lost
CACHE = ".cache"  # folder of the rows that are done


class SandboxError(UsageError):
    """The sandbox lacks a layer, and --require-sandbox was given."""


def grade(
    submission: Submission, settings: Settings, *, on_exercise: Callable[[ExerciseRow], None] | None = None
) -> SubmissionRow:
    """Grade one submission, in this thread's server.

    Args:
        submission: as collected; one with a reason gets its row without being graded.
        on_exercise: called with every exercise as soon as it is graded.

    Raises:
        SandboxError: If settings.require_sandbox and the sandbox lacks an essential layer.
    """
    row = submission.row()
    if submission.reason:
        return row
    start, exercises = time.perf_counter(), build.load_chapter(submission.chapter).exercises
    rows, lost, left = [], 0, settings.submission_seconds
    said = {"problems": {}, "repairs": {}, "flags": {}}  # dicts as ordered sets
    while todo := list(exercises.values())[len(rows) :]:
        request = {
            "chapter": submission.chapter,
            "cells": [asdict(cell) for cell in submission.cells],
            "settings": settings.model_dump(),
            "exercises": [exercise.name for exercise in todo],
            "seconds_left": left,
        }
        server = warm_server(settings.trust)
        _require(server.layers, settings)
        try:
            server.write(request)
            for _ in todo:
                answer = server.read(settings.exercise_seconds + CHECKS_SECONDS)
                rows.append(ExerciseRow.model_validate(answer["exercise"]))
                lost, left = 0, answer["seconds_left"]
                for key, texts in said.items():
                    texts |= dict.fromkeys(answer[key])
                if on_exercise:
                    on_exercise(rows[-1])
        except ServerLost as error:  # perhaps by a value that the checks could not bear, perhaps by accident: once more
            lost += 1
            if lost == ATTEMPTS:
                rows.append(ExerciseRow.unchecked(todo[0], "died", str(error)))
                lost = 0
    chapter = build.load_chapter(submission.chapter)
    template = [cell.source for cell in chapter.cells if "solution" not in cell.tags]
    flags = [*said["flags"], *integrity.suspicious(submission.cells, template)]
    flags += integrity.copied(submission.cells, build.exercise_cells(chapter))
    update = {"problems": tuple(said["problems"]), "flags": tuple(flags), "exercises": tuple(rows)}
    notes = (*submission.notes, *said["repairs"])
    return row.model_copy(update={**update, "notes": notes, "seconds": round(time.perf_counter() - start, 3)})


def _require(layers: sandbox.Layers, settings: Settings) -> None:
    missing = [f"{name} ({layers.get(name)})" for name in sandbox.ESSENTIAL if layers.get(name) != sandbox.ACTIVE]
    if settings.require_sandbox and missing:
        cure = "grade on Linux 5.13 or newer, outside containers that forbid it, or without --require-sandbox"
        raise SandboxError(f"the sandbox is incomplete here: {'; '.join(missing)}. Cure: {cure}")


def run(
    submissions: Sequence[Submission],
    settings: Settings,
    out: Path,
    *,
    jobs: int | None = None,
    cluster: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Grade a batch. What an earlier run into the same folder has graded is taken from there.

    Args:
        out: the rows that are done are kept in a hidden folder in it.
        jobs: servers at once; as many as cores and memory allow if not given.
        cluster: address of a Dask scheduler, whose workers grade then.
        progress: called with the number of rows that are done, and of all.

    Raises:
        UsageError: If the cluster cannot be used.
        SandboxError: See `grade`.
    """
    room = psutil.virtual_memory().available // SERVER_BYTES
    jobs = max(1, min(jobs or min(joblib.cpu_count(), room), len(submissions)))
    folder = out / CACHE
    digests = {chapter: checks_digest(chapter) for chapter in {s.chapter for s in submissions if not s.reason}}
    paths = [folder / f"{cache_key(s, settings, digests.get(s.chapter, ''))}.json" for s in submissions]
    done = {index: row for index, path in enumerate(paths) if (row := read_done(path)) is not None}
    todo = [index for index in range(len(submissions)) if index not in done]
    with backend(jobs, cluster, digests):
        progress(len(done), len(submissions))
        folder.mkdir(parents=True, exist_ok=True)
        tasks = [joblib.delayed(_task)(i, submissions[i], settings, digests) for i in todo]
        for index, row in joblib.Parallel(return_as="generator_unordered", batch_size=1)(tasks):
            done[index] = row
            write_done(paths[index], row)
            progress(len(done), len(submissions))
    close_servers()
    layers: sandbox.Layers = {}
    for row in done.values():  # of several machines the weakest counts
        layers |= {
            name: said for name, said in row.layers.items() if layers.get(name, sandbox.ACTIVE) == sandbox.ACTIVE
        }
    return Report(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings,
        layers=layers,
        versions={"python": platform.python_version(), "torch": version("torch")} | digests,
        submissions=tuple(done[index].row for index in range(len(submissions))),
    )


def _task(index: int, submission: Submission, settings: Settings, digests: dict[str, str]) -> tuple[int, Done]:
    """Grade one submission, here or on another machine."""
    if not submission.reason:  # the worker may have joined the cluster a moment ago
        refuse_chapters(other_checks({submission.chapter: digests[submission.chapter]}))
    row = grade(submission, settings)
    if submission.reason:
        return index, Done(row=row, layers={})
    server = warm_server(settings.trust)
    server.rest()
    return index, Done(row=row, layers=server.layers)
