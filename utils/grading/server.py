"""The warm process of one worker: it runs checks, and forks what runs submitted code.

It is started once, loads torch, TransformerLens and the course's models, and then grades one submission after the
other; requests and answers are lines of JSON. It has a twin that forks, for every exercise, a confined process that
runs submitted code. With `split` trust the twin leaves before any check is loaded, so that it holds no check, seed or
submission, and the checks run here. With `shared` trust it leaves later, and the checks run beside submitted code.
"""

import contextlib
import gc
import importlib
import inspect
import json
import os
import pkgutil
import resource
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path

import psutil
import torch
from torch.nn.functional import linear

import utils
from utils import ROOT, models
from utils.course import build, student
from utils.course.check import CheckResult, run_checks
from utils.course.namespace import Cell, build_namespace
from utils.course.server import StudentServer, serve
from utils.course.student import StudentError, local_student
from utils.course.wire import read_frame, write_frame
from utils.grading import integrity, sandbox
from utils.grading.results import CheckRow, ExerciseRow, Settings

MESSAGE_CHARACTERS = 2000  # of one text that submitted code may bring into results
MAX_SAID = 20  # such texts of one kind
TRUSTED_BYTES = 4 << 30  # what comparing may take, whatever came back, beyond what this process has when it is warm
CPU_SECONDS = 30  # that a confined process may take beyond its time on the clock
_LIMITS = struct.Struct("5q")  # the fields of sandbox.Limits
_PID = struct.Struct("q")


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
        if trust == "shared":
            _load_checks()
        with _twin(work, shared=trust == "shared") as launch:
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


# ── the twin: forks processes for submitted code ──


@contextlib.contextmanager
def _twin(work: Path, *, shared: bool) -> Iterator[Callable[[sandbox.Limits], "_Forked"]]:
    """Fork the twin; gives what launches a confined process from it."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            _run_twin(theirs, work, shared)
        finally:
            os._exit(0)
    theirs.close()
    try:
        yield lambda limits: _Forked(ours, pid, limits)
    finally:
        ours.close()
        os.waitpid(pid, 0)


def _run_twin(control: socket.socket, work: Path, shared: bool) -> None:
    """Fork on demand, end on demand; ends when the other side is gone, with all that it has forked."""
    sandbox.die_with_parent()
    sandbox.become_reaper()
    readable = sandbox.readable_paths()
    if shared:
        readable += [ROOT / "tests", ROOT / "pyproject.toml", ROOT / "utils"]
    gc.collect()
    gc.freeze()  # a collection in a fork would touch, and so copy, every page that holds an object
    running = 0
    while True:
        message, fds, _, _ = socket.recv_fds(control, _LIMITS.size, 2)
        status = 0
        if running:  # whatever the message is, that one is over
            status, running = sandbox.end(running), 0
            _empty(work)
        if not message:
            return
        if not fds:
            control.send(_PID.pack(status))
            continue

        def body(layers: sandbox.Layers, fds: list[int] = fds) -> None:
            ready = {"op": "ready", "layers": layers}
            _serve_shared(*fds, ready) if shared else serve(*fds, ready, prepare=_forget_answers)

        with contextlib.suppress(OSError):
            running = sandbox.fork_confined(body, work, readable, sandbox.Limits(*_LIMITS.unpack(message)), keep=fds)
        for fd in fds:
            os.close(fd)
        control.send(_PID.pack(running))


def _forget_answers(answers: list[str]) -> None:
    """Take the course's own versions of these exercises out of this process for good."""
    for module in student.ANSWER_MODULES:
        for name in answers:
            function = inspect.unwrap(getattr(module, name, None))
            if inspect.isfunction(function):
                function.__code__ = student.REFUSE.replace(co_name=name)


def _empty(folder: Path) -> None:
    """Where the work folder is not in memory, the next one finds nothing of the last one; links are not followed."""
    for path in folder.iterdir():
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() and not path.is_symlink() else path.unlink()


class _Forked:
    """A confined process, launched from the twin; see `utils.course.server.Launched`."""

    def __init__(self, control: socket.socket, twin: int, limits: sandbox.Limits):
        self._control, self._twin, self._limits = control, twin, limits
        theirs_in, self.fd_in = os.pipe()
        self.fd_out, theirs_out = os.pipe()
        socket.send_fds(control, [_LIMITS.pack(*astuple(limits))], [theirs_in, theirs_out])
        os.close(theirs_in)
        os.close(theirs_out)
        self._pid = _PID.unpack(control.recv(_PID.size))[0]

    def is_alive(self) -> bool:
        """Whether it was started; if it has ended since, its pipes say so."""
        return self._pid != 0

    def watch(self) -> None:
        """Limits hold for each process; this one is for all together."""
        processes = psutil.Process(self._twin).children(recursive=True)
        if len(processes) > 1 and sum(map(_own_memory, processes)) > self._limits.memory_bytes:
            raise MemoryError(f"its processes took more than {self._limits.memory_bytes >> 20} MB of memory together")

    def end(self, patience: float = 0.0) -> int | None:
        status = None
        if self._pid:
            deadline = time.monotonic() + patience
            while _is_running(self._pid) and time.monotonic() < deadline:
                time.sleep(0.005)
            had_ended = not _is_running(self._pid)
            self._control.send(b"\0")
            status = _PID.unpack(self._control.recv(_PID.size))[0]
            status = status if had_ended else None
        for fd in (self.fd_in, self.fd_out):
            os.close(fd)
        return status


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _own_memory(process: psutil.Process) -> int:
    """Bytes that a process shares with no other."""
    try:
        return process.memory_full_info().uss
    except psutil.Error:  # it has just ended
        return 0


def _layers(launch: Callable[[sandbox.Limits], _Forked]) -> sandbox.Layers:
    """The layers of the sandbox as a confined process finds them."""
    server = StudentServer(launch=lambda: launch(sandbox.Limits()))
    reply = server.open([], [])[1]
    server.close()
    assert not reply.problems
    return server.ready["layers"]


# ── grading ──


class Stuck(StudentError):
    """Definitions that never end: there is no use in waiting for them once more."""


def _grade(request: dict, launch: Callable[[sandbox.Limits], _Forked]) -> Iterator[dict]:
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
    server: StudentServer, chapter: build.Chapter, exercise: build.Exercise, cells: list[Cell], seed: int, said: dict
) -> list[CheckResult]:
    """The checks run here, and call functions that live in the confined process."""
    try:
        submission, namespace = server.open(cells, list(chapter.exercises))
    except StudentError as error:
        raise (Stuck(error.kind, str(error)) if error.kind == "timeout" else error) from None
    said.update(problems=namespace.problems, repairs=namespace.repairs)
    return run_checks(chapter.name, exercise.name, submission, seed=seed)


def _check_shared(
    server: StudentServer, chapter: build.Chapter, exercise: build.Exercise, cells: list[Cell], seed: int, said: dict
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


def _serve_shared(fd_in: int, fd_out: int, ready: dict) -> None:
    """In the confined process of shared trust: one exercise, checked beside the submitted code."""
    frames_in, frames_out = os.fdopen(fd_in, "rb"), os.fdopen(fd_out, "wb")
    write_frame(frames_out, ready)
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


def _row(exercise: build.Exercise, results: list[CheckResult], seconds: float) -> ExerciseRow:
    checks = tuple(CheckRow(name=r.name, points=r.points, passed=r.passed, message=_clean(r.message)) for r in results)
    kind = next((result.kind for result in results if result.kind), "")
    return ExerciseRow.of(exercise, checks, kind, round(seconds, 3))
