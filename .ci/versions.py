#!/usr/bin/env python3
"""Run the tests on other versions, and say what broke: `.ci/versions.py --python python3.13 pinned newest`.

Each environment is a new virtual environment in build/versions/: `pinned` is requirements.txt, `newest` the newest
releases that the ranges of pyproject.toml allow. The tools of the tests come from .ci/requirements.txt in both. Not
part of CI: it downloads gigabytes, and what it finds may be others' mistakes. The table goes to stdout as Markdown,
everything else to stderr. The exit status is 1 if anything broke.

Where pip's index has no CPU build of torch: `--hold torch==2.13.0`, or PIP_EXTRA_INDEX_URL with an index that has one.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "build" / "versions"


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins() -> dict[str, str]:
    """Package -> version in requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    return {canonical(name): version for name, version in (line.split("==") for line in lines)}


def wanted(environment: str) -> list[str]:
    """What pip is asked to install."""
    if environment == "pinned":
        return ["-r", str(ROOT / "requirements.txt")]
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]


def install(environment: str, python: str, hold: list[str]) -> Path:
    """Make the environment anew; returns its Python.

    Raises:
        subprocess.CalledProcessError: If there is no such Python, or no set of versions that fits.
    """
    folder = PLACE / environment
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", str(folder)], check=True, stdout=sys.stderr)
    held = folder / "held.txt"
    held.write_text("".join(f"{line}\n" for line in hold), encoding="utf-8")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    tools = ["-r", str(ROOT / ".ci" / "requirements.txt")]
    subprocess.run([*pip, "-c", str(held), *wanted(environment), *tools], check=True, stdout=sys.stderr)
    return folder / "bin" / "python"


def read_installed(python: Path) -> dict[str, str]:
    """Package -> version, of everything that is installed there."""
    command = [str(python), "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {canonical(row["name"]): row["version"] for row in rows}


def run_tests(environment: str, python: Path, tests: list[str]) -> tuple[int, dict[str, str]]:
    """Run pytest; returns how many tests ran, and test -> first line of what it says, for those that failed."""
    results = PLACE / f"{environment}.xml"
    results.unlink(missing_ok=True)
    command = [str(python), "-m", "pytest", "-q", "--tb=short", f"--junitxml={results}", *tests]
    environ = {"HF_HUB_OFFLINE": "1"} | os.environ | {"CI": "false"}  # a missing browser or nbgrader is no news here
    status = subprocess.run(command, cwd=ROOT, env=environ, stdout=sys.stderr).returncode
    if not results.exists():
        return 0, {"pytest": f"ended with {status} and wrote no results"}
    return read_results(results.read_text(encoding="utf-8"), status)


def read_results(xml: str, status: int) -> tuple[int, dict[str, str]]:
    """Read pytest's JUnit file and exit status; returns the same as run_tests."""
    cases = [case for case in ElementTree.fromstring(xml).iter("testcase") if case.find("skipped") is None]
    failures = {}
    for case in cases:
        for problem in [*case.findall("failure"), *case.findall("error")]:
            first = (problem.get("message") or "").strip().splitlines() or ["no message"]
            failures[f"{case.get('classname')}::{case.get('name')}"] = first[0][:200]
    if status and not failures:
        failures["pytest"] = f"ended with {status} without a failed test"
    return len(cases), failures


def report(environment: str, python: str, changed: dict[str, str], n_tests: int, failures: dict[str, str]) -> str:
    """One environment in Markdown: what differs from the pins, and a row for each failure."""
    lines = [f"### {environment}, {python}: {n_tests} tests, {len(failures)} failed", ""]
    lines += [f"Not the pinned versions: {', '.join(f'{k} {v}' for k, v in changed.items()) or 'none'}.", ""]
    if failures:
        lines += ["| failed | it says |", "|---|---|"]
        lines += [f"| `{test}` | {said.replace('|', '¦')} |" for test, said in failures.items()] + [""]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environments", nargs="+", choices=["pinned", "newest"])
    parser.add_argument("--python", default=sys.executable, help="the interpreter to make the environments with")
    parser.add_argument("--hold", action="append", default=[], metavar="NAME==VERSION", help="a version to keep")
    parser.add_argument("--tests", nargs="+", default=["tests"], help="files or folders")
    given = parser.parse_args()
    broke = False
    for environment in given.environments:
        changed, n_tests = {}, 0
        try:
            python = install(environment, given.python, given.hold)
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            failures = {"installation": str(error)}
        else:
            installed = {name: "not installed" for name in read_pins()} | read_installed(python)
            changed = {name: installed[name] for name, pin in read_pins().items() if installed[name] != pin}
            n_tests, failures = run_tests(environment, python, given.tests)
        print(report(environment, given.python, changed, n_tests, failures), flush=True)
        broke = broke or bool(failures)
    return int(broke)


if __name__ == "__main__":
    sys.exit(main())
