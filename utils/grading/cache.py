"""The rows of a batch that are done, kept on disk: a run that was ended goes on from there."""

import hashlib
import json
import os
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ValidationError

from utils import ROOT
from utils.grading import sandbox
from utils.grading.collect import Submission
from utils.grading.results import Settings, SubmissionRow


class Done(BaseModel):
    """A row, and the layers of the sandbox that it was graded in."""

    row: SubmissionRow
    layers: sandbox.Layers


@cache
def checks_digest(chapter: str) -> str:
    """A hash of everything in the course that the outcome of grading a chapter depends on."""
    digest = hashlib.sha256()
    files = [*(ROOT / "utils").rglob("*.py"), ROOT / "tests" / "conftest.py", ROOT / "tests" / f"test_{chapter}.py"]
    for path in sorted([*files, ROOT / "solutions" / f"{chapter}.py"]):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def cache_key(submission: Submission, settings: Settings, digest: str) -> str:
    parts = [submission.student, submission.file, submission.chapter, submission.sha256, submission.reason, digest]
    parts += [*submission.notes, settings.model_dump_json(), version("torch"), platform.python_version()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def read_done(path: Path) -> Done | None:
    try:
        return Done.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):  # not there, or not ours
        return None


def write_done(path: Path, done: Done) -> None:
    """Whole or not at all."""
    if path.is_dir():  # nobody's; the row is graded again next time
        return
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(done.model_dump_json(), encoding="utf-8")
    os.replace(unfinished, path)
