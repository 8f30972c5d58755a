"""Every planted wrong answer is caught with the words that name it; every right alternative gets full points."""

import pytest

from utils.course import build
from utils.course.calls import local_student
from utils.course.cells import Cell
from utils.course.chapter import Chapter
from utils.course.mutants import Alternative, Mutant, read_mutants
from utils.course.namespace import build_namespace
from utils.course.remote import StudentServer
from utils.course.runner import CheckResult, run_checks
from utils.course.student import Student

CHAPTERS = build.chapter_names()
SIDES = ("in process", "wire")
MIN_MUTANTS, MIN_ALTERNATIVES = 4, 2


def planted(position: int) -> list:
    """All mutants (position 0) or alternatives (1) of all chapters, as pytest parameters with readable names."""
    answers = [(name, answer) for name in CHAPTERS for answer in read_mutants(name)[position]]
    return [pytest.param(name, answer, id=f"{answer.exercise} {n}") for n, (name, answer) in enumerate(answers)]


def submit(chapter: Chapter, exercise: str, source: str, side: str, server: StudentServer) -> Student:
    """The chapter's solutions with one answer cell replaced, as a student on one side of the wire."""
    cells = [
        Cell(source if cell.exercise == exercise else cell.source, f"cell {number}")
        for number, cell in enumerate(chapter.cells, start=1)
        if cell.kind == "code"
    ]
    if side == "wire":
        return server.open(cells, list(chapter.exercises))[0]
    return local_student(build_namespace(cells, chapter.exercises), chapter.exercises)


@pytest.fixture(scope="module")
def server():
    server = StudentServer()
    yield server
    server.close()


TRIPPED: dict[tuple[str, str], set[str]] = {}  # (chapter, exercise) -> checks that some mutant failed


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("name", "mutant"), planted(0))
def test_a_wrong_answer_is_caught_and_named(name: str, mutant: Mutant, side: str, server: StudentServer):
    chapter = build.load_chapter(name)
    source = mutant.apply(build.exercise_cells(chapter)[mutant.exercise])
    results = run_checks(name, mutant.exercise, submit(chapter, mutant.exercise, source, side, server))
    failed = [result for result in results if not result.passed]
    TRIPPED.setdefault((name, mutant.exercise), set()).update(result.name for result in failed)
    assert failed, "every check passed"
    assert sum(r.earned for r in results) < sum(r.points for r in results), "it got full points"
    messages = [result.message for result in failed]
    assert any(mutant.feedback in message for message in messages), f"{mutant.feedback!r} is in none of {messages}"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("name", "other"), planted(1))
def test_a_right_answer_by_another_road_gets_full_points(
    name: str, other: Alternative, side: str, server: StudentServer
):
    chapter = build.load_chapter(name)
    student = submit(chapter, other.exercise, other.source, side, server)
    for seed in range(3):
        results: list[CheckResult] = run_checks(name, other.exercise, student, seed=seed)
        assert not [result.message for result in results if not result.passed]


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_exercise_has_enough_planted_answers(name: str):
    mutants, others = read_mutants(name)
    for exercise in build.load_chapter(name).exercises:
        assert sum(m.exercise == exercise for m in mutants) >= MIN_MUTANTS, exercise
        assert sum(a.exercise == exercise for a in others) >= MIN_ALTERNATIVES, exercise


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_check_is_tripped_by_some_mutant(name: str):
    """A check that no wrong answer fails is deleted or strengthened. Runs last, on what the tests above saw."""
    for exercise in build.load_chapter(name).exercises.values():
        tripped = TRIPPED.get((name, exercise.name))
        if tripped is None:
            pytest.skip("the mutants were not run")
        assert set(exercise.checks) <= tripped, f"{exercise.name}: no mutant trips {set(exercise.checks) - tripped}"
