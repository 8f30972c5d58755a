"""What Gradescope gets: the zip, its two programs, and a results.json that is there from the first second on."""

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from utils import ROOT
from utils.course import build
from utils.grading import UsageError, gradescope
from utils.grading.results import CheckRow, ExerciseRow, Settings, SubmissionRow

CHAPTER = "01_linear_probes"
VISIBILITIES = {"visible", "hidden", "after_due_date", "after_published"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("zip") / "new" / "autograder.zip"
    gradescope.export("1", path, seed=7)
    return path


@pytest.fixture
def base(tmp_path) -> Path:
    """What /autograder is at Gradescope, with a notebook handed in."""
    (tmp_path / "submission").mkdir()
    shutil.copy(ROOT / "chapters" / f"{CHAPTER}.ipynb", tmp_path / "submission" / "mine.ipynb")
    return tmp_path


def results(base: Path) -> dict:
    return json.loads((base / "results" / "results.json").read_text(encoding="utf-8"))


def graded(name: str, *, passed: bool = True, message: str = "") -> ExerciseRow:
    checks = build.load_chapter(CHAPTER).exercises[name].checks
    rows = tuple(CheckRow(name=n, points=p, passed=passed, message=message) for n, p in checks.items())
    return ExerciseRow(
        name=name, number=build.load_chapter(CHAPTER).exercises[name].number, optional=False, checks=rows
    )


def grade(submission, settings, *, on_exercise=None) -> SubmissionRow:
    """Stands for utils.grading.run.grade: everything passes."""
    rows = tuple(graded(name) for name in build.load_chapter(CHAPTER).exercises)
    for row in () if submission.reason else rows:
        on_exercise(row)
    row = SubmissionRow(student=submission.student, file=submission.file, chapter=CHAPTER, reason=submission.reason)
    return row.model_copy(update={"exercises": () if submission.reason else rows, "notes": submission.notes})


def run(base: Path, program: Path | str, seconds: int = 60) -> subprocess.CompletedProcess:
    """Run run_autograder with another program in the place of Python."""
    environment = os.environ | {"COURSE_PYTHON": str(program)}
    return subprocess.run([base / "run_autograder"], env=environment, capture_output=True, text=True, timeout=seconds)


def unpack(archive: Path, base: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        file.extractall(base / "source")
    shutil.copy(base / "source" / "run_autograder", base)
    (base / "run_autograder").chmod(0o755)


def test_the_zip_holds_the_two_programs_and_what_grading_needs_and_nothing_else(archive):
    with zipfile.ZipFile(archive) as file:
        infos = {info.filename: info for info in file.infolist()}
    wanted = {"setup.sh", "run_autograder", "pyproject.toml", "requirements.txt", "tests/conftest.py"}
    wanted |= {f"tests/test_{CHAPTER}.py", f"solutions/{CHAPTER}.py", "utils/grading/templates/index.html"}
    assert wanted <= infos.keys()
    assert {name.split("/")[0] for name in infos} == {name.split("/")[0] for name in wanted} | {"utils"}
    assert all(stat.S_IMODE(infos[name].external_attr >> 16) == 0o755 for name in ("setup.sh", "run_autograder"))
    assert not [name for name in infos if "__pycache__" in name or "/." in name or name.endswith((".ipynb", ".pyc"))]
    assert not [
        name for name in infos if name.startswith("tests/") and not name.startswith(("tests/test_0", "tests/c"))
    ]


def test_the_same_course_gives_the_same_bytes(archive, tmp_path):
    gradescope.export(CHAPTER, tmp_path / "again.zip", seed=7)
    gradescope.export(CHAPTER, tmp_path / "other.zip", seed=8, messages=False)
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()
    with zipfile.ZipFile(tmp_path / "other.zip") as file:
        assert f"--chapter {CHAPTER} --seed 8 --no-messages ||" in file.read("run_autograder").decode()


def test_a_zip_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "autograder.zip"
    path.write_text("old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gradescope, "_add", full)
    with pytest.raises(UsageError, match="No space left on device"):
        gradescope.export(CHAPTER, path)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"autograder.zip": "old"}


def test_an_unknown_chapter_is_named(tmp_path):
    with pytest.raises(UsageError, match="99"):
        gradescope.export("99", tmp_path / "x.zip")
    assert not list(tmp_path.iterdir())


def test_both_programs_are_bash_that_parses(archive, tmp_path):
    with zipfile.ZipFile(archive) as file:
        for name in ("setup.sh", "run_autograder"):
            program = file.read(name)
            assert program.startswith(b"#!/usr/bin/env bash\n")
            subprocess.run(["bash", "-n"], input=program, check=True, timeout=60)


def test_setup_ends_loudly_where_there_is_no_python(archive, tmp_path):
    unpack(archive, tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "dirname", "env"):
        (tools / name).symlink_to(shutil.which(name))
    for name, status in [("id", 0), ("apt-get", 1)]:
        (tools / name).write_text(f"#!{shutil.which('bash')}\necho 1000\nexit {status}\n")
        (tools / name).chmod(0o755)
    command = [tools / "bash", tmp_path / "source" / "setup.sh"]
    ended = subprocess.run(command, env={"PATH": str(tools)}, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "needs Python 3.11, 3.12 or 3.13" in ended.stderr


def test_a_results_file_is_there_even_if_the_grader_cannot_start(archive, base):
    unpack(archive, base)
    ended = run(base, "/no/such/python")
    assert ended.returncode == 0
    assert "the grader ended with status 127" in ended.stderr
    assert results(base)["score"] == 0
    assert "tell your instructor" in results(base)["output"]


def test_the_grader_is_called_in_the_course_with_the_exported_settings(archive, base):
    unpack(archive, base)
    program = base / "python"
    program.write_text('#!/usr/bin/env bash\necho "$PWD $*"\n')
    program.chmod(0o755)
    wanted = f"{base}/source -m utils.grading gradescope --base {base} --chapter {CHAPTER} --seed 7"
    assert run(base, program).stdout.split() == wanted.split()


def test_the_unpacked_course_can_be_imported(archive, base):
    unpack(archive, base)
    code = (
        "import utils; from utils.course.build import *; print(utils.ROOT, len([*map(load_chapter, chapter_names())]))"
    )
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, cwd=base / "source", capture_output=True, text=True, check=True, timeout=60).stdout
    assert out.split() == [str(base / "source"), str(len(build.chapter_names()))]


def test_the_unpacked_autograder_grades_a_notebook_from_end_to_end(archive, base):
    unpack(archive, base)
    shutil.copy(ROOT / "solutions" / f"{CHAPTER}.ipynb", base / "submission" / "mine.ipynb")
    ran = run(base, sys.executable, seconds=600)
    assert ran.returncode == 0, ran.stderr
    found = results(base)
    assert found["score"] == 50 and len(found["tests"]) == len(build.load_chapter(CHAPTER).exercises)
    assert all(test["status"] == "passed" and test["score"] == test["max_score"] for test in found["tests"])
    assert sorted(os.listdir(base)) == ["results", "run_autograder", "source", "submission"]


def test_the_result_is_there_after_every_exercise(base, monkeypatch):
    scores, names = [], list(build.load_chapter(CHAPTER).exercises)

    def watched(submission, settings, *, on_exercise):
        scores.append(results(base)["score"])
        for name in names:
            on_exercise(graded(name))
            now = results(base)
            scores.append(now["score"])
            waiting = [test["name"] for test in now["tests"] if "not graded yet" in test["output"]]
            assert waiting == names[names.index(name) + 1 :]
            assert ("did not finish" in now["output"]) == bool(waiting)
        return grade(submission, settings, on_exercise=on_exercise)

    monkeypatch.setattr(gradescope.run, "grade", watched)
    gradescope.autograde(base, CHAPTER, Settings())
    assert scores[0] == 0 and scores == sorted(set(scores)) and scores[-1] == 50
    assert os.listdir(base / "results") == ["results.json"]


def test_a_grader_that_ends_half_way_leaves_what_is_graded(base, monkeypatch):
    def ends(submission, settings, *, on_exercise):
        on_exercise(graded("cache_resid_post"))
        raise RuntimeError("ended")

    monkeypatch.setattr(gradescope.run, "grade", ends)
    with pytest.raises(RuntimeError):
        gradescope.autograde(base, CHAPTER, Settings())
    assert results(base)["score"] == 6
    assert "tell your instructor" in results(base)["output"]


def test_of_several_notebooks_the_newest_counts(base, monkeypatch):
    shutil.copy(base / "submission" / "mine.ipynb", base / "submission" / "a.ipynb")
    os.utime(base / "submission" / "mine.ipynb", (1, 1))
    (base / "submission" / "notes.pdf").write_text("%PDF")
    monkeypatch.setattr(gradescope.run, "grade", grade)
    gradescope.autograde(base, CHAPTER, Settings())
    assert "a.ipynb, counts" in results(base)["output"]
    assert results(base)["score"] == 50


@pytest.mark.parametrize("content", [None, "not JSON"])
def test_what_cannot_be_graded_gets_a_reason_without_paths(base, monkeypatch, content):
    (base / "submission" / "mine.ipynb").unlink()
    if content:
        (base / "submission" / "mine.ipynb").write_text(content)
    monkeypatch.setattr(gradescope.run, "grade", grade)
    gradescope.autograde(base, CHAPTER, Settings())
    said = results(base)
    assert said["score"] == 0 and said["tests"] == []
    assert "notebook" in said["output"] and str(base) not in said["output"]


def test_flags_are_printed_for_the_instructor_and_not_in_the_results(base, monkeypatch, capsys):
    flagged = lambda *args, **kwargs: grade(*args, **kwargs).model_copy(update={"flags": ("a \x1b sign",)})  # noqa: E731
    monkeypatch.setattr(gradescope.run, "grade", flagged)
    gradescope.autograde(base, CHAPTER, Settings())
    assert capsys.readouterr().out == "to look at: a \\u001b sign\n"
    assert "sign" not in json.dumps(results(base))


def test_results_are_in_gradescopes_format():
    exercises = (graded("pool_mean"), graded("choose_layer", passed=False, message="got <b>, expected `1`"))
    row = SubmissionRow(
        student="Ada", file="x", chapter=CHAPTER, exercises=exercises, notes=("a note",), problems=("b",)
    )
    said = gradescope.to_results(row)
    assert {said["visibility"], said["stdout_visibility"]} <= VISIBILITIES and said["stdout_visibility"] == "hidden"
    assert (said["score"], said["output"], said["output_format"]) == (4, "a note\nError in b", "text")
    first, second = said["tests"]
    assert (first["name"], first["number"], first["score"], first["max_score"]) == ("pool_mean", "1.2", 4, 4)
    assert [test["status"] for test in said["tests"]] == ["passed", "failed"]
    assert all(test["output_format"] == "text" and test["visibility"] == "visible" for test in said["tests"])
    assert "✗" in second["output"] and "got <b>, expected `1`" in second["output"]
    quiet = gradescope.to_results(row, messages=False)
    assert "✗" in quiet["tests"][1]["output"] and "expected" not in quiet["tests"][1]["output"]
    assert quiet["output"] == said["output"]
