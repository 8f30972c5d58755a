"""One source, two notebooks: what the build promises, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.copies import copy_course
from utils import ROOT
from utils.course import build, start
from utils.course.chapter import Chapter, SourceError
from utils.course.render import render

SOURCE = '''# %% [markdown]
# # 09 · A chapter for tests
# {{exercises}}

# %% tags=["solution"]
assert 1 + 1 == 2

# %% [markdown]
# ### Exercise 9.1 · `double` (5 min)
# Why.

# %%
# exercise: double
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION


# %%
check(double)

# %% [markdown]
# <details>
# <summary>Hint 1 · the idea</summary>
# Add it to itself.
# </details>
# <details>
# <summary>Hint 2 · the shapes</summary>
# A number.
# </details>
# <details>
# <summary>Hint 3 · the line</summary>
# `return 2 * x`
# </details>
# <details>
# <summary>What you should see</summary>
# One check.
# </details>
'''
CHECKS = """
from utils.course.expect import exercise

@exercise("double", points=2)
def test_doubles(student):
    assert student.double(2) == 4

@exercise("double")
def test_keeps_the_type(student):
    assert isinstance(student.double(2), int)
"""


@pytest.fixture
def read(tmp_path: Path):
    """Writes a source and its checks to a folder and parses them."""

    def read(source: str = SOURCE, checks: str = CHECKS) -> Chapter:
        path, tests = tmp_path / "09_test.py", tmp_path / "test_09_test.py"
        path.write_text(source)
        tests.write_text(checks)
        return build.read_chapter(path, tests)

    return read


def notebook(chapter: Chapter, *, answers: bool):
    return nbformat.reads(render(chapter, answers=answers), as_version=4)


def test_the_notebooks_in_the_repository_are_up_to_date():
    assert build.main(["--check"]) == 0


def test_a_chapter_knows_its_exercises(read):
    exercise = read().exercises["double"]
    assert (exercise.number, exercise.minutes, exercise.points) == ("9.1", 5, 2)
    assert exercise.checks == {"test_doubles": 2, "test_keeps_the_type": 0}
    assert exercise.hints[0] == ("Hint 1 · the idea", "Add it to itself.")


def test_the_learners_notebook_holds_no_answer_and_no_output(read):
    text = render(read(), answers=False)
    assert "return 2 * x\\n" not in text and "1 + 1 == 2" not in text and "SOLUTION" not in text
    cells = notebook(read(), answers=False).cells
    answer = next(cell for cell in cells if cell.metadata.get("exercise") == "double")
    assert answer.source == (
        '# exercise: double\ndef double(x):\n    """Twice x."""\n    raise NotImplementedError("write double here")'
    )
    assert all(not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code")


def test_the_solution_notebook_holds_everything(read):
    text = render(read(), answers=True)
    assert "return 2 * x" in text and "1 + 1 == 2" in text and "### BEGIN SOLUTION" in text


def test_both_notebooks_are_valid_and_the_same_on_every_rebuild(read):
    for answers in (True, False):
        assert render(read(), answers=answers) == render(read(), answers=answers)
        nbformat.validate(notebook(read(), answers=answers))


def test_an_edit_leaves_the_other_cells_ids_alone(read):
    before = {cell.id for cell in notebook(read(), answers=False).cells}
    after = {cell.id for cell in notebook(read(SOURCE.replace("# Why.", "# Why, indeed.")), answers=False).cells}
    assert len(before - after) == len(after - before) == 1


def test_the_table_counts_points_and_minutes(read):
    assert "| 9.1 | `double` | 2 | 5 |" in notebook(read(), answers=False).cells[0].source


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("    ### END SOLUTION\n", "", 12, "without `### END SOLUTION`"),
        ("    ### BEGIN SOLUTION\n", "", 17, "without its partner"),
        ("assert 1 + 1 == 2", "### BEGIN SOLUTION", 6, "outside an exercise cell"),
        ("(5 min)", "", 12, "has no heading"),
        ("check(double)", "print(double)", 8, "check(double)"),
        ("Hint 3 · the line", "Hint three", 8, "expected three hints"),
        ("What you should see", "Result", 8, "What you should see"),
        ("# Why.", "# ![a picture](https://example.org/a.png)", 10, "must not fetch"),
        ("assert 1 + 1 == 2", "import urllib; urllib.request.urlopen('x')", 6, "must not fetch"),
        ("assert 1 + 1 == 2", "!wget x", 6, "must not fetch"),
        ('tags=["solution"]', 'tags=["sollution"]', 5, "unknown tag"),
        ("# # 09 · A chapter", "# A chapter", 1, "title"),
    ],
)
def test_a_mistake_in_a_source_is_named_with_its_line(read, old: str, new: str, line: int, words: str):
    assert SOURCE.count(old) == 1
    with pytest.raises(SourceError) as caught:
        read(SOURCE.replace(old, new))
    assert f"09_test.py:{line}:" in str(caught.value) and words in str(caught.value)


def test_an_exercise_without_points_is_refused(read):
    with pytest.raises(SourceError, match="worth no points"):
        read(checks=CHECKS.replace(", points=2", ""))


def test_checks_of_an_unknown_exercise_are_refused(read):
    with pytest.raises(SourceError, match="triple"):
        read(checks=CHECKS + '\n@exercise("triple", points=1)\ndef test_triples(student):\n    pass\n')


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A copy of the course without its git folder and environments."""
    return copy_course(tmp_path, "othello_gpt*")


def run_build(course: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "utils.course.build", *arguments]
    return subprocess.run(command, cwd=course, capture_output=True, text=True, timeout=120)


def test_check_names_what_differs_and_what_is_orphaned(course: Path):
    changed = course / "chapters" / "01_linear_probes.ipynb"
    changed.write_text(changed.read_text().replace("reading a network", "reading networks"))
    (course / "chapters" / "99_gone.ipynb").write_text("{}")
    before = changed.read_text()
    result = run_build(course, "--check")
    assert result.returncode == 1
    assert "chapters/01_linear_probes.ipynb: differs" in result.stderr
    assert "chapters/99_gone.ipynb: orphan" in result.stderr
    assert changed.read_text() == before, "--check wrote something"
    (course / "chapters" / "99_gone.ipynb").unlink()
    assert run_build(course).returncode == 0
    assert run_build(course, "--check").returncode == 0


def test_the_inventory_lists_every_exercise():
    command = [sys.executable, "-m", "utils.course.inventory", "--json"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    chapters = json.loads(result.stdout)["chapters"]
    assert [chapter["name"] for chapter in chapters] == build.chapter_names()
    for exercise in chapters[0]["exercises"]:
        assert exercise["points"] == sum(exercise["checks"].values()) > 0
        assert exercise["minutes"] > 0 and exercise["mutants"] >= 4 and exercise["alternatives"] >= 2


def test_every_notebook_starts_with_the_same_short_cell():
    """tests/test_colab.py tries what it does."""
    cell = start.setup_cell(start.course_address())
    assert cell.count("\n") < 6 and "start_course" in cell
    for path, text in build.outputs():
        first = next(cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
        assert "".join(first["source"]) == cell, path


def test_every_chapter_has_a_badge_that_opens_it_in_colab():
    readme, address = (ROOT / "README.md").read_text(encoding="utf-8"), start.course_address()
    for name in build.chapter_names():
        link = start.colab_link(address, name)
        assert f"(solutions/figures/open_in_colab.svg)]({link})" in readme
        title = "".join(json.loads((ROOT / "chapters" / f"{name}.ipynb").read_text())["cells"][0]["source"])
        assert title.count(f"]({link})") == 1


def test_badges_need_an_address_on_github():
    page = "https://colab.research.google.com/github/a/b.c/blob/main/chapters/01.ipynb"
    assert start.colab_link("https://github.com/a/b.c.git", "01") == start.colab_link("https://github.com/a/b.c/", "01")
    assert start.colab_link("https://github.com/a/b.c", "01") == page
    assert start.colab_link("file:///srv/course", "01") is None


def test_the_readme_counts_points_and_minutes_of_every_chapter():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in build.chapter_names():
        exercises = build.load_chapter(name).exercises
        row = next(line for line in readme.splitlines() if line.startswith(f"| {name[:2]} | ["))
        assert f"(chapters/{name}.ipynb)" in row
        core = [exercise for exercise in exercises.values() if not exercise.optional]
        assert all(f"`{exercise.name}`" in row for exercise in core)
        points, minutes = (sum(getattr(e, part) for e in exercises.values()) for part in ("points", "minutes"))
        assert row.endswith(f"| {points} | {minutes} |")
