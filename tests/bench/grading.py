"""The grader against nbgrader and otter-grader: one honest notebook of chapter 01, and a class with hostile ones in it.

All three get the same notebook, with its experiments, and run the same checks. nbgrader runs it in a kernel, as
tests/test_nbgrader.py sets it up. So does otter: its check cells are otter's, and each calls our `check`. Ours is warm,
as it is for all but the first notebook of a class; the peers start anew for each. Where a peer is not installed, its
row says so. Each needs an environment of its own; otter's Python finds the course's packages by PYTHONPATH:

    python3 -m venv .venv-nbgrader && .venv-nbgrader/bin/pip install -r .ci/requirements-nbgrader.txt
    python3 -m venv .venv-otter && .venv-otter/bin/pip install otter-grader
"""

import json
import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import median
from textwrap import indent

import nbformat
import psutil

from tests.bench.common import Row, time_pairs
from tests.copies import copy_course
from tests.test_nbgrader import CHAPTER, NBGRADER, READ_GRADES, chapter, hand_in, role, set_up_classroom
from utils import ROOT
from utils.course.chapter import BEGIN
from utils.grading import run, warm
from utils.grading.collect import Submission, collect
from utils.grading.results import Settings

OTTER = ROOT / ".venv-otter" / "bin" / "otter"
N_RUNS = 5  # of ours, after one to warm up
MIN_RATIO = 20  # of the peers' seconds to ours
MAX_START, MAX_FORK = 30.0, 0.2  # s; the second for one exercise without its checks
MAX_SPLIT = 1.5  # split trust against shared trust
JOBS, EXERCISE_SECONDS, EVERY = 2, 5, 20  # of the class; every 20th notebook is hostile
MIN_PER_MINUTE, MAX_MEMORY = 20, 6.0  # submissions; GB of all processes together
SAMPLE_SECONDS = 1.0  # between two looks at the memory

# What the hostile part of the class hands in: code in front of a right answer and whether it costs that exercise, or
# the whole file. Of a small class, only the first ones come.
ATTACKED = "choose_layer"
ATTACKS: dict[str, tuple[str, bool] | bytes] = {
    "an endless loop": ("while True: pass", True),
    "broken JSON": b'{"cells": [',
    "the end of the process": ("import os; os._exit(0)", True),
    "30 MB of output": ("import os; print('x' * 30_000_000); os.write(1, b'x' * 30_000_000)", False),
    "a memory bomb": ("x = []\nwhile True: x.append(b'x' * (1 << 26))", True),
    "a fork bomb": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", True),
    "a child that stays": ("import os, time\nif os.fork() == 0: time.sleep(600)", False),
    "a crash": ("import ctypes; ctypes.string_at(0)", True),
    "no notebook": b"[1, 2]",
    "a loop that no signal ends": (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass",
        True,
    ),
    "not UTF-8": b"\xff\xfe" * 99,
    "an empty file": b"",
}

# What our server does for each exercise, but for the checks; prints the seconds of each time.
LAUNCH = """
import json, os, sys, tempfile, time
from pathlib import Path
from utils.course.build import load_chapter
from utils.course.cells import Cell
from utils.course.remote import StudentServer
from utils.grading import sandbox, server
from utils.grading.twin import twin

cells, seconds = [Cell(**cell) for cell in json.load(sys.stdin)], []
exercises = list(load_chapter(sys.argv[1]).exercises)
server._warm_up()
with tempfile.TemporaryDirectory() as work:
    os.chmod(work, 0o777)
    with twin(Path(work), sandbox.readable_paths(), server._serve_split) as launch:
        for _ in range(20):
            start = time.perf_counter()
            student = StudentServer(launch=lambda: launch(sandbox.Limits()))
            assert not student.open(cells, exercises)[1].problems
            student.close()
            seconds.append(time.perf_counter() - start)
print(json.dumps(seconds))
"""
OTTER_TEST = """
from otter.test_files import test_case

OK_FORMAT, name, points = False, {name!r}, {points}

@test_case(points={points})
def test(env):
    from utils.course.check import check
    assert check(env[name]) == {points}
"""


@dataclass(frozen=True)
class Cost:
    """What one run took; CPU seconds of all processes, which other programs on the machine change least."""

    seconds: float
    cpu: float


def rows(n: int = 100) -> list[Row]:
    """All comparisons, the class of `n` last. Some minutes for the peers, and a minute for about 20 of the class."""
    with tempfile.TemporaryDirectory(prefix="bench-grading-") as folder:
        submission = read(hand_in("right"), Path(folder) / "ada.ipynb")
        return [
            *start_rows(submission),
            *peer_rows(submission, Path(folder)),
            trust_row(submission),
            *class_rows(n, Path(folder) / "class"),
        ]


def full_points() -> int:
    return sum(exercise.points for exercise in chapter().exercises.values())


def read(notebook: nbformat.NotebookNode, path: Path) -> Submission:
    nbformat.write(notebook, path)
    return collect([path])[0]


def start_rows(submission: Submission) -> list[Row]:
    """What is paid once for each server, and once for each exercise."""
    start = cost(lambda: warm.Server("split").close())
    cells = json.dumps([vars(cell) for cell in submission.cells])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LAUNCH, CHAPTER]
    told = subprocess.run(command, input=cells, env=environment, capture_output=True, text=True, check=True).stdout
    return [
        Row(f"start of a grading server ({start.cpu:.1f} s of CPU)", start.seconds, MAX_START),
        Row("one exercise without its checks: fork, sandbox, definitions", median(json.loads(told)), MAX_FORK),
    ]


def peer_rows(submission: Submission, folder: Path) -> list[Row]:
    """Our seconds for one notebook beside those of each peer: on the clock, and of CPU."""
    ours, result = [], []
    run.grade(submission, Settings())
    for _ in range(N_RUNS):
        before, start = used_here(), time.perf_counter()
        assert run.grade(submission, Settings()).points == full_points()
        ours.append(Cost(time.perf_counter() - start, used_here() - before))
    clock, cpu = (median(getattr(each, kind) for each in ours) for kind in ("seconds", "cpu"))
    for name, program, measure in (("nbgrader autograde", NBGRADER, nbgrader), ("otter run", OTTER, otter)):
        what = f"one notebook of chapter 01, against {name}"
        if not program.exists():
            result.append(Row(f"{what}: there is no {program.relative_to(ROOT)}", clock, MIN_RATIO, nan, nan, True))
            continue
        place = folder / name.split()[0]
        place.mkdir()
        peer = measure(place)
        result += [
            Row(f"{what}, load {os.getloadavg()[0]:.1f}", clock, MIN_RATIO, peer.seconds, peer.seconds / clock, True),
            Row(f"{what}, CPU", cpu, MIN_RATIO, peer.cpu, peer.cpu / cpu, True),
        ]
    return result


def trust_row(submission: Submission) -> Row:
    """The price of checks in a process of their own."""
    split, shared = (lambda trust=trust: run.grade(submission, Settings(trust=trust)) for trust in ("split", "shared"))
    try:
        return time_pairs("split trust, against shared trust", split, shared, target=MAX_SPLIT, n_pairs=N_RUNS)
    finally:
        warm.close_servers()


def nbgrader(folder: Path) -> Cost:
    """`nbgrader autograde` of the same notebook."""
    classroom = set_up_classroom(folder)
    classroom.run(NBGRADER, "generate_assignment", CHAPTER)
    classroom.submit("right")
    done = cost(lambda: classroom.run(NBGRADER, "autograde", CHAPTER))
    assert sum(score for score, *_ in classroom.read(READ_GRADES, CHAPTER)["right"].values()) == full_points()
    return done


def otter(folder: Path) -> Cost:
    """`otter run` of the same notebook, with `check` of each exercise as its test.

    It works in a temporary folder, which must lie in a copy of the course, where the notebook's setup cell finds that.
    """
    course, notebook = copy_course(folder), hand_in("right")
    for cell in notebook.cells:
        if role(cell) == "check":
            cell.metadata["otter"], cell.source = {"tests": [cell.metadata.exercise]}, ""
    path, autograder, temporary = folder / "ada.ipynb", folder / "autograder.zip", course / "build"
    nbformat.write(notebook, path)
    temporary.mkdir(exist_ok=True)
    with zipfile.ZipFile(autograder, "w") as archive:
        for name, exercise in chapter().exercises.items():
            archive.writestr(f"tests/{name}.py", OTTER_TEST.format(name=name, points=exercise.points))
    environment = os.environ | {
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "JUPYTER_PATH": str(folder / "share" / "jupyter"),
        "TMPDIR": str(temporary),
        "NBGRADER_EXECUTION": "1",  # for `check`: give the points and nothing else
    }
    python = OTTER.with_name("python")
    subprocess.run(
        [python, "-m", "ipykernel", "install", "--prefix", folder, "--name", "python3"],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    command = [OTTER, "run", "-a", autograder, "-o", folder, "--no-logo", path]
    done = cost(lambda: subprocess.run(command, env=environment, check=True, capture_output=True))
    tests = json.loads((folder / "results.json").read_text())["tests"]
    assert sum(test.get("score", 0) for test in tests) == full_points(), tests
    return done


def cost(work: Callable[[], object]) -> Cost:
    """Of work in child processes that end with it."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before, start = used(), time.perf_counter()
    work()
    return Cost(time.perf_counter() - start, used() - before)


def used_here() -> float:
    """CPU seconds of this process and of all that it has started and that has not ended, with what that has started."""
    me = psutil.Process()
    own, *others = [process.cpu_times() for process in [me, *me.children(recursive=True)]]
    return own.user + own.system + sum(t.user + t.system + t.children_user + t.children_system for t in others)


# ── a class ──


def class_rows(n: int, folder: Path) -> list[Row]:
    """A class that hands in chapter 01; AssertionError if one is lost, or gets other points than it should."""
    expected = write_class(n, folder)
    settings = Settings(exercise_seconds=EXERCISE_SECONDS)
    submissions, samples, start = collect([folder]), [], time.perf_counter()
    with sampled(samples):
        report = run.run(submissions, settings, folder.parent / "report", jobs=JOBS)
    seconds, got = time.perf_counter() - start, {row.student: row for row in report.submissions}
    assert got.keys() == expected.keys(), f"lost: {expected.keys() - got.keys()}"
    for student, points in expected.items():
        assert bool(got[student].reason) == (points is None) and got[student].points == (points or 0), got[student]
    cpu = (max(cpu for cpu, _ in samples) - samples[0][0]) / n
    what = f"{n} notebooks, every {EVERY}th hostile, {JOBS} jobs, load {os.getloadavg()[0]:.1f}"
    told = f"{what}: {seconds:,.0f} s, {cpu:.1f} s of CPU each"
    return [
        Row(told, n / seconds * 60, MIN_PER_MINUTE, unit="/ min", at_least=True),
        Row(f"{what}: peak memory", max(memory for _, memory in samples) / 1e9, MAX_MEMORY, unit="GB"),
    ]


def write_class(n: int, folder: Path) -> dict[str, int | None]:
    """Write the notebooks; returns student -> the right points, None for what cannot be graded."""
    names = list(ATTACKS)
    expected: dict[str, int | None] = {}
    for index in range(n):
        name = "" if index % EVERY else names[index // EVERY % len(names)]
        student, attack = f"{index:04} {name}".strip(), ATTACKS.get(name, ("", False))
        path = folder / student / f"{CHAPTER}.ipynb"
        path.parent.mkdir(parents=True)
        if isinstance(attack, bytes):
            path.write_bytes(attack)
            expected[student] = None
            continue
        notebook = hand_in("right")
        for cell in notebook.cells:
            if role(cell) == "answer" and cell.metadata.exercise == ATTACKED:
                code = indent(f"{attack[0]}\n# {student}\n", "    ")
                cell.source = cell.source.replace(f"    {BEGIN}\n", code)
        nbformat.write(notebook, path)
        expected[student] = full_points() - chapter().exercises[ATTACKED].points * attack[1]
    return expected


@contextmanager
def sampled(samples: list[tuple[float, int]]) -> Iterator[None]:
    """Meanwhile, add what this process and all below it use, now and then: CPU seconds, and bytes of memory.

    What several processes share counts once: each is charged its part of it (PSS, which Linux has).
    """
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            memory = 0
            for process in [me, *me.children(recursive=True)]:
                with suppress(psutil.Error):  # it has ended meanwhile
                    found = process.memory_full_info()
                    memory += getattr(found, "pss", found.uss)
            with suppress(psutil.Error):
                samples.append((used_here(), memory))
            ended.wait(SAMPLE_SECONDS)

    me, thread = psutil.Process(), threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
