"""The warm process of one worker: it runs checks, and has a twin that forks what runs submitted code.

It is started once, loads torch, TransformerLens and the course's models, and then grades one submission after the
other; requests and answers are lines of JSON. With `split` trust the twin leaves before any check is loaded, so that
it holds no check, seed or submission, and the checks run here. With `shared` trust it leaves later, and the checks run
beside submitted code.
"""

import contextlib
import importlib
import json
import os
import pkgutil
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import torch
from torch.nn.functional import linear

import utils
from utils import ROOT, models
from utils.course import build
from utils.course.borrowed import forget
from utils.course.calls import local_student
from utils.course.cells import Cell
from utils.course.chapter import Chapter, Exercise
from utils.course.namespace import build_namespace
from utils.course.remote import StudentServer
from utils.course.runner import CheckResult, run_checks
from utils.course.server import serve
from utils.course.student import StudentError
from utils.course.wire import read_frame, write_frame
from utils.grading import integrity, sandbox
from utils.grading.results import CheckRow, ExerciseRow, Settings
from utils.grading.twin import Forked, twin

MESSAGE_CHARACTERS = 2000  # of one text that submitted code may bring into results
MAX_SAID = 20  # such texts of one kind
TRUSTED_BYTES = 4 << 30  # what comparing may take, whatever came back, beyond what this process has when it is warm
CPU_SECONDS = 30  # that a confined process may take beyond its time on the clock


def main(trust: str) -> None:
    """Serve requests from standard input until it is closed; nothing but answers reaches standard output."""
    sandbox.die_with_parent()
    requests, answers = os.fdopen(os.dup(0), "r", encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the grader, and that ends this process
    work = Path(tempfile.mkdtemp(prefix="probing-course-"))
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # in a container without other users
            os.chown(work, sandbox.NOBODY, sandbox.NOBODY)
    try:
        _warm_up()
        body, readable = _serve_split, sandbox.readable_paths()
        if trust == "shared":
            body, readable = _serve_shared, [*readable, ROOT / "tests", ROOT / "pyproject.toml", ROOT / "utils"]
            _load_checks()
        with twin(work, readable, body) as launch:
            _load_checks()
            limit = psutil.Process().memory_info().vms + TRUSTED_BYTES
            with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
                resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            print(json.dumps({"layers": _layers(launch)}), file=answers, flush=True)
            for line in requests:
                for answer in _grade(json.loads(line), launch):
                    print(json.dumps(answer), file=answers, flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _warm_up() -> None:
    """Do once what every submission would wait for, and import what lies where submitted code cannot read."""
    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(utils.__path__, "utils."):
        if not module.name.startswith("utils.grading"):
            importlib.import_module(module.name)
    tokens = torch.ones(2, 8, dtype=torch.long)
    for name in models.embedded_models():
        models.load_model(name).run_with_cache(tokens, attention_mask=torch.ones_like(tokens))
    for architecture in models.MODEL_CLASSES:  # what the checks send is built anew in there
        models.random_model(architecture)
    weight = torch.zeros(2, 2, requires_grad=True)
    optimizer = torch.optim.AdamW([weight])
    linear(torch.ones(1, 2), weight).sum().backward()
    optimizer.step()


def _load_checks() -> None:
    """Parse the chapters, and run the checks of one exercise of each on nonsense: later runs are quick."""
    for name in build.chapter_names():
        run_checks(name, next(iter(build.load_chapter(name).exercises)), integrity.NONSENSE)


def _layers(launch: Callable[[sandbox.Limits], Forked]) -> sandbox.Layers:
    """The layers of the sandbox as a confined process finds them."""
    server = StudentServer(launch=lambda: launch(sandbox.Limits()))
    reply = server.open([], [])[1]
    server.close()
    assert not reply.problems
    return server.ready["layers"]


class Stuck(StudentError):
    """Definitions that never end: there is no use in waiting for them once more."""


def _grade(request: dict, launch: Callable[[sandbox.Limits], Forked]) -> Iterator[dict]:
    """Grade the exercises that a request names; one answer for each of them."""
    settings, chapter = Settings(**request["settings"]), build.load_chapter(request["chapter"])
    cells, left = [Cell(**cell) for cell in request["cells"]], request["seconds_left"]
    check, stuck = _check_shared if settings.trust == "shared" else _check_split, None
    for name in request["exercises"]:
        exercise, start = chapter.exercises[name], time.perf_counter()
        seconds = min(settings.exercise_seconds, left)
        limits = sandbox.Limits(settings.memory_mb << 20, int(seconds) + CPU_SECONDS)
        server = StudentServer(
            call_seconds=settings.exercise_seconds, seconds=seconds, launch=lambda limits=limits: launch(limits)
        )
        said: dict = {"problems": [], "repairs": [], "flags": []}
        try:
            if stuck is not None:
                raise stuck
            if left <= 0:
                message = f"not run: this notebook has used up its {settings.submission_seconds:g} s"
                raise StudentError("timeout", message)
            results = check(server, chapter, exercise, cells, settings.seed, said)
        except StudentError as error:
            stuck = error if isinstance(error, Stuck) else None
            results = [
                CheckResult(n, points, False, str(error), error.kind, 0.0) for n, points in exercise.checks.items()
            ]
        finally:
            server.close()
        left -= seconds - max(0.0, server.seconds_left)
        row = _row(exercise, results, time.perf_counter() - start)
        said = {key: [_clean(text) for text in texts[:MAX_SAID]] for key, texts in said.items()}
        yield {"exercise": row.model_dump(mode="json"), "seconds_left": left, **said}


def _check_split(
    server: StudentServer, chapter: Chapter, exercise: Exercise, cells: list[Cell], seed: int, said: dict
) -> list[CheckResult]:
    """The checks run here, and call functions that live in the confined process."""
    try:
        submission, namespace = server.open(cells, list(chapter.exercises))
    except StudentError as error:
        raise (Stuck(error.kind, str(error)) if error.kind == "timeout" else error) from None
    said.update(problems=namespace.problems, repairs=namespace.repairs)
    return run_checks(chapter.name, exercise.name, submission, seed=seed)


def _check_shared(
    server: StudentServer, chapter: Chapter, exercise: Exercise, cells: list[Cell], seed: int, said: dict
) -> list[CheckResult]:
    """The checks run in the confined process, and it says how they came out. It may lie."""
    message = {"chapter": chapter.name, "exercise": exercise.name, "seed": seed}
    reply = server.ask({**message, "cells": [vars(cell) for cell in cells]})
    if "kind" in reply:
        raise StudentError(str(reply["kind"]), str(reply["message"]))
    try:
        told = {result["name"]: result for result in reply["results"]}
        results = [
            CheckResult(
                name, points, told[name]["passed"] is True, str(told[name]["message"]), str(told[name]["kind"]), 0.0
            )
            for name, points in exercise.checks.items()
        ]
        said.update({key: [str(text) for text in reply[key]] for key in said})
    except (KeyError, TypeError) as error:
        raise StudentError(
            "died", f"its process did not say how the checks came out ({type(error).__name__})"
        ) from None
    return results


def _serve_split(fds: list[int], layers: sandbox.Layers) -> None:
    """In the confined process of split trust: functions that the checks, elsewhere, call."""
    serve(*fds, {"op": "ready", "layers": layers}, prepare=forget)


def _serve_shared(fds: list[int], layers: sandbox.Layers) -> None:
    """In the confined process of shared trust: one exercise, checked beside the submitted code."""
    frames_in, frames_out = os.fdopen(fds[0], "rb"), os.fdopen(fds[1], "wb")
    write_frame(frames_out, {"op": "ready", "layers": layers})
    message = read_frame(frames_in)
    if message.get("op") == "open":  # it was asked for its layers only
        write_frame(frames_out, {"id": message["id"]})
        return
    chapter, exercise = build.load_chapter(message["chapter"]), message["exercise"]
    before = integrity.fingerprint()
    namespace = build_namespace([Cell(**cell) for cell in message["cells"]], chapter.exercises)
    submission = local_student(namespace, chapter.exercises)
    results = run_checks(chapter.name, exercise, submission, seed=message["seed"])
    flags = integrity.changes(before) + integrity.control(chapter.name, exercise)
    told = [{"name": r.name, "passed": r.passed, "message": r.message, "kind": r.kind} for r in results]
    reply = {"results": told, "problems": namespace.problems, "repairs": namespace.repairs, "flags": flags}
    write_frame(frames_out, {**reply, "id": message["id"]})


def _clean(text: str) -> str:
    """Cut, and without halves of characters, which no file can hold."""
    return text[:MESSAGE_CHARACTERS].encode("utf-8", "backslashreplace").decode()


def _row(exercise: Exercise, results: list[CheckResult], seconds: float) -> ExerciseRow:
    checks = tuple(CheckRow(name=r.name, points=r.points, passed=r.passed, message=_clean(r.message)) for r in results)
    kind = next((result.kind for result in results if result.kind), "")
    return ExerciseRow.of(exercise, checks, kind, round(seconds, 3))
