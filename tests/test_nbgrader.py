"""An instructor's nbgrader takes our notebooks as they are: it releases, grades, and gives the points that our checks give.

The nbgrader course folder stands inside the course's own folder (here build/nbgrader, which git ignores), because a
notebook's setup cell finds the course in the folders above it. nbgrader has an environment of its own and runs the
notebooks in the course's: `python -m ipykernel install --prefix FOLDER`, run by the course's Python, writes a kernel
called python3, and JUPYTER_PATH=FOLDER/share/jupyter puts it before the one that came with nbgrader.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from utils.course import build
from utils.course.check import run_checks
from utils.course.mutants import Mutant, read_mutants
from utils.course.namespace import ROOT, build_namespace, read_cells
from utils.course.student import local_student

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
NBGRADERS_STUB = ["# YOUR CODE HERE", "raise NotImplementedError()"]

# Run by nbgrader's Python: the gradebook as student -> cell -> score, maximum, whether a person must look at it.
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

# Words of the feedback on planted mistakes, which say which mistakes they are.
PARTLY_RIGHT = {
    "cache_resid_post": "Does attention_mask reach the model?",
    "pool_mean": "this is the sum",
    "fit_mass_mean_probe": "do not normalise it",
}
WRONG = {"cache_resid_post": "a list of", "pool_mean": "numpy", "fit_mass_mean_probe": "a dict"}
# A right answer that writes to stderr in every way there is; nbgrader gives no points to a cell with stderr.
NOISE = """\
    import logging, os, sys, warnings
    warnings.warn("a warning")
    print("a line", file=sys.stderr)
    logging.getLogger("learner").error("an error that is none")
    os.write(2, b"a line from below Python")
"""
SUBMISSIONS = ("right", "partly_right", "wrong", "untouched", "noisy")


@dataclass(frozen=True)
class Classroom:
    """An nbgrader course folder inside a copy of the course."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str | Path) -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=PATIENCE
        )


@dataclass(frozen=True)
class Graded:
    """What `nbgrader autograde` did with all submissions."""

    log: str
    scores: dict[str, dict[str, list]]  # student -> cell -> score, maximum, needs a person
    notebooks: dict[str, nbformat.NotebookNode]  # student -> what nbgrader executed
    submitted: dict[str, Path]


@pytest.fixture(scope="module")
def classroom(tmp_path_factory: pytest.TempPathFactory) -> Classroom:
    """A fresh one, with every chapter's solution notebook as the source of an assignment."""
    if not NBGRADER.exists():
        message = f"no {NBGRADER.relative_to(ROOT)}; `.ci/run` makes it"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(message)
    temporary = tmp_path_factory.mktemp("nbgrader")
    ignore = shutil.ignore_patterns(".venv*", ".git", "__pycache__", ".progress*", "build", "*.tmp")
    folder = shutil.copytree(ROOT, temporary / "course", ignore=ignore) / "build" / "nbgrader"
    for name in CHAPTERS:
        (folder / "source" / name).mkdir(parents=True)
        shutil.copy(ROOT / "solutions" / f"{name}.ipynb", folder / "source" / name)
    (folder / "nbgrader_config.py").write_text(CONFIG)
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{NBGRADER.parent}{os.pathsep}{os.environ['PATH']}",  # nbgrader calls alembic by its name
        "JUPYTER_PATH": str(temporary / "share" / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(temporary / "config"),  # nothing of the user's own settings
        "IPYTHONDIR": str(temporary / "ipython"),
    }
    classroom = Classroom(folder, environment)
    kernel = classroom.run(sys.executable, "-m", "ipykernel", "install", "--prefix", temporary, "--name", "python3")
    assert kernel.returncode == 0, kernel.stderr
    return classroom


@pytest.fixture(scope="module")
def released(classroom: Classroom) -> dict[str, subprocess.CompletedProcess]:
    """Chapter -> what `nbgrader generate_assignment` said; the notebooks stand in release/."""
    return {name: classroom.run(NBGRADER, "generate_assignment", name) for name in CHAPTERS}


def learners_notebook() -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "chapters" / f"{CHAPTER}.ipynb", as_version=4)


def is_answer(cell: nbformat.NotebookNode) -> bool:
    return cell.metadata.get("nbgrader", {}).get("solution", False)


def is_check(cell: nbformat.NotebookNode) -> bool:
    return cell.metadata.get("nbgrader", {}).get("grade", False)


def without_experiments(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The same notebook with its setup, answers and checks only, to save the minute that the experiments take."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells = [cell for n, cell in enumerate(code) if n < 2 or is_answer(cell) or is_check(cell)]
    return notebook


def planted(mistakes: dict[str, str]) -> dict[str, Mutant]:
    """The mutants whose feedback holds these words, by exercise."""
    mutants = read_mutants(CHAPTER)[0]
    return {
        exercise: next(mutant for mutant in mutants if (mutant.exercise, mutant.feedback) == (exercise, words))
        for exercise, words in mistakes.items()
    }


def submission(student: str) -> nbformat.NotebookNode:
    """A learner's notebook of ours, with answers filled in or not."""
    notebook, answers = learners_notebook(), build.exercise_cells(build.read_chapter(SOURCE))
    if student == "untouched":
        return without_experiments(notebook)
    if student == "noisy":
        answers = {name: answer.replace(f"    {build.BEGIN}\n", NOISE) for name, answer in answers.items()}
    if student in ("partly_right", "wrong"):
        mutants = planted(PARTLY_RIGHT if student == "partly_right" else WRONG)
        answers = {name: mutants[name].apply(answer) for name, answer in answers.items()}
    for cell in notebook.cells:
        if is_answer(cell):
            cell.source = answers[cell.metadata.exercise]
    return notebook if student == "right" else without_experiments(notebook)


SOURCE = ROOT / "solutions" / f"{CHAPTER}.py"


@pytest.fixture(scope="module")
def graded(classroom: Classroom, released) -> Graded:
    """All submissions, graded by one command."""
    paths = {
        student: classroom.folder / "submitted" / student / CHAPTER / f"{CHAPTER}.ipynb" for student in SUBMISSIONS
    }
    for student, path in paths.items():
        path.parent.mkdir(parents=True)
        nbformat.write(submission(student), path)
    log = classroom.run(NBGRADER, "autograde", CHAPTER).stderr
    grades = classroom.run(NBGRADER.with_name("python"), "-c", READ_GRADES, CHAPTER)
    assert grades.returncode == 0, grades.stderr
    executed = {
        student: nbformat.read(classroom.folder / path, as_version=4)
        for student in SUBMISSIONS
        if (path := Path("autograded", student, CHAPTER, f"{CHAPTER}.ipynb")) and (classroom.folder / path).exists()
    }
    return Graded(log, json.loads(grades.stdout), executed, paths)


def test_zz(graded):
    print(graded.log)
    print(json.dumps(graded.scores, indent=1))
    for s, nb in graded.notebooks.items():
        for c in nb.cells:
            if is_check(c):
                print(s, c.outputs)
        print(s, [(o.ename, o.evalue) for c in nb.cells for o in c.get("outputs", []) if o.output_type == "error"])
        print(s, [o.text[:200] for c in nb.cells for o in c.get("outputs", []) if o.get("name") == "stderr"])
