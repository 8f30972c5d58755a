"""A copy of the course to work in, so that neither progress nor edits reach the real one."""

import shutil
from pathlib import Path

from utils import ROOT

LEFT_OUT = (".venv*", ".git", "__pycache__", ".progress*", "build", "*.tmp")


def copy_course(parent: Path, *also_left_out: str) -> Path:
    """Copy the course without environments, history, progress and leftovers into parent/course; returns that folder."""
    return Path(shutil.copytree(ROOT, parent / "course", ignore=shutil.ignore_patterns(*LEFT_OUT, *also_left_out)))
