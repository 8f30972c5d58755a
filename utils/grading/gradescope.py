"""Grading at Gradescope: the autograder zip, and what it does there.

Gradescope unpacks the zip into /autograder/source, runs setup.sh once, copies run_autograder to /autograder, and runs
that for every submission. The result is read from results/results.json, whatever else happens, so there is one from
the first second on, and a newer one after every exercise.

Format: https://gradescope-autograders.readthedocs.io/en/latest/specs/
"""

import dataclasses
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from utils import ROOT
from utils.course import build
from utils.grading import UsageError, run
from utils.grading.chapters import find_chapter
from utils.grading.collect import Submission, collect
from utils.grading.pages import card, visible
from utils.grading.report import write_whole
from utils.grading.results import ExerciseRow, Settings, SubmissionRow

UNFINISHED = "The grader did not finish; tell your instructor."
LEFT_OUT = ("__pycache__", ".ipynb_checkpoints")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the time of every file in the zip, so that the same course gives the same bytes
FILE, PROGRAM = 0o100644, 0o100755

SETUP = """\
#!/usr/bin/env bash
# Gradescope runs this once, as root, when it builds the image. Nothing is hidden: where a line fails, the build fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

supported='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
find_python() {
    local name
    for name in python3 python3.12 python3.13 python3.11; do
        if "$name" -c "$supported" 2>/dev/null; then
            echo "$name"
            return 0
        fi
    done
    return 1
}

if ! python="$(find_python)" && [ "$(id -u)" = 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    for version in 3.12 3.13 3.11; do
        apt-get install -y -q --no-install-recommends "python$version" "python$version-venv" && break
    done
fi
if ! python="$(find_python)"; then
    echo "needs Python 3.11, 3.12 or 3.13 with venv; choose a newer base image, such as Ubuntu 24.04" >&2
    exit 1
fi
"$python" -m venv .venv
pip() { .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }
if [ "$(uname -s)" = Linux ]; then # without gigabytes of CUDA libraries
    pip "$(grep '^torch==' requirements.txt)" --index-url https://download.pytorch.org/whl/cpu
fi
pip -r requirements.txt
HF_HUB_OFFLINE=1 .venv/bin/python -c "import utils.grading.gradescope"
"""

RUN = """\
#!/usr/bin/env bash
# Gradescope runs this for every submission: it reads submission/ and writes results/results.json, both beside it.
set -uo pipefail
base="$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)"
mkdir -p "$base/results"
printf '%s\\n' '{fallback}' > "$base/results/results.json"
cd "$base/source" || exit 0
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
"${{COURSE_PYTHON:-$base/source/.venv/bin/python}}" -m utils.grading gradescope --base "$base" {options} ||
    echo "the grader ended with status $?" >&2
exit 0
"""


def export(chapter: str, path: Path, *, seed: int = 0, messages: bool = True) -> None:
    """Write the autograder zip of one chapter, whole or not at all; the same course gives the same bytes.

    Args:
        chapter: such as "01_linear_probes", "01" or "1".
        seed: the data of the checks are drawn from it.
        messages: whether students see what the checks found, or only which of them passed.

    Raises:
        UsageError: If there is no such chapter, or the file cannot be written.
    """
    options = f"--chapter {find_chapter(chapter)} --seed {seed}{'' if messages else ' --no-messages'}"
    fallback = json.dumps({"score": 0, "output": UNFINISHED, "stdout_visibility": "hidden"})
    programs = {"setup.sh": SETUP, "run_autograder": RUN.format(fallback=fallback, options=options)}
    temporary = path.with_name(f".new-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in programs.items():
                _add(archive, name, text.encode(), PROGRAM)
            for file in _course():
                _add(archive, file.relative_to(ROOT).as_posix(), file.read_bytes(), FILE)
        os.replace(temporary, path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); name another file with --out") from None
    finally:
        temporary.unlink(missing_ok=True)


def _course() -> Iterator[Path]:
    """What grading needs of the course. All chapters: a notebook of another one is recognised by its exercises."""
    yield from (ROOT / name for name in ("pyproject.toml", "requirements.txt", "tests/conftest.py"))
    for name in build.chapter_names():
        yield from (ROOT / "solutions" / f"{name}.py", ROOT / "tests" / f"test_{name}.py")
    for file in sorted((ROOT / "utils").rglob("*")):
        hidden = any(part.startswith(".") or part in LEFT_OUT for part in file.relative_to(ROOT).parts)
        if file.is_file() and not hidden and file.suffix not in (".pyc", ".tmp"):
            yield file


def _add(archive: zipfile.ZipFile, name: str, content: bytes, mode: int) -> None:
    info = zipfile.ZipInfo(name, EPOCH)
    info.create_system, info.external_attr, info.compress_type = 3, mode << 16, zipfile.ZIP_DEFLATED  # 3: Unix
    archive.writestr(info, content)


def autograde(base: Path, chapter: str, settings: Settings, *, messages: bool = True) -> None:
    """Grade base/submission into base/results/results.json, which is replaced as a whole after every exercise.

    Flags are printed: Gradescope shows instructors what was printed, and nobody else.

    Args:
        base: /autograder, at Gradescope.
        messages: as for to_results.
    """
    exercises = build.load_chapter(find_chapter(chapter)).exercises
    submission = _newest(base / "submission", chapter)
    row = submission.row()
    pending = (
        {} if row.reason else {name: ExerciseRow.unchecked(exercise, "pending") for name, exercise in exercises.items()}
    )

    def write(row: SubmissionRow) -> None:
        (base / "results").mkdir(exist_ok=True)
        results = to_results(row, messages=messages)
        write_whole(base / "results" / "results.json", json.dumps(results, indent=1, ensure_ascii=False))

    def on_exercise(exercise: ExerciseRow) -> None:
        pending[exercise.name] = exercise
        write(row.model_copy(update={"exercises": tuple(pending.values())}))

    write(row.model_copy(update={"exercises": tuple(pending.values())}))
    graded = run.grade(submission, settings, on_exercise=on_exercise)
    write(graded)
    for flag in graded.flags:
        print(f"to look at: {visible(flag)}")


def _newest(folder: Path, chapter: str) -> Submission:
    """What one student handed in: of several notebooks the newest."""
    try:
        found = collect([folder], chapter)
    except UsageError:
        found = []
    if not found:
        return Submission(student="", file="", chapter=chapter, reason="Nothing to grade: hand in a notebook (.ipynb).")
    readable = [submission for submission in found if not submission.reason] or found

    def age(submission: Submission) -> tuple[float, str]:
        path = folder / submission.file
        return (path.stat().st_mtime if path.exists() else 0.0, submission.file)

    newest = max(readable, key=age)
    if len(readable) == 1:
        return newest
    note = f"{len(readable)} files were handed in; the newest, {newest.file}, counts"
    return dataclasses.replace(newest, notes=(note, *newest.notes))


def to_results(row: SubmissionRow, *, messages: bool = True) -> dict:
    """The content of results.json: a test for each exercise, without flags, which students could read.

    Args:
        messages: whether it says what the checks found, or only which of them passed.
    """
    parts = [row.reason, *row.notes, *(f"Error in {problem}" for problem in row.problems)]
    if any(exercise.kind == "pending" for exercise in row.exercises):
        parts.append(UNFINISHED)
    return {
        "score": row.points,
        "output": "\n".join(visible(part) for part in parts if part),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {"chapter": row.chapter, "sha256": row.sha256, "seconds": row.seconds},
        "tests": [_test(exercise, messages) for exercise in row.exercises],
    }


def _test(exercise: ExerciseRow, messages: bool) -> dict:
    return {
        "score": exercise.points,
        "max_score": exercise.max_points,
        "status": "passed" if exercise.points == exercise.max_points else "failed",
        "name": exercise.name,
        "number": exercise.number,
        "output": card(exercise, messages=messages)[1],
        "output_format": "text",
        "visibility": "visible",
    }
