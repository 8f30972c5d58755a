"""Grade submissions: one after the other, on all cores, or on a Dask cluster; resume where a run was ended.

`grade` sends one submission to this thread's warm server process (utils/grading/server.py) and gives its row. `run`
does so for a batch through joblib, keeps every row in a cache as soon as it is there, and gives the report.
"""

import atexit
import hashlib
import importlib.util
import json
import os
import platform
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import joblib
import psutil
from pydantic import BaseModel, ValidationError

from utils import ROOT
from utils.course import build
from utils.grading import UsageError, integrity, sandbox
from utils.grading.collect import Submission
from utils.grading.results import ExerciseRow, Report, Settings, SubmissionRow

START_SECONDS = 180.0  # imports and models, on a slow machine
CHECKS_SECONDS = 120.0  # what the checks of an exercise may take themselves
CLUSTER_SECONDS = 30.0  # for a scheduler to answer, and for its first worker
IDLE_SECONDS = 20.0  # after which a server ends: on a cluster, nobody else would end it
SERVER_BYTES = 2 << 30  # memory for one server and what it forks
ATTEMPTS = 2  # at an exercise during which the server was lost
CACHE = ".cache"  # folder of the rows that are done
# The kernel is asked to end the server with us before the imports, which take seconds. If we end even earlier, the
# server has another parent by then.
SERVE = """
import os, sys
from utils.grading import sandbox
sandbox.die_with_parent()
if os.getppid() == int(sys.argv[2]):
    from utils.grading import server
    server.main(sys.argv[1])
"""


class SandboxError(UsageError):
    """The sandbox lacks a layer, and --require-sandbox was given."""


class ServerLost(Exception):
    """A server process ended or fell silent."""


class Server:
    """A warm process that grades, and our ends of the pipes to it."""

    def __init__(self, trust: str):
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, lives as long as the process
        # ours to remove, since the process does not get the time to; gone already if what it forked still ends
        self._folder = tempfile.TemporaryDirectory(prefix="probing-course-", ignore_cleanup_errors=True)
        os.chmod(self._folder.name, 0o711)  # submitted code has a folder in it
        environment = {name: os.environ[name] for name in sandbox.ENVIRONMENT if name in os.environ}
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment |= {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        environment |= dict.fromkeys(("TMPDIR", "HOME"), self._folder.name)
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE, trust, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env=environment,  # nothing of the grader's that might be secret
        )
        self._buffer = b""
        self._end: threading.Timer | None = None
        self.layers: sandbox.Layers = self.read(START_SECONDS)["layers"]

    def write(self, message: dict) -> None:
        """Send a request.

        Raises:
            ServerLost: If nobody is there.
        """
        if self._end:
            self._end.cancel()
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._lost("ended") from None

    def read(self, seconds: float) -> dict:
        """Wait for one answer.

        Raises:
            ServerLost: If none comes in time.
        """
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise self._lost(f"did not answer within {seconds:.0f} s")
                chunk = os.read(self._process.stdout.fileno(), 1 << 20)
                if not chunk:
                    raise self._lost("ended")
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def _lost(self, what: str) -> ServerLost:
        self.close()
        self._errors.seek(0)
        last = self._errors.read()[-2000:].decode(errors="replace").strip().splitlines()[-1:]
        return ServerLost(f"the grading process {what}" + (f": {last[0]}" if last else ""))

    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def rest(self) -> None:
        """End the process if nothing is asked of it for a while."""
        self._end = threading.Timer(IDLE_SECONDS, self.close)
        self._end.daemon = True
        self._end.start()

    def close(self) -> None:
        """End the process; what it forked ends with it. The pipes stay open: another thread may wait at one."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


_servers: dict[tuple[int, str], Server] = {}  # (thread, trust) -> its server; ended at the latest with this process


def _here(trust: str) -> tuple[int, str]:
    return threading.get_ident(), trust


def _server(trust: str) -> Server:
    """This thread's server, started if there is none that lives: they end with the thread that started them."""
    server = _servers.get(_here(trust))
    if server is None or not server.is_alive():
        try:
            server = _servers[_here(trust)] = Server(trust)
        except ServerLost as error:
            raise UsageError(f"grading could not start: {error}. Cure: see whether `make test` passes") from None
    return server


@atexit.register
def close_servers() -> None:
    """End all servers of this process."""
    while _servers:
        _servers.popitem()[1].close()


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
        server = _server(settings.trust)
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
    paths = [folder / f"{_key(s, settings, digests.get(s.chapter, ''))}.json" for s in submissions]
    done = {index: row for index, path in enumerate(paths) if (row := _read(path)) is not None}
    todo = [index for index in range(len(submissions)) if index not in done]
    with _backend(jobs, cluster, digests):
        progress(len(done), len(submissions))
        folder.mkdir(parents=True, exist_ok=True)
        tasks = [joblib.delayed(_task)(i, submissions[i], settings, digests) for i in todo]
        for index, row in joblib.Parallel(return_as="generator_unordered", batch_size=1)(tasks):
            done[index] = row
            _write(paths[index], row)
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


class _Done(BaseModel):
    """A row, and the layers of the sandbox that it was graded in."""

    row: SubmissionRow
    layers: sandbox.Layers


def _task(index: int, submission: Submission, settings: Settings, digests: dict[str, str]) -> tuple[int, _Done]:
    """Grade one submission, here or on another machine."""
    if not submission.reason:  # the worker may have joined the cluster a moment ago
        _refuse(_other_checks({submission.chapter: digests[submission.chapter]}))
    row = grade(submission, settings)
    if submission.reason:
        return index, _Done(row=row, layers={})
    server = _server(settings.trust)
    server.rest()
    return index, _Done(row=row, layers=server.layers)


@contextmanager
def _backend(jobs: int, cluster: str | None, digests: dict[str, str]) -> Iterator[None]:
    """Where joblib runs the tasks: in threads, each with a server process, or on the cluster's workers."""
    if cluster is None:
        with joblib.parallel_config("threading", n_jobs=jobs):
            yield
        return
    if importlib.util.find_spec("distributed") is None:
        raise UsageError("--cluster needs the package distributed; run: .venv/bin/pip install distributed")
    from distributed import CancelledError, Client, KilledWorker

    try:
        client = Client(cluster, timeout=CLUSTER_SECONDS, set_as_default=False)
    except (OSError, ValueError):
        raise UsageError(f"no Dask scheduler answers at {cluster}; is it running?") from None
    with client, client.as_current():
        # before any task: one that the scheduler or a worker cannot even read would be waited for without an end
        try:
            client.run_on_scheduler(close_servers)  # any function of the course, to see whether it can be loaded there
        except Exception as error:  # comes as whatever Dask makes of it
            raise UsageError(f"the scheduler cannot load the course ({error}); start it in its folder") from None
        try:
            client.wait_for_workers(1, timeout=CLUSTER_SECONDS)
        except TimeoutError:
            raise UsageError(f"the cluster has no worker after {CLUSTER_SECONDS:.0f} s; start some") from None
        for said in client.run(_other_checks, digests, on_error="return").values():
            if isinstance(said, OSError):  # it has gone a moment ago
                continue
            if isinstance(said, Exception):
                raise UsageError(f"a worker cannot load the course ({said}); start it in its folder")
            _refuse(said)
        if sum(client.ncores().values()) == 1:  # joblib's way with one is to do the work itself
            raise UsageError("the cluster has one worker with one thread; start more, or grade without --cluster")
        try:
            with joblib.parallel_config("dask"):
                yield
        except (CancelledError, KilledWorker):
            raise UsageError("the cluster was lost on the way; the same command goes on from here") from None


def _other_checks(digests: dict[str, str]) -> list[str]:
    """The chapters whose checks are others here, or missing."""

    def here(chapter: str) -> str:
        try:
            return checks_digest(chapter)
        except OSError:
            return ""

    return [chapter for chapter, digest in digests.items() if here(chapter) != digest]


def _refuse(chapters: list[str]) -> None:
    if chapters:
        raise UsageError(f"a worker has other checks of {', '.join(chapters)}; bring the course there up to date")


@cache
def checks_digest(chapter: str) -> str:
    """A hash of everything in the course that the outcome of grading a chapter depends on."""
    digest = hashlib.sha256()
    files = [*(ROOT / "utils").rglob("*.py"), ROOT / "tests" / "conftest.py", ROOT / "tests" / f"test_{chapter}.py"]
    for path in sorted([*files, ROOT / "solutions" / f"{chapter}.py"]):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _key(submission: Submission, settings: Settings, digest: str) -> str:
    parts = [submission.student, submission.file, submission.chapter, submission.sha256, submission.reason, digest]
    parts += [*submission.notes, settings.model_dump_json(), version("torch"), platform.python_version()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _read(path: Path) -> _Done | None:
    try:
        return _Done.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):  # not there, or not ours
        return None


def _write(path: Path, done: _Done) -> None:
    """Whole or not at all."""
    if path.is_dir():  # nobody's; the row is graded again next time
        return
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(done.model_dump_json(), encoding="utf-8")
    os.replace(unfinished, path)
