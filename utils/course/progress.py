"""What a learner has done so far, in .progress.json at the course's root: points, attempts and predictions.

Written atomically under a lock, so that a killed kernel, or two notebooks at once, lose nothing. Where the folder
cannot be written, progress lasts as long as the kernel, and that is said once.
"""

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TypedDict, TypeVar

from filelock import FileLock

from utils import ROOT

PATH = ROOT / ".progress.json"
VERSION = 2  # 1 had no predictions, and is read as a file without any
LOCK_SECONDS = 5.0  # a write takes hundredths of a second; whoever holds the lock longer hangs
Progress = dict[str, dict[str, dict[str, int]]]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Prediction:
    """A question, what the learner said before the result was there, and what came out."""

    question: str
    options: tuple[str, ...]
    choice: str | None = None  # None: nothing was written down in time
    confidence: float | None = None  # from chance, which is 1 / len(options), to 1
    outcome: str | None = None  # None: not settled yet


Predictions = dict[str, dict[str, Prediction]]


class Saved(TypedDict):
    """The content of the file, but for its version."""

    chapters: Progress
    predictions: Predictions


_unsaved: Saved = {}  # everything, as soon as something could not be written; empty as long as all is well


def read_progress() -> Progress:
    """Chapter -> exercise -> {'earned': best points so far, 'attempts': checks of written code}.

    A damaged file is set aside under another name, which is said, and counts as empty.
    """
    return _saved()["chapters"]


def read_predictions() -> Predictions:
    """Chapter -> name -> prediction, those that were never written down but settled included."""
    return _saved()["predictions"]


def record_attempt(chapter: str, exercise: str, earned: int) -> int:
    """Count one attempt and keep the best points; returns the number of attempts so far."""

    def count(saved: Saved) -> int:
        row = saved["chapters"].setdefault(chapter, {}).setdefault(exercise, {"earned": 0, "attempts": 0})
        row["earned"], row["attempts"] = max(row["earned"], earned), row["attempts"] + 1
        return row["attempts"]

    return _update(count)


def record_prediction(chapter: str, name: str, prediction: Prediction) -> Prediction:
    """Keep a prediction in place of an earlier one, unless the outcome is known; returns what is kept now."""

    def keep(saved: Saved) -> Prediction:
        rows = saved["predictions"].setdefault(chapter, {})
        if name not in rows or rows[name].outcome is None:
            rows[name] = prediction
        return rows[name]

    return _update(keep)


def record_outcome(chapter: str, name: str, asked: Prediction, outcome: str) -> Prediction:
    """Keep the first outcome of a prediction for ever; returns what is kept now.

    Args:
        asked: the question, for a prediction that was never written down, or to another question of that name.
    """

    def keep(saved: Saved) -> Prediction:
        rows = saved["predictions"].setdefault(chapter, {})
        row = rows.get(name, asked)
        if row.outcome is None:
            row = row if (row.question, row.options) == (asked.question, asked.options) else asked
            rows[name] = replace(row, outcome=outcome)
        return rows[name]

    return _update(keep)


def merge_progress(text: str) -> None:
    """Add what an earlier `.progress.json` holds; nothing that is here is lost, and nothing counts twice.

    Args:
        text: content of that file.

    Raises:
        ValueError: If it is damaged, or something else. Nothing has changed then.
    """
    earlier = _parse(text)
    _update(lambda saved: saved.update(_merge(earlier, saved)))


def progress_text() -> str:
    """All progress, as `.progress.json` holds it."""
    return _text(_saved())


# NotImplementedError: a network drive without locks. filelock's Timeout is an OSError.
_CANNOT_WRITE = (OSError, NotImplementedError)


def _saved() -> Saved:
    if _unsaved:
        return _unsaved
    try:
        return _read()
    except ValueError:
        with suppress(*_CANNOT_WRITE), _lock():
            return _read_or_set_aside()
    except OSError:
        pass
    return _empty()


def _update(change: Callable[[Saved], Result]) -> Result:
    """Apply a change to what is saved, and save it; returns what the change returns."""
    try:
        with _lock():
            saved = _merge(_read_or_set_aside(), _unsaved or _empty())
            result = change(saved)
            temporary = PATH.with_suffix(".tmp")
            with temporary.open("w", encoding="utf-8") as file:
                file.write(_text(saved))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, PATH)
        _unsaved.clear()
        return result
    except _CANNOT_WRITE as error:
        if not _unsaved:
            print(f"progress is not saved: {PATH} cannot be written ({type(error).__name__}: {error})", file=sys.stderr)
            _unsaved.update(_empty())
            with suppress(OSError, ValueError):
                _unsaved.update(_read())
        return change(_unsaved)


def _lock() -> FileLock:
    return FileLock(PATH.with_suffix(".lock"), timeout=0.1 if _unsaved else LOCK_SECONDS)  # waits in vain only once


def _empty() -> Saved:
    return {"chapters": {}, "predictions": {}}


def _merge(earlier: Saved, later: Saved) -> Saved:
    """Of each exercise the better result; of each prediction what would be kept if all had happened in one place."""
    for chapter, rows in later["chapters"].items():
        mine = earlier["chapters"].setdefault(chapter, {})
        for exercise, row in rows.items():
            mine[exercise] = {key: max(n, mine.get(exercise, row)[key]) for key, n in row.items()}
    for chapter, predictions in later["predictions"].items():
        kept = earlier["predictions"].setdefault(chapter, {})
        kept.update({name: _merge_predictions(kept.get(name), row) for name, row in predictions.items()})
    return earlier


def _merge_predictions(earlier: Prediction | None, later: Prediction) -> Prediction:
    if earlier is None:
        return later
    says_all = [row.choice is not None and row.outcome is not None for row in (earlier, later)]
    if says_all[0] or (earlier.outcome is not None and not says_all[1]):
        return earlier
    if later.choice is None and (earlier.question, earlier.options) == (later.question, later.options):
        return replace(earlier, outcome=later.outcome)
    return later


def _text(saved: Saved) -> str:
    return json.dumps({"version": VERSION} | saved, indent=1, default=asdict)


def _read() -> Saved:
    """The file's content; ValueError if it is damaged."""
    try:
        return _parse(PATH.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return _empty()


def _parse(text: str) -> Saved:
    try:
        content = json.loads(text)
        keys = ("earned", "attempts")
        chapters = {
            c: {e: {k: int(row.get(k, 0)) for k in keys} for e, row in rows.items()}
            for c, rows in content["chapters"].items()
        }
        predictions = {
            c: {name: _read_prediction(row) for name, row in rows.items()}
            for c, rows in content.get("predictions", {}).items()
        }
        return {"chapters": chapters, "predictions": predictions}
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _read_prediction(row: dict) -> Prediction:
    texts = [row["question"], *row["options"], *(row[key] for key in ("choice", "outcome") if row[key] is not None)]
    sure = row["confidence"]
    if not all(isinstance(text, str) for text in texts) or row["choice"] not in (None, *row["options"]):
        raise ValueError(f"a question, its options or answers are no texts, or do not fit together: {texts}")
    if (sure is None) != (row["choice"] is None) or not 0 <= (sure or 0) <= 1:
        raise ValueError(f"a confidence must be 0 to 1, and go with a choice, got {sure}")
    return Prediction(row["question"], tuple(row["options"]), row["choice"], sure, row["outcome"])


def _read_or_set_aside() -> Saved:
    """The file's content; only under the lock, so that it is the damaged file that is moved, and not the next one."""
    try:
        return _read()
    except ValueError:
        aside = PATH.with_suffix(".damaged.json")
        os.replace(PATH, aside)
        print(f"{PATH.name} could not be read; it is kept as {aside.name}, and progress starts anew", file=sys.stderr)
        return _empty()
