"""Progress is never lost: by several notebooks at once, a killed kernel, a damaged file or a folder without rights."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest
from filelock import FileLock

from utils import ROOT
from utils.course import progress
from utils.course.progress import (
    Prediction,
    merge_progress,
    progress_text,
    read_predictions,
    read_progress,
    record_attempt,
    record_outcome,
    record_prediction,
)

# progress.py needs neither torch nor the rest of the package, which take seconds to import
CHILD = """
import pathlib, sys
from utils.course import progress
progress.PATH = pathlib.Path(sys.argv[1]) / ".progress.json"
"""


ASKED = Prediction("Which is highest?", ("embed", "layer 2"))
SAID = replace(ASKED, choice="embed", confidence=0.7)


@pytest.fixture(autouse=True)
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "PATH", tmp_path / ".progress.json")
    monkeypatch.setattr(progress, "_unsaved", {})
    return tmp_path / ".progress.json"


def child(code: str, folder, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + code, str(folder), *arguments], stdout=subprocess.PIPE, cwd=ROOT
    )


def test_attempts_are_counted_and_the_best_points_kept(path):
    assert read_progress() == {}
    assert [record_attempt("01", "f", earned) for earned in (1, 3, 2)] == [1, 2, 3]
    assert record_attempt("01", "g", 0) == record_attempt("02", "f", 1) == 1
    assert read_progress()["01"] == {"f": {"earned": 3, "attempts": 3}, "g": {"earned": 0, "attempts": 1}}
    assert json.loads(path.read_text())["version"] == 2


def test_several_processes_at_once_lose_nothing(path):
    code = "for i in range(25):\n    for name in ('f', sys.argv[2]):\n        progress.record_attempt('01', name, 1)\n"
    code += "    said = progress.Prediction('Which?', ('a', 'b'), 'a', 0.5)\n"
    code += "    progress.record_prediction('01', f'{sys.argv[2]} {i}', said)"
    children = [child(code, path.parent, f"g{n}") for n in range(4)]
    assert [process.wait(60) for process in children] == [0] * 4
    rows = read_progress()["01"]
    assert rows["f"]["attempts"] == 100 and all(rows[f"g{n}"]["attempts"] == 25 for n in range(4))
    assert len(read_predictions()["01"]) == 100


def test_a_prediction_can_be_changed_until_its_outcome_is_there(path):
    assert read_predictions() == {}
    for said in (SAID, replace(SAID, choice="layer 2", confidence=0.9)):
        assert record_prediction("01", "best", said) == said == read_predictions()["01"]["best"]
    settled = record_outcome("01", "best", ASKED, "layer 2")
    assert settled == replace(said, outcome="layer 2")
    assert record_prediction("01", "best", SAID) == settled == read_predictions()["01"]["best"]


def test_the_first_outcome_stays_for_ever(path):
    record_prediction("01", "best", SAID)
    settled = record_outcome("01", "best", ASKED, "layer 2")
    assert record_outcome("01", "best", ASKED, "embed") == settled == read_predictions()["01"]["best"]


def test_an_outcome_without_a_prediction_shuts_the_door(path):
    settled = record_outcome("01", "best", ASKED, "embed")
    assert settled == replace(ASKED, outcome="embed")
    assert record_prediction("01", "best", SAID) == settled


def test_what_was_said_to_another_question_of_that_name_does_not_count(path):
    record_prediction("01", "best", replace(SAID, question="Which is lowest?"))
    assert record_outcome("01", "best", ASKED, "embed") == replace(ASKED, outcome="embed")


def test_of_two_processes_that_settle_at_once_one_outcome_is_kept(path):
    record_prediction("01", "best", SAID)
    code = "asked = progress.Prediction('Which is highest?', ('embed', 'layer 2'))\n"
    code += "print(progress.record_outcome('01', 'best', asked, sys.argv[2]).outcome)"
    children = [child(code, path.parent, outcome) for outcome in ("embed", "layer 2") * 2]
    kept = {process.communicate(timeout=60)[0].decode().strip() for process in children}
    assert kept == {read_predictions()["01"]["best"].outcome} <= {"embed", "layer 2"}


def test_a_file_of_version_1_is_read_and_keeps_its_points(path):
    rows = {"f": {"earned": 2, "attempts": 3}}
    path.write_text(json.dumps({"version": 1, "chapters": {"01": rows}}))
    assert read_predictions() == {} and read_progress() == {"01": rows}
    record_prediction("01", "best", SAID)
    assert read_progress() == {"01": rows} and read_predictions() == {"01": {"best": SAID}}
    assert json.loads(path.read_text())["version"] == 2


def test_any_text_survives_the_file(path):
    odd = 'R² = ½ \u202e\x00"\\\n🧪 </script> {0} \ud800'
    said = Prediction(odd, (odd, "b"), odd, 0.5)
    record_prediction(odd, odd, said)
    assert read_predictions() == {odd: {odd: said}}


def test_a_kill_in_the_middle_of_writing_leaves_a_whole_file(path):
    """40 kills at all moments of writing without a pause; no count goes back, nothing is left but three files."""
    seen = 0

    def count() -> int:
        return read_progress().get("01", {}).get("f", {"attempts": 0})["attempts"]

    loop = "print(flush=True)\nwhile True:\n    progress.record_attempt('01', 'f' * 50, 1)"
    context = multiprocessing.get_context("fork")

    def write():
        while True:
            record_attempt("01", "f", 1)

    first = child(loop, path.parent)  # a process of its own, once
    first.stdout.readline()
    time.sleep(0.05)
    first.kill()
    first.wait()
    for n in range(40):  # and forks, which start at once
        process = context.Process(target=write)
        process.start()
        start = time.perf_counter()
        while count() == seen and time.perf_counter() - start < 60:  # until it writes, however busy the machine
            time.sleep(0.001)
        time.sleep(0.0007 * n)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert count() > seen
        seen = count()
    assert record_attempt("01", "f", 1) in (seen + 1, seen + 2)
    assert {p.name for p in path.parent.iterdir()} <= {".progress.json", ".progress.lock", ".progress.tmp"}


DAMAGED = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"{}",
    b'{"chapters": 5}',
    b'{"chapters": {"01": []}}',
    b'{"chapters": {"01": {"f": 3}}}',
    b'{"chapters": {"01": {"f": {"earned": "x"}}}}',
    b'{"chapters": {"01": {"f": {"earned": null}}}}',
    b'{"chapters": {"01": {"f": {"earned": 1e999}}}}',
    b'{"chapters": {"01": {"f": {"earned": [1]}}}}',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"chapters": {}, "predictions": []}',
    b'{"chapters": {}, "predictions": {"01": {"best": 3}}}',
]
ROW = {"question": "Which?", "options": ["a", "b"], "choice": "a", "confidence": 0.7, "outcome": None}
for damage in [
    {"choice": "c"},
    {"choice": None},
    {"choice": 1, "options": [1, 2]},
    {"confidence": None},
    {"confidence": "0.7"},
    {"confidence": 1.5},
    {"confidence": float("nan")},
    {"outcome": 3},
    {"options": None},
    {"question": None},
]:
    DAMAGED.append(json.dumps({"chapters": {}, "predictions": {"01": {"best": ROW | damage}}}).encode())


@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: ascii(content[-70:]))
def test_a_damaged_file_is_set_aside_and_said(content, path, capsys):
    path.write_bytes(content)
    assert read_progress() == read_predictions() == {}
    assert "it is kept as .progress.damaged.json" in capsys.readouterr().err
    assert (path.parent / ".progress.damaged.json").read_bytes() == content
    assert record_attempt("01", "f", 1) == 1
    assert capsys.readouterr().err == ""


def test_recording_sets_a_damaged_file_aside_as_well(path, capsys):
    path.write_bytes(b"{")
    assert record_attempt("01", "f", 1) == 1
    assert "kept as" in capsys.readouterr().err and read_progress()["01"]["f"]["attempts"] == 1


def test_what_somebody_repaired_meanwhile_is_not_set_aside(path, monkeypatch):
    """Between finding the damage and having the lock, another notebook wrote a good file."""
    path.write_bytes(b"{")
    lock = progress._lock

    def repaired():
        path.write_text('{"chapters": {"01": {"f": {"earned": 1, "attempts": 1}}}}')
        return lock()

    monkeypatch.setattr(progress, "_lock", repaired)
    assert read_progress()["01"]["f"]["attempts"] == 1
    assert not (path.parent / ".progress.damaged.json").exists()


def test_missing_keys_count_as_zero_and_unknown_ones_are_ignored(path):
    path.write_text('{"chapters": {"01": {"f": {"earned": 2}, "g": {"more": 1}}}, "later": 1}')
    assert read_progress()["01"] == {"f": {"earned": 2, "attempts": 0}, "g": {"earned": 0, "attempts": 0}}
    assert record_attempt("01", "f", 1) == 1


@pytest.mark.parametrize(
    "obstacle", ["no rights", "a file for a folder", "a folder for a file", "no locks", "disk full"]
)
def test_where_nothing_can_be_written_attempts_are_counted_and_it_is_said_once(obstacle, path, capsys, monkeypatch):
    record_attempt("01", "f", 2)

    def refuse(error):
        def raising(*args, **kwargs):
            raise error

        return raising

    if obstacle == "no rights":  # tests may run as root, whom chmod does not stop
        monkeypatch.setattr(progress, "_lock", refuse(PermissionError(13, "Permission denied", ".progress.lock")))
    elif obstacle == "no locks":
        monkeypatch.setattr(
            progress, "_lock", refuse(NotImplementedError("FileSystem does not appear to support flock"))
        )
    elif obstacle == "disk full":
        monkeypatch.setattr(os, "fsync", refuse(OSError(28, "No space left on device")))
    elif obstacle == "a file for a folder":
        monkeypatch.setattr(progress, "PATH", path / ".progress.json")
    else:
        path.unlink()
        path.mkdir()
    before = 0 if obstacle.startswith("a f") else 1
    assert [record_attempt("01", "f", n) for n in (1, 3)] == [before + 1, before + 2]
    error = capsys.readouterr().err
    assert error.count("progress is not saved") == 1 and error.count("\n") == 1
    assert read_progress()["01"]["f"] == {"earned": 3, "attempts": before + 2}
    record_prediction("01", "best", SAID)
    settled = record_outcome("01", "best", ASKED, "embed")
    assert record_prediction("01", "best", ASKED) == settled == replace(SAID, outcome="embed")
    assert read_predictions()["01"]["best"] == settled and capsys.readouterr().err == ""


def test_what_could_not_be_written_is_written_as_soon_as_it_can(path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *args: os.open("/dev/null/x", 0))  # NotADirectoryError
        assert [record_attempt("01", "f", 2), record_attempt("01", "f", 0)] == [1, 2]
    assert record_attempt("01", "f", 1) == 3
    assert json.loads(path.read_text())["chapters"]["01"]["f"] == {"earned": 2, "attempts": 3}
    assert record_attempt("01", "f", 1) == 4 == read_progress()["01"]["f"]["attempts"]


def test_an_outcome_in_the_file_comes_before_a_prediction_that_could_not_be_written(path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *args: os.open("/dev/null/x", 0))
        record_prediction("01", "best", SAID)
        record_prediction("01", "other", SAID)
    settled = {"question": ASKED.question, "options": ASKED.options, "choice": None, "confidence": None}
    content = {"chapters": {}, "predictions": {"01": {"best": settled | {"outcome": "embed"}}}}
    path.write_text(json.dumps(content))  # by another notebook
    record_attempt("01", "f", 1)
    assert read_predictions()["01"] == {"best": replace(ASKED, outcome="embed"), "other": SAID}


def test_saved_progress_is_merged_and_twice_is_as_good_as_once(path):
    """Points and attempts by the better, exercise by exercise."""
    for exercise, points in (("f", 1), ("f", 3), ("g", 2)):
        record_attempt("01", exercise, points)
    saved = progress_text()
    path.unlink()
    for exercise, points in (("f", 2), ("g", 0), ("g", 4), ("h", 1)):
        record_attempt("01", exercise, points)
    for _ in range(2):
        merge_progress(saved)
        assert read_progress()["01"] == {
            "f": {"earned": 3, "attempts": 2},
            "g": {"earned": 4, "attempts": 2},
            "h": {"earned": 1, "attempts": 1},
        }


SETTLED = replace(SAID, outcome="layer 2")
LATER = replace(SAID, choice="layer 2", confidence=0.9)


@pytest.mark.parametrize(
    ("earlier", "later", "kept"),
    [
        (SAID, None, SAID),
        (None, SAID, SAID),
        (SAID, LATER, LATER),
        (SETTLED, LATER, SETTLED),
        (SETTLED, replace(LATER, outcome="embed"), SETTLED),
        (SAID, replace(ASKED, outcome="layer 2"), SETTLED),
        (replace(ASKED, outcome="layer 2"), LATER, replace(ASKED, outcome="layer 2")),
        (replace(ASKED, outcome="layer 2"), SETTLED, SETTLED),
        (SAID, replace(ASKED, question="Which is lowest?", outcome="embed"), None),
    ],
)
def test_of_a_prediction_in_two_files_that_is_kept_which_one_machine_would_have_kept(earlier, later, kept, path):
    rows = {"01": {"best": earlier}} if earlier else {}
    saved = json.dumps({"chapters": {}, "predictions": rows}, default=asdict)
    if later is not None:
        record_prediction("01", "best", later)
    merge_progress(saved)
    assert read_predictions() == {"01": {"best": kept or later}}


@pytest.mark.parametrize(
    "text", ["", "[1]", "{}", '{"chapters": 3}', "[" * 9999, '{"chapters": {"01": {"f": {"earned": "many"}}}}']
)
def test_a_damaged_file_is_refused_and_changes_nothing(text, path):
    record_attempt("01", "f", 2)
    before = path.read_bytes()
    with pytest.raises(ValueError):
        merge_progress(text)
    assert path.read_bytes() == before and sorted(path.parent.glob("*damaged*")) == []


def test_a_lock_file_that_a_killed_kernel_left_is_no_obstacle(path):
    path.with_suffix(".lock").write_text("")
    start = time.perf_counter()
    assert record_attempt("01", "f", 1) == 1
    assert time.perf_counter() - start < 1


def test_a_kernel_that_hangs_with_the_lock_costs_seconds_and_not_for_ever(path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LOCK_SECONDS", 0.2)
    with FileLock(path.with_suffix(".lock")):
        start = time.perf_counter()
        assert record_attempt("01", "f", 1) == 1
        assert time.perf_counter() - start < 2
    assert "progress is not saved" in capsys.readouterr().err
