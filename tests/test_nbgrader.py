"""nbgrader takes our notebooks as they are: it releases and grades them, and gives the points that our grader gives.

The nbgrader course folder stands inside the course's own folder (here build/nbgrader, which git ignores), because a
notebook's setup cell finds the course in the folders above it. nbgrader has an environment of its own and runs the
notebooks in the course's: `python -m ipykernel install --prefix FOLDER`, run by the course's Python, writes a kernel
called python3, and JUPYTER_PATH=FOLDER/share/jupyter puts it before the one that came with nbgrader.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from tests.copies import copy_course
from utils import ROOT
from utils.course import build
from utils.course.chapter import BEGIN, Chapter
from utils.course.mutants import Mutant, read_mutants
from utils.grading import run
from utils.grading.collect import collect
from utils.grading.results import Settings, SubmissionRow
from utils.grading.warm import close_servers

NBGRADER = ROOT / ".venv-nbgrader" / "bin" / "nbgrader"
CHAPTERS, CHAPTER = build.chapter_names(), "01_linear_probes"
PATIENCE = 900  # seconds, for one command of nbgrader on a busy machine

# What an instructor writes into nbgrader_config.py. Cells tagged `solution` are no part of what learners get, and a
# cell that embeds thousands of words takes longer than nbgrader's 30 seconds on a small machine.
CONFIG = f"""
from nbconvert.preprocessors import TagRemovePreprocessor
from nbgrader.converters import GenerateAssignment

c = get_config()
c.GenerateAssignment.preprocessors = [TagRemovePreprocessor, *GenerateAssignment.preprocessors.default()]
c.TagRemovePreprocessor.enabled = True
c.TagRemovePreprocessor.remove_cell_tags = {{"solution"}}
c.Execute.timeout = {PATIENCE}
"""
NBGRADERS_STUB = r"\1# YOUR CODE HERE\n\1raise NotImplementedError()"

# These two are run by nbgrader's Python. The gradebook: student -> cell -> score, maximum, whether a person must look,
READ_GRADES = """
import json, sys
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as gradebook:
    print(json.dumps({
        submission.student.id: {
            grade.name: [grade.score, grade.max_score, grade.needs_manual_grade]
            for notebook in submission.notebooks for grade in notebook.grades
        }
        for submission in gradebook.assignment_submissions(sys.argv[1])
    }))
"""
# and the checksums of a notebook as nbgrader computes them: cell -> checksum.
READ_CHECKSUMS = """
import json, sys
import nbformat
from nbgrader.utils import compute_checksum
cells = [cell for cell in nbformat.read(sys.argv[1], as_version=4).cells if "nbgrader" in cell.metadata]
print(json.dumps({cell.metadata.nbgrader.grade_id: compute_checksum(cell) for cell in cells}))
"""

# The planted mistakes of two learners, each named by the words of its feedback.
MISTAKES = {
    "partly right": {
        "cache_resid_post": "Does `attention_mask` reach the model?",
        "pool_mean": "this is the sum",
        "fit_mass_mean_probe": "do not normalise it",
        "fit_ridge_probe": "twice l2 arrived",
        "score_by_layer": "does l2 reach fit_ridge_probe?",
        "choose_layer": "the number of a row",
        "roc_auc": "no threshold is involved",
        "logistic_regression_loss": "The factor 1/2 is missing",
        "fit_logistic_regression_probe": "l2 has no effect",
    },
    "wrong": {
        "cache_resid_post": "a list of",
        "pool_mean": "numpy",
        "fit_mass_mean_probe": "a dict",
        "fit_ridge_probe": "The bias is 0",
        "score_by_layer": "a list of 3",
        "choose_layer": "a str, expected two things",
        "roc_auc": "a str",
        "logistic_regression_loss": "This is the sum over the examples",
        "fit_logistic_regression_probe": "a tuple of 2",
    },
}
# The first lines of right answers that write to stderr in every way there is.
NOISE = """\
    import logging, os, sys, warnings
    warnings.warn("a warning")
    print("a line", file=sys.stderr)
    logging.getLogger("transformers").error("a line that a library logs")
    os.write(2, b"a line from below Python\\n")
"""
LEARNERS = ("right", "partly right", "wrong", "untouched", "noisy")
WHOLE = ("right", "untouched")  # these hand in the whole notebook, the others the cells that count


@dataclass(frozen=True)
class Classroom:
    """An nbgrader course folder, inside a copy of the course."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str | Path) -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=PATIENCE
        )

    def read(self, script: str, argument: str | Path) -> dict:
        """What a script prints as JSON, run by nbgrader's Python."""
        result = self.run(NBGRADER.with_name("python"), "-c", script, argument)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def notebook(self, step: str, learner: str) -> Path:
        return self.folder / step / student(learner) / CHAPTER / f"{CHAPTER}.ipynb"

    def submit(self, learner: str) -> None:
        path = self.notebook("submitted", learner)
        path.parent.mkdir(parents=True)
        nbformat.write(hand_in(learner), path)


def set_up_classroom(temporary: Path) -> Classroom:
    """A fresh one below an empty folder, with every chapter's solution notebook as the source of an assignment."""
    folder = copy_course(temporary) / "build" / "nbgrader"
    for name in CHAPTERS:
        (folder / "source" / name).mkdir(parents=True)
        shutil.copy(ROOT / "solutions" / f"{name}.ipynb", folder / "source" / name)
    (folder / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{NBGRADER.parent}{os.pathsep}{os.environ['PATH']}",  # nbgrader finds its alembic there
        "JUPYTER_PATH": str(temporary / "share" / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(temporary / "config"),  # none of the user's own settings
        "IPYTHONDIR": str(temporary / "ipython"),
    }
    environment.pop("PYTEST_CURRENT_TEST", None)  # where it is set, a kernel does not look at what C code writes
    classroom = Classroom(folder, environment)
    kernel = classroom.run(sys.executable, "-m", "ipykernel", "install", "--prefix", temporary, "--name", "python3")
    assert kernel.returncode == 0, kernel.stderr
    return classroom


@pytest.fixture(scope="module")
def classroom(tmp_path_factory: pytest.TempPathFactory) -> Classroom:
    if not NBGRADER.exists():
        message = f"there is no {NBGRADER.relative_to(ROOT)}; .ci/run makes it"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(message)
    return set_up_classroom(tmp_path_factory.mktemp("nbgrader"))


@pytest.fixture(scope="module")
def released(classroom: Classroom) -> dict[str, subprocess.CompletedProcess]:
    """Chapter -> what `nbgrader generate_assignment` said; the notebooks stand in release/."""
    return {name: classroom.run(NBGRADER, "generate_assignment", name) for name in CHAPTERS}


@pytest.fixture(scope="module")
def graded(classroom: Classroom, released) -> subprocess.CompletedProcess:
    """What `nbgrader autograde` said about all learners' notebooks; they stand in submitted/ and autograded/."""
    for learner in LEARNERS:
        classroom.submit(learner)
    return classroom.run(NBGRADER, "autograde", CHAPTER)


@pytest.fixture(scope="module")
def scores(classroom: Classroom, graded) -> dict[str, dict[str, list]]:
    """Learner -> exercise -> score, maximum, whether a person must look."""
    grades = classroom.read(READ_GRADES, CHAPTER)
    return {
        learner: {cell.removeprefix("check-"): row for cell, row in grades[student(learner)].items()}
        for learner in LEARNERS
    }


@pytest.fixture(scope="module")
def rows(classroom: Classroom, graded) -> Iterator[dict[str, SubmissionRow]]:
    """Learner -> what our grader says about the very notebook that nbgrader graded."""
    found = {submission.student: submission for submission in collect([classroom.folder / "submitted"])}
    yield {learner: run.grade(found[student(learner)], Settings()) for learner in LEARNERS}
    close_servers()


def student(learner: str) -> str:
    """The name of a learner's folder."""
    return learner.replace(" ", "_")


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def role(cell: nbformat.NotebookNode) -> str:
    """Of a cell in nbgrader's eyes: 'answer', 'check', or nothing."""
    kind = cell.metadata.get("nbgrader", {})
    return "answer" if kind.get("solution") else "check" if kind.get("grade") else ""


def chapter() -> Chapter:
    return build.load_chapter(CHAPTER)


def mistakes(learner: str) -> dict[str, Mutant]:
    """The learner's mistake in each exercise."""
    planted = {(mutant.exercise, mutant.feedback): mutant for mutant in read_mutants(CHAPTER)[0]}
    return {exercise: planted[exercise, words] for exercise, words in MISTAKES.get(learner, {}).items()}


def hand_in(learner: str) -> nbformat.NotebookNode:
    """The notebook of chapters/ with a learner's answers in it."""
    notebook, answers = read(ROOT / "chapters" / f"{CHAPTER}.ipynb"), build.exercise_cells(chapter())
    if learner == "noisy":
        answers = {name: source.replace(f"    {BEGIN}\n", NOISE) for name, source in answers.items()}
    answers |= {name: mutant.apply(answers[name]) for name, mutant in mistakes(learner).items()}
    for cell in notebook.cells:
        if role(cell) == "answer" and learner != "untouched":
            cell.source = answers[cell.metadata.exercise]
    if learner not in WHOLE:  # the experiments take longest, and are not graded
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        notebook.cells = code[:2] + [cell for cell in code[2:] if role(cell)]  # the first two are the setup
    return notebook


def complaints(log: str) -> list[str]:
    """The warnings and errors among nbgrader's own lines."""
    return [line for line in log.splitlines() if "App | WARNING]" in line or "App | ERROR]" in line]


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_release_made_from_a_solution_notebook_is_our_learners_notebook(name: str, classroom: Classroom, released):
    assert released[name].returncode == 0 and not complaints(released[name].stderr), released[name].stderr
    theirs = read(classroom.folder / "release" / name / f"{name}.ipynb").cells
    ours = read(ROOT / "chapters" / f"{name}.ipynb").cells
    assert [cell.id for cell in theirs] == [cell.id for cell in ours]
    for their, our in zip(theirs, ours, strict=True):
        if role(our) == "answer":  # nbgrader's stub has other words, and so another checksum
            our.source, n = re.subn(r"( *)raise NotImplementedError\(.+\)", NBGRADERS_STUB, our.source)
            assert n == 1
            del their.metadata.nbgrader["checksum"], our.metadata.nbgrader["checksum"]
        assert (their.cell_type, their.source) == (our.cell_type, our.source)
        assert their.metadata.get("nbgrader") == our.metadata.get("nbgrader")


@pytest.mark.parametrize("folder", ["chapters", "solutions"])
@pytest.mark.parametrize("name", CHAPTERS)
def test_nbgrader_computes_the_checksums_that_we_write(name: str, folder: str, classroom: Classroom):
    path = ROOT / folder / f"{name}.ipynb"
    cells = [cell.metadata.nbgrader for cell in read(path).cells if role(cell)]
    assert cells and {cell.grade_id: cell.checksum for cell in cells} == classroom.read(READ_CHECKSUMS, path)


def test_nbgrader_accepts_our_learners_notebooks_without_a_complaint(graded: subprocess.CompletedProcess):
    assert graded.returncode == 0 and not complaints(graded.stderr), graded.stderr


@pytest.mark.parametrize("learner", LEARNERS)
def test_nbgrader_gives_the_points_that_our_grader_gives(learner: str, scores, rows: dict[str, SubmissionRow]):
    ours = {exercise.name: [exercise.points, exercise.max_points, False] for exercise in rows[learner].exercises}
    assert scores[learner] == ours


def test_a_right_answer_gets_full_points_a_stub_none_and_a_mistake_some(scores):
    for exercise, (score, points, _) in scores["right"].items():
        assert score == points == chapter().exercises[exercise].points
        assert scores["noisy"][exercise][0] == points, "an answer loses points for what it writes to stderr"
        assert scores["untouched"][exercise][0] == 0
        assert 0 <= scores["wrong"][exercise][0] < scores["partly right"][exercise][0] < points


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_check_cell_shows_its_feedback_and_one_number(learner: str, classroom: Classroom, scores):
    """Nothing else: an error or a line on stderr would cost all points, another value would give them all."""
    checks = [cell for cell in read(classroom.notebook("autograded", learner)).cells if role(cell) == "check"]
    assert len(checks) == len(chapter().exercises)
    for cell in checks:
        name = cell.metadata.nbgrader.grade_id.removeprefix("check-")
        *lines, value = cell.outputs  # a slow machine's kernel sends the lines in more than one piece
        assert lines and {output.get("name", output.output_type) for output in lines} == {"stdout"}
        text = "".join(output.text for output in lines)
        assert (value.output_type, value.data) == ("execute_result", {"text/plain": str(scores[learner][name][0])})
        assert f"{name}: {scores[learner][name][0]:.0f} of " in text
        if learner in MISTAKES:
            assert MISTAKES[learner][name] in text


def test_the_experiments_run_with_right_answers_and_cost_nothing_without(classroom: Classroom, scores):
    def errors(learner: str) -> list[str]:
        cells = read(classroom.notebook("autograded", learner)).cells
        return [o.ename for cell in cells for o in cell.get("outputs", []) if o.output_type == "error"]

    assert errors("right") == []
    assert errors("untouched")[0] == "NotImplementedError"  # the first experiment calls a stub; grading went on


def test_grading_leaves_no_progress_behind(classroom: Classroom, scores):
    course = classroom.folder.parents[1]
    assert (course / "utils").is_dir() and not list(course.rglob(".progress*"))
