"""`pytest tests/test_NN_name.py --student notebook.ipynb`: the same checks on any notebook."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from utils import ROOT
from utils.course import build

CHAPTER = "01_linear_probes"


def run(notebook: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pytest", f"tests/test_{CHAPTER}.py", "--student", str(notebook), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_a_right_notebook_gets_full_points_on_another_seed():
    result = run(ROOT / "solutions" / f"{CHAPTER}.ipynb", "--seed", "7")
    exercises = build.load_chapter(CHAPTER).exercises.values()
    points = sum(exercise.points for exercise in exercises)
    assert result.returncode == 0, result.stdout
    assert f"{points}/{points}" in result.stdout.split("total")[1]


def test_a_wrong_answer_costs_its_points_and_is_explained(tmp_path: Path):
    notebook = nbformat.read(ROOT / "solutions" / f"{CHAPTER}.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("weight = mu_pos - mu_neg", "weight = mu_neg - mu_pos")
    nbformat.write(notebook, tmp_path / "wrong.ipynb")
    result = run(tmp_path / "wrong.ipynb")
    assert result.returncode == 1
    assert "It points the wrong way" in result.stdout and "Traceback" not in result.stdout
    assert "pool_mean                        4/4" in result.stdout


def test_an_untouched_notebook_gets_nothing():
    result = run(ROOT / "chapters" / f"{CHAPTER}.ipynb")
    assert "`pool_mean` is not written yet" in result.stdout
    assert result.stdout.split("total")[1].split("/")[0].strip() == "0"


@pytest.mark.parametrize(("text", "words"), [(None, "is not a file"), ("", "is empty"), ("hello", "is not JSON")])
def test_a_file_that_is_no_notebook_is_refused_with_a_reason(tmp_path: Path, text: str | None, words: str):
    path = tmp_path / "broken.ipynb"
    if text is not None:
        path.write_text(text)
    result = run(path)
    assert result.returncode != 0 and words in result.stdout + result.stderr
