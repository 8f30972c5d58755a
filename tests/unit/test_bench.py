"""The table of the benchmarks says what was held against which target, and whether it was met."""

from math import nan

import pytest

from tests.bench.__main__ import HEAD, PARTS, as_markdown, read_arguments, texts
from tests.bench.common import Row
from utils import ROOT


@pytest.mark.parametrize(
    ("row", "target", "met"),
    [
        (Row("faster than a loop", 2.0, 10, 30.0, 15.0, at_least=True), "≥ 10", "yes"),
        (Row("near its floor", 3.0, 1.5, 1.0, 3.0), "≤ 1.5", "no"),
        (Row("without a peer", 2.5, 3.0, unit="GB"), "≤ 3 GB", "yes"),
        (Row("the peer is not there", 2.0, 20, nan, nan, at_least=True), "≥ 20", "not measured"),
    ],
)
def test_a_row_names_its_target_and_whether_it_is_met(row: Row, target: str, met: str):
    written = dict(zip(HEAD, texts(row), strict=True))
    assert (written["target"], written["met"]) == (target, met)
    assert written["ours"] == f"{row.ours:g} {row.unit}"


def test_a_part_that_fails_stands_in_the_table_too():
    lines = as_markdown("a machine", {"probes": [Row("a probe", 0.5, 2.0)], "boards": []}).splitlines()
    assert lines[0].startswith("a machine")
    assert {line.count("|") for line in lines[2:]} == {len(HEAD) + 1}
    assert lines[4].startswith("| a probe | 0.5 s |") and lines[5].startswith("| boards: failed |")


def test_the_readme_holds_that_table_and_no_other():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    _, after = readme.split("<!-- make bench ARGS=--markdown -->\n")
    table, _ = after.split("<!-- end of the table -->\n")
    head = as_markdown("", {}).splitlines()[2:]
    assert not table.strip() or table.strip().splitlines()[2:4] == head


def test_without_a_part_everything_is_measured():
    assert read_arguments([]).parts == read_arguments(["all"]).parts == list(PARTS)
    assert read_arguments(["probes", "checks"]).parts == ["probes", "checks"]
    with pytest.raises(SystemExit):
        read_arguments(["nothing"])
