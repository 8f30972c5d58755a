"""Progress is never lost: by several notebooks at once, a killed kernel, a damaged file or a folder without rights."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
from filelock import FileLock

from utils import ROOT
from utils.course import progress
from utils.course.progress import read_progress, record_attempt

# progress.py needs neither torch nor the rest of the package, which take seconds to import
CHILD = """
import pathlib, sys
from utils.course import progress
progress.PATH = pathlib.Path(sys.argv[1]) / ".progress.json"
"""


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
    assert json.loads(path.read_text())["version"] == 1


def test_several_processes_at_once_lose_nothing(path):
    code = "for _ in range(25):\n    for name in ('f', sys.argv[2]):\n        progress.record_attempt('01', name, 1)"
    children = [child(code, path.parent, f"g{n}") for n in range(4)]
    assert [process.wait(60) for process in children] == [0] * 4
    rows = read_progress()["01"]
    assert rows["f"]["attempts"] == 100 and all(rows[f"g{n}"]["attempts"] == 25 for n in range(4))


def test_a_kill_in_the_middle_of_writing_leaves_a_whole_file(path):
    """40 kills at random moments of writing without a pause; no count goes back, nothing is left but three files."""
    seen = 0
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
        time.sleep(0.01 + 0.0007 * n)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        count = read_progress().get("01", {}).get("f", {"attempts": 0})["attempts"]
        assert count >= seen
        seen = count
    assert seen > 40 and record_attempt("01", "f", 1) in (seen + 1, seen + 2)
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
]


@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: ascii(content[:30]))
def test_a_damaged_file_is_set_aside_and_said(content, path, capsys):
    path.write_bytes(content)
    assert read_progress() == {}
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


def test_what_could_not_be_written_is_written_as_soon_as_it_can(path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *args: os.open("/dev/null/x", 0))  # NotADirectoryError
        assert [record_attempt("01", "f", 2), record_attempt("01", "f", 0)] == [1, 2]
    assert record_attempt("01", "f", 1) == 3
    assert json.loads(path.read_text())["chapters"]["01"]["f"] == {"earned": 2, "attempts": 3}
    assert record_attempt("01", "f", 1) == 4 == read_progress()["01"]["f"]["attempts"]


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
