"""What a learner has done so far, in .progress.json at the course's root.

Written atomically under a lock, so that a killed kernel, or two notebooks at once, lose nothing. Where the folder
cannot be written, progress lasts as long as the kernel, and that is said once.
"""

import json
import os
import sys
from contextlib import suppress

from filelock import FileLock

from utils import ROOT

PATH = ROOT / ".progress.json"
LOCK_SECONDS = 5.0  # a write takes hundredths of a second; whoever holds the lock longer hangs
Progress = dict[str, dict[str, dict[str, int]]]
_unsaved: Progress = {}  # what could not be written


def read_progress() -> Progress:
    """Chapter -> exercise -> {'earned': best points so far, 'attempts': checks of written code}.

    A damaged file is set aside under another name, which is said, and counts as empty.
    """
    if _unsaved:
        return _unsaved
    try:
        return _read()
    except ValueError:
        with suppress(*_CANNOT_WRITE), _lock():
            return _read_or_set_aside()
    except OSError:
        pass
    return {}


def record_attempt(chapter: str, exercise: str, earned: int) -> int:
    """Count one attempt and keep the best points; returns the number of attempts so far."""
    try:
        with _lock():
            chapters = _read_or_set_aside()
            for unsaved, rows in _unsaved.items():
                chapters[unsaved] = chapters.get(unsaved, {}) | {name: dict(row) for name, row in rows.items()}
            attempts = _count(chapters, chapter, exercise, earned)
            temporary = PATH.with_suffix(".tmp")
            with temporary.open("w", encoding="utf-8") as file:
                json.dump({"version": 1, "chapters": chapters}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, PATH)
        _unsaved.clear()
        return attempts
    except _CANNOT_WRITE as error:
        if not _unsaved:
            print(f"progress is not saved: {PATH} cannot be written ({type(error).__name__}: {error})", file=sys.stderr)
            with suppress(OSError, ValueError):
                _unsaved.update(_read())
        return _count(_unsaved, chapter, exercise, earned)


# NotImplementedError: a network drive without locks. filelock's Timeout is an OSError.
_CANNOT_WRITE = (OSError, NotImplementedError)


def _lock() -> FileLock:
    return FileLock(PATH.with_suffix(".lock"), timeout=0.1 if _unsaved else LOCK_SECONDS)  # waits in vain only once


def _count(chapters: Progress, chapter: str, exercise: str, earned: int) -> int:
    row = chapters.setdefault(chapter, {}).setdefault(exercise, {"earned": 0, "attempts": 0})
    row["earned"], row["attempts"] = max(row["earned"], earned), row["attempts"] + 1
    return row["attempts"]


def _read() -> Progress:
    """The file's content; ValueError if it is damaged."""
    try:
        chapters = json.loads(PATH.read_text(encoding="utf-8"))["chapters"]
        keys = ("earned", "attempts")
        return {
            c: {e: {k: int(row.get(k, 0)) for k in keys} for e, row in rows.items()} for c, rows in chapters.items()
        }
    except FileNotFoundError:
        return {}
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _read_or_set_aside() -> Progress:
    """The file's content; only under the lock, so that it is the damaged file that is moved, and not the next one."""
    try:
        return _read()
    except ValueError:
        aside = PATH.with_suffix(".damaged.json")
        os.replace(PATH, aside)
        print(f"{PATH.name} could not be read; it is kept as {aside.name}, and progress starts anew", file=sys.stderr)
        return {}
