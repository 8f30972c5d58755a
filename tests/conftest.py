"""The `student` fixture: whose functions the checks call, on which side of the wire, with which seed.

pytest                                                    the solutions: 20 seeds in process, one across the wire
pytest tests/test_01_linear_probes.py --student my.ipynb  a submitted notebook, across the wire
check(pool_mean) in a notebook                            what was run there, handed in through config.stash
"""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

from utils.course import build
from utils.course.check import STUDENT, failure_text
from utils.course.namespace import Cell, Namespace, NotebookError, build_namespace, read_cells
from utils.course.server import StudentServer
from utils.course.student import Student, local_student

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing that is tested may need the network
N_SEEDS = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--student", metavar="NOTEBOOK", help="check this notebook instead of the solutions")
    parser.addoption("--seed", type=int, default=0, help="seed of the data that a notebook is checked on (default 0)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "submission" not in metafunc.fixturenames:
        return
    if metafunc.config.stash.get(STUDENT, None) is not None:
        sides = [("given", metafunc.config.stash[STUDENT][1])]
    elif metafunc.config.getoption("--student"):
        sides = [("notebook", metafunc.config.getoption("--seed"))]
    else:
        sides = [("in process", seed) for seed in range(N_SEEDS)] + [("wire", 0)]
    metafunc.parametrize("submission", sides, indirect=True, ids=lambda side: f"{side[0]}, seed {side[1]}")


@pytest.fixture
def submission(request: pytest.FixtureRequest) -> tuple[str, int]:
    """(side, seed); see pytest_generate_tests."""
    return request.param


@pytest.fixture
def seed(submission: tuple[str, int]) -> int:
    """What the data of a check are drawn from."""
    return submission[1]


@pytest.fixture
def generator(seed: int) -> torch.Generator:
    """A generator of the check's own."""
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[StudentServer, dict[str, Student]]]:
    """The process across the wire, started when first needed and ended with the session; chapter -> its student."""
    server = StudentServer()
    opened: dict[str, Student] = {}
    yield server, opened
    server.close()


@pytest.fixture
def student(request: pytest.FixtureRequest, submission: tuple[str, int], servers) -> Student:
    """The submission that the checks call: `student.pool_mean(acts, mask)`."""
    side, chapter = submission[0], request.path.stem.removeprefix("test_")
    if side == "given":
        return request.config.stash[STUDENT][0]
    exercises = build.load_chapter(chapter).exercises
    server, opened = servers
    if side == "in process":
        return local_student(_solution(chapter), exercises)
    if chapter not in opened:
        cells = _notebook(request.config.getoption("--student")) if side == "notebook" else _cells(chapter)
        opened[chapter] = server.open(cells, list(exercises))[0]
    return opened[chapter]


@cache
def _cells(chapter: str) -> list[Cell]:
    cells = build.load_chapter(chapter).cells
    return [Cell(cell.source, f"solution, line {cell.line}") for cell in cells if cell.kind == "code"]


@cache
def _solution(chapter: str) -> Namespace:
    namespace = build_namespace(_cells(chapter), build.load_chapter(chapter).exercises)
    assert not namespace.problems, namespace.problems
    return namespace


def _notebook(path: str) -> list[Cell]:
    try:
        return read_cells(Path(path))
    except NotebookError as error:
        pytest.exit(str(error), returncode=4)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--student"):  # the points below say it all, without tracebacks
        config.option.tbstyle, config.option.reportchars = "no", ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    if (mark := item.get_closest_marker("exercise")) and call.when == "call":
        error = call.excinfo.value if call.excinfo else None
        result = (mark.args[0], mark.kwargs.get("points", 0), failure_text(error))
        report.user_properties.append(("exercise", result))
    return report


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """With --student: points and messages of every exercise."""
    reports = [r for outcome in ("passed", "failed") for r in terminalreporter.getreports(outcome) if r.when == "call"]
    results = [dict(r.user_properties)["exercise"] for r in reports if "exercise" in dict(r.user_properties)]
    if not config.getoption("--student") or not results:
        return
    terminalreporter.section("points")
    for name in dict.fromkeys(result[0] for result in results):
        mine = [result for result in results if result[0] == name]
        earned = sum(points for _, points, message in mine if not message)
        terminalreporter.line(f"{name:<32} {earned}/{sum(points for _, points, _ in mine)}")
        for message in dict.fromkeys(message for _, _, message in mine if message):
            terminalreporter.line(f"    {message}")
    earned, points = sum(p for _, p, message in results if not message), sum(p for _, p, _ in results)
    terminalreporter.line(f"{'total':<32} {earned}/{points}")
