"""What keeps the course working: the workflows, and the script that tries other versions. It installs nothing here."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from utils import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
JUNIT = """<testsuites><testsuite>
<testcase classname="tests.a" name="test_right"/>
<testcase classname="tests.a" name="test_skipped"><skipped message="no browser"/></testcase>
<testcase classname="tests.a" name="test_wrong"><failure message="assert 1 == 2&#10;more">trace</failure></testcase>
<testcase classname="tests.b" name="test_broken[x]"><error message="fixture | failed">trace</error></testcase>
</testsuite></testsuites>"""


@pytest.fixture(scope="module")
def versions() -> ModuleType:
    """The script .ci/versions.py, imported."""
    spec = importlib.util.spec_from_file_location("versions", ROOT / ".ci" / "versions.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def steps(workflow: Path) -> list[dict]:
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_what_exists(workflow: Path):
    targets = re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    commands = [step["run"].split() for step in steps(workflow) if "run" in step]
    assert commands
    for command, *arguments in commands:
        if command == "make":
            assert arguments[0] in targets
        else:
            assert os.access(ROOT / command, os.X_OK), f"{command} is no script of the course"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_write_only_where_it_publishes(workflow: Path):
    content = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert content["permissions"] == {"contents": "read"} and "concurrency" in content
    writes = {name: job["permissions"] for name, job in content["jobs"].items() if "permissions" in job}
    assert set(writes) <= {"publish"}
    assert all("@v" in step["uses"] for step in steps(workflow) if "uses" in step)


def test_the_weekly_workflow_tries_both_environments_and_publishes_the_book():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "weekly.yml").read_text(encoding="utf-8"))["jobs"]
    environments = jobs["versions"]["strategy"]["matrix"]["environment"]
    help_text = subprocess.run([sys.executable, ROOT / ".ci" / "versions.py", "-h"], capture_output=True, text=True)
    assert f"{{{','.join(environments)}}}" in help_text.stdout
    (upload,) = (s for s in jobs["book"]["steps"] if s.get("uses", "").startswith("actions/upload-pages-artifact"))
    assert f"build/book/pages {upload['with']['path']}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert jobs["publish"]["needs"] == "book"


def test_what_failed_is_read_from_pytests_results(versions: ModuleType):
    n_tests, failures = versions.read_results(JUNIT, status=1)
    assert n_tests == 3, "what was skipped did not run"
    assert failures == {"tests.a::test_wrong": "assert 1 == 2", "tests.b::test_broken[x]": "fixture | failed"}
    assert versions.read_results("<testsuites/>", status=0) == (0, {})
    assert "without a failed test" in versions.read_results("<testsuites/>", status=5)[1]["pytest"]


def test_the_report_names_versions_and_failures(versions: ModuleType):
    failures = {"tests.b::test_broken[x]": "fixture | failed"}
    text = versions.report("newest", "python3.13", {"numpy": "9.0"}, 3, failures)
    assert "### newest, python3.13: 3 tests, 1 failed" in text and "numpy 9.0" in text
    assert "| `tests.b::test_broken[x]` | fixture ¦ failed |" in text


def test_the_newest_versions_are_asked_for_by_the_ranges_and_the_pins_fit_them(versions: ModuleType):
    from packaging.requirements import Requirement

    pins = versions.read_pins()
    for requirement in map(Requirement, versions.wanted("newest")):
        pin = pins[versions.canonical(requirement.name)]
        assert pin in requirement.specifier, f"{requirement}: requirements.txt has {pin}"


def test_an_environment_that_cannot_be_made_is_reported(versions: ModuleType, tmp_path: Path, monkeypatch, capfd):
    monkeypatch.setattr(versions, "PLACE", tmp_path)
    monkeypatch.setattr(sys, "argv", ["versions.py", "newest", "--python", str(tmp_path / "no-python")])
    assert versions.main() == 1
    assert "| `installation` |" in capfd.readouterr().out
