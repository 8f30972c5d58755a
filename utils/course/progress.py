"""What a learner has done so far, in .progress.json at the course's root.

Written atomically under a lock, so that a killed kernel, or two notebooks at once, lose nothing.
"""

import json
import os
import sys

from filelock import FileLock

from utils.course.namespace import ROOT

PATH = ROOT / ".progress.json"


def read_progress() -> dict[str, dict[str, dict[str, int]]]:
    """Chapter -> exercise -> {'earned': best points so far, 'attempts': checks of written code}.

    A damaged file is set aside under another name, which is said, and counts as empty.
    """
    try:
        exercises = json.loads(PATH.read_text(encoding="utf-8"))["chapters"]
        return {c: {e: {k: int(row[k]) for k in ("earned", "attempts")} for e, row in es.items()} for c, es in exercises.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        aside = PATH.with_suffix(".damaged.json")
        os.replace(PATH, aside)
        print(f"{PATH.name} could not be read; it is kept as {aside.name}, and progress starts anew", file=sys.stderr)
        return {}


def record_attempt(chapter: str, exercise: str, earned: int) -> int:
    """Count one attempt and keep the best points; returns the number of attempts so far."""
    with FileLock(PATH.with_suffix(".lock")):
        chapters = read_progress()
        row = chapters.setdefault(chapter, {}).setdefault(exercise, {"earned": 0, "attempts": 0})
        row["earned"], row["attempts"] = max(row["earned"], earned), row["attempts"] + 1
        temporary = PATH.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump({"version": 1, "chapters": chapters}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, PATH)
    return row["attempts"]
