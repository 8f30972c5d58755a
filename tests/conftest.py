"""The `student` fixture: whose functions the checks call, on which side of the wire, with which seed.

pytest                          the solutions: 20 seeds in process, one across the wire
check(pool_mean) in a notebook  what was run there, handed in through config.stash
python -m utils.grading         a submission in its sandbox, handed in the same way
"""

import os
from collections.abc import Iterator
from functools import cache

import pytest
import torch

from utils.course import build
from utils.course.calls import local_student
from utils.course.cells import Cell
from utils.course.namespace import Namespace, build_namespace
from utils.course.remote import StudentServer
from utils.course.runner import STUDENT
from utils.course.student import Student

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing that is tested may need the network
N_SEEDS = 20


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "submission" not in metafunc.fixturenames:
        return
    if metafunc.config.stash.get(STUDENT, None) is not None:
        sides = [("given", metafunc.config.stash[STUDENT][1])]
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
    if side == "in process":
        return local_student(_solution(chapter), build.load_chapter(chapter).exercises)
    server, opened = servers
    if chapter not in opened:
        opened[chapter] = server.open(_cells(chapter), list(build.load_chapter(chapter).exercises))[0]
    return opened[chapter]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """A headless Chromium; where there is none, the tests are skipped, except in CI."""
    from utils.training.figures import BrowserMissingError, open_browser  # slow, and `check` reads this file

    try:
        with open_browser() as browser:
            yield browser
    except BrowserMissingError as missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(missing))


@cache
def _cells(chapter: str) -> list[Cell]:
    cells = build.load_chapter(chapter).cells
    return [Cell(cell.source, f"solution, line {cell.line}") for cell in cells if cell.kind == "code"]


@cache
def _solution(chapter: str) -> Namespace:
    namespace = build_namespace(_cells(chapter), build.load_chapter(chapter).exercises)
    assert not namespace.problems, namespace.problems
    return namespace
