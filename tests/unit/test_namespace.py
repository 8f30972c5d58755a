"""What a grader sees of a notebook: definitions and constants, from any file, and in words where something is wrong."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from utils.course import cells as cells_module
from utils.course.cells import Cell, NotebookError, parse_cells, read_notebook
from utils.course.namespace import build_namespace

HIDDEN = {"__name__", "__builtins__", "__annotations__", "display", "get_ipython"}


def kept(*sources: str, exercises=(), repair=True):
    return build_namespace([Cell(s, f"cell {n}") for n, s in enumerate(sources, start=1)], exercises, repair=repair)


def read_cells(path: Path) -> list[Cell]:
    return parse_cells(read_notebook(path), path.name)[0]


def names(*sources: str) -> set[str]:
    return kept(*sources).names.keys() - HIDDEN


# --- what is kept --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os", {"os"}),
        ("import os.path as p, sys", {"p", "sys"}),
        ("import xml.dom", {"xml"}),
        ("from math import pi, tau as t", {"pi", "t"}),
        ("def f(): pass", {"f"}),
        ("async def f(): pass", {"f"}),
        ("class C:\n    x = 1", {"C"}),
        ("from functools import cache\n@cache\ndef f(): return 1", {"cache", "f"}),
        ("f = lambda x: x", {"f"}),
        ("f: object = lambda x: x", {"f"}),
        ("X = 3", {"X"}),
        ("X: int = 3", {"X"}),
        ("X: int", set()),
        ("X = Y = [1, 2]", {"X", "Y"}),
        ("X, Y = 1, 2", {"X", "Y"}),
        ("[X, (Y, *Z)] = 1, (2, 3, 4)", {"X", "Y", "Z"}),
        ("X, y = 1, 2", set()),
        ("X = 1\nX += 2", {"X"}),
        ("X = {k: len(k) for k in ('a', 'b')}", {"X"}),
        ("X = sorted([2, 1], key=lambda v: -v)", {"X"}),
        ("X = [v for v in range(3) if (w := v)]", {"X", "w"}),
        ("from math import *\nX = sqrt(4)", None),
        ("import math\nX = math.sqrt(4)\nY = X + 1", {"math", "X", "Y"}),
        ("X = 'a' if True else [f'{1}']", {"X"}),
        ("X_LOWER, _Y2 = 1, 2", {"X_LOWER", "_Y2"}),
        ("x = 1\nX = x", set()),
        ("X = y + 1", set()),
        ("X = [v for v in values]", set()),
        ("x = 3\nprint(x)\nfor i in range(3): pass", set()),
        ("def f(): return 1\nX = f()", {"f"}),
        ("class C: pass\nX = C()", {"C"}),
        ("(X := 3)", set()),
        ("X.y = 3\nX[0] = 3\nd['k'] = lambda: 1", set()),
        ("if True:\n    X = 1", set()),
        ("X = input()\nY = exit()\nZ = get_ipython()\nW = display(1)\nV = breakpoint()", set()),
        ("", set()),
        ("# only a comment", set()),
    ],
    ids=lambda value: repr(value)[:50] if isinstance(value, str) else "",
)
def test_imports_definitions_and_constants_are_kept_and_experiments_are_not(source, expected):
    result = kept(source)
    assert not result.problems
    if expected is None:
        assert result.names["X"] == 2
    else:
        assert result.names.keys() - HIDDEN == expected


@pytest.mark.parametrize(
    "source",
    [
        "from utils.datasets import load_colours\nX = load_colours()",
        "import utils.datasets\nX = utils.datasets.load_colours()",
        "import utils.datasets as D\nX = D.load_colours()",
        "from utils import datasets\nX = datasets.load_colours()",
        "import utils\nX = utils.__name__",
    ],
)
def test_nothing_is_computed_by_functions_of_the_course(source):
    assert "X" not in names(source)


def test_values_are_those_of_the_last_definition():
    result = kept("X = 1\nX += 2\nA, *B = 1, 2, 3", "def f(): return 1", "def f(): return X", "X = 5")
    assert (result.names["X"], result.names["A"], result.names["B"], result.names["f"]()) == (5, 1, [2, 3], 5)


def test_a_constant_stays_what_it_was_before_an_experiment_changed_it():
    assert kept("X = 1", "x = 2\nX = x\nX += x").names["X"] == 1


def test_definitions_print_nothing_and_warn_nothing(capfd, recwarn):
    kept("X = print('loud')\nclass C:\n    print('louder')\ndef f():\n    return '\\d' is 'x'\n@print\ndef g(): pass")
    captured = capfd.readouterr()
    assert captured.out == captured.err == "" and not recwarn.list


def test_future_imports_hold_for_later_cells():
    result = kept("from __future__ import annotations", "def f(x: Nothing) -> Nowhere:\n    return x")
    assert not result.problems and result.names["f"](1) == 1
    assert "Nothing" in kept("def f(x: Nothing): pass").problems[0]


def test_dataclasses_with_annotations_in_quotes_can_be_defined():
    source = "from dataclasses import dataclass\n@dataclass\nclass Pair:\n    a: 'Thing'\n    b: 'typing.ClassVar' = 1"
    assert not kept(source).problems


def test_magics_and_shell_lines_are_not_kept(tmp_path):
    cells = ["%matplotlib inline\nX = 1", "FILES = !ls\n!rm -rf nothing\nY = 2", "%%bash\nX=3", "f?\nZ = 3"]
    result = build_namespace(read_cells(write(tmp_path, cells)))
    assert result.names.keys() - HIDDEN == {"X", "Y", "Z"} and result.names["X"] == 1


@pytest.mark.parametrize("magic", ["%%time", "%%capture out", "%%time\n%%capture"])
def test_a_timed_or_captured_cell_counts_as_if_it_were_not(magic, tmp_path):
    source = f"{magic}\n# exercise: f\ndef f():\n    return 1 / 0\n"
    result = build_namespace(read_cells(write(tmp_path, [source])), ["f"])
    if magic.count("%%") == 1:
        assert "f" in result.names and result.marked == {"f": ["f"]}
        assert result.names["f"].__code__.co_firstlineno == 3


@pytest.mark.parametrize("text", ["'a'", '"a"', "'a' + \"b\"", "'\\\\'"])
@pytest.mark.parametrize("magic", ["%%time", "%%capture it's", '%%capture "out"'])
def test_a_timed_cell_may_hold_any_quotes(magic, text, tmp_path):
    source = f"{magic}\ndef f():\n    return {text}"
    assert build_namespace(read_cells(write(tmp_path, [source]))).names["f"]() == eval(text)


@pytest.mark.parametrize(
    "body", ["'a' + 'b'", "'\\x'", "'a', 'b'", "'" * 50_000, "'\\" * 20_000], ids=lambda body: body[:9]
)
def test_a_call_that_only_looks_like_a_timed_cell_is_an_experiment(body):
    result = kept(f"get_ipython().run_cell_magic('time', '', {body})", "X = 1")
    assert result.names["X"] == 1


def test_display_works_in_graded_functions_with_and_without_a_notebook(capsys):
    assert kept("def f():\n    display(1)\n    return get_ipython()").names["f"]() is None


# --- problems ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("X = 1\ndef f(:\n    pass", "cell 2, line 2: SyntaxError: "),
        ("def f():\nreturn 1", "cell 2, line 2: IndentationError: "),
        ("def f():\n    nonlocal x", "cell 2, line 1 in `f`: SyntaxError: "),
        ("import nothing_like_it", "cell 2, line 1: ModuleNotFoundError: "),
        ("\n\nX = 1 / 0", "cell 2, line 3: ZeroDivisionError: division by zero"),
        ("def f(x=layer):\n    pass", "cell 2, line 1 in `f`: NameError: name 'layer' is not defined"),
        ("import sys\nX = sys.exit(3)", "cell 2, line 2: SystemExit: 3"),
        ("@nowhere\nclass C:\n    pass", "cell 2, line 2 in `C`: NameError: "),
        ("import asyncio\nX = await asyncio.sleep(0)", "cell 2, line 2: SyntaxError: "),
        ("X = 'a\0b'", "cell 2: "),
        ("X = '\ud800'", "cell 2: "),
        ("X = " + "(" * 5000 + ")" * 5000, "cell 2"),
        ("X = " + "-" * 100_000 + "1", "cell 2"),
        (
            "class Loud(Exception):\n    __str__ = None\n@lambda f: (_ for _ in ()).throw(Loud)\ndef f(): pass",
            "cell 2, line 4",
        ),
    ],
    ids=lambda text: ascii(text[:40]),
)
def test_a_statement_that_fails_is_named_and_the_others_run(source, problem):
    result = kept("A = 1", source, "B = A + 1")
    assert result.names["B"] == 2
    assert len(result.problems) == 1 and result.problems[0].startswith(problem), result.problems


def test_lines_in_tracebacks_are_those_of_the_cell(tmp_path):
    result = build_namespace(read_cells(write(tmp_path, ["\n\n  \ndef f():\n    x = '\x0c\u2028'\n    return 1 / 0"])))
    with pytest.raises(ZeroDivisionError) as caught:
        result.names["f"]()
    assert caught.traceback[-1].lineno + 1 == 6 and str(caught.traceback[-1].statement).strip() == "return 1 / 0"


# --- exercises -----------------------------------------------------------------------------------------------------

MARK = "# exercise: f\n"


def test_the_last_cell_with_an_exercise_comment_counts_whatever_it_holds():
    result = kept(MARK + "def f(): return 1\ndef helper(): return 1", MARK + "def f(): return 2", exercises=["f"])
    assert result.names["f"]() == 2 and "helper" not in result.names
    assert result.repairs == ["`f` is defined in several cells; the last one counts"]
    result = kept(MARK + "def f(): return 1", MARK + "def f(:", exercises=["f"])
    assert "f" not in result.names and "SyntaxError" in result.problems[0]


def test_the_same_cell_run_again_is_no_duplicate():
    assert kept(MARK + "def f(): return 1", MARK + "def f(): return 1", exercises=["f"]).repairs == []


def test_a_copied_comment_without_a_definition_does_not_hide_the_answer():
    result = kept(MARK + "def f(): return 1", MARK + "f()", "# exercise: f", exercises=["f"])
    assert result.names["f"]() == 1 and not result.repairs


def test_a_definition_without_the_comment_counts_if_it_is_later():
    result = kept(MARK + "def f(): return 1", "def f(): return 2", exercises=["f"])
    assert result.names["f"]() == 2 and "several cells" in result.repairs[0]


def test_two_exercises_merged_into_one_cell_are_both_found_also_if_one_is_written_again():
    both = "# exercise: f\ndef f(): return 1\n# exercise: g\ndef g(): return 1"
    result = kept(both, "# exercise: f\ndef f(): return 2", exercises=["f", "g"])
    assert (result.names["f"](), result.names["g"]()) == (2, 1)


def test_a_function_of_another_name_is_taken_by_its_comment_and_said_unless_there_are_two():
    result = kept(MARK + "def mine(): return 1", exercises=["f"])
    assert result.names["f"]() == 1
    assert result.repairs == ["took `mine` for `f`: its cell carries that exercise's comment"]
    assert "f" not in kept(MARK + "def mine(): pass\ndef yours(): pass", exercises=["f"]).names
    assert "f" not in kept(MARK + "def g(): pass", exercises=["f", "g"]).names  # another exercise is no answer
    assert kept(MARK + "def mine(): return 1\ndef mine(): return 2", exercises=["f"]).names["f"]() == 2


def test_without_repair_nothing_is_taken():
    result = kept(MARK + "def mine(): return 1", exercises=["f"], repair=False)
    assert "f" not in result.names and result.marked == {"f": ["mine"]} and not result.repairs


@pytest.mark.parametrize("comment", ["#exercise: f", "  #  exercise:f  ", "# exercise: f\r"])
def test_comments_are_found_however_they_are_spaced(comment):
    assert "f" in kept(comment + "\ndef mine(): return 1", exercises=["f"]).names


# --- files ---------------------------------------------------------------------------------------------------------


def write(folder, sources, **cell) -> object:
    cells = [{"cell_type": "code", "source": source, "outputs": [], "metadata": {}, **cell} for source in sources]
    path = folder / "submission.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_cells_are_read_in_order_and_labelled_by_their_place_among_the_code_cells(tmp_path):
    assert read_cells(write(tmp_path, ["A = 1", ["B = 2\n", "C = 3"]])) == [
        Cell("A = 1\n", "cell 1"),
        Cell("B = 2\nC = 3\n", "cell 2"),
    ]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_ends_of_any_system_are_read(end, tmp_path):
    source = end.join(["# exercise: f", "def mine():", "    return 1 / 0", ""])
    result = build_namespace(read_cells(write(tmp_path, [source])), ["f"])
    assert result.names["f"].__code__.co_firstlineno == 2 and not result.problems


def test_a_byte_order_mark_is_no_obstacle(tmp_path):
    path = write(tmp_path, ["A = 1"])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_cells(path)) == 1


def test_notebooks_of_version_3_and_cells_without_source_or_metadata_are_read(tmp_path):
    path = tmp_path / "old.ipynb"
    cell = {"cell_type": "code", "input": ["A = 1\n", "B = 2"], "language": "python"}
    path.write_text(json.dumps({"worksheets": [{"cells": [cell, {"cell_type": "markdown"}]}], "nbformat": 3}))
    assert read_cells(path) == [Cell("A = 1\nB = 2\n", "cell 1")]
    path.write_text(json.dumps({"cells": [{"cell_type": "code"}, {"cell_type": "code", "source": "A = 1"}]}))
    assert [cell.label for cell in read_cells(path)] == ["cell 1", "cell 2"]
    assert build_namespace(read_cells(path)).names["A"] == 1


def test_one_cell_that_cannot_be_transformed_does_not_spoil_the_notebook(tmp_path):
    cells = ["A = 1", 'def f(:\n  %magic \'open\n"""', "?" * 100 + "\n(" * 50, "B = 2"]
    result = build_namespace(read_cells(write(tmp_path, cells)))
    assert {"A", "B"} <= result.names.keys() and result.problems


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n ", "is empty"),
        (b"print(1)", "is not JSON"),
        (b'{"cells": [', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff\xfe{\x00}\x00", "is not UTF-8"),
        (b"\x89PNG\r\n", "is not UTF-8"),
        (b"[]", "is JSON but not a notebook"),
        (b"3", "is JSON but not a notebook"),
        (b"null", "is JSON but not a notebook"),
        (b"{}", "is JSON but not a notebook"),
        (b'{"cells": 3}', "is JSON but not a notebook"),
        (b'{"cells": [3]}', "is JSON but not a notebook"),
        (b'{"cells": [{}]}', "is JSON but not a notebook"),
        (b'{"cells": [{"cell_type": "code", "source": 3}]}', "is JSON but not a notebook"),
        (b'{"cells": [{"cell_type": "code", "source": [3]}]}', "is JSON but not a notebook"),
        (b'{"cells": [{"cell_type": "code", "source": {"X = 1": 1}}]}', "is JSON but not a notebook"),
        (b'{"cells": [{"cell_type": "code", "source": null}]}', "is JSON but not a notebook"),
        (b'{"cells": [' + b"9" * 5000 + b"]}", "is not JSON"),
        (
            b'{"cells": [' + b"{}," * 2_000_000 + b"{}]}",
            "holds more than 2,000,000 lists and tables; clear its outputs",
        ),
        (b'{"worksheets": 3}', "is JSON but not a notebook"),
    ],
    ids=lambda value: ascii(value[:40]),
)
def test_a_file_that_is_no_notebook_is_refused_in_words(content, words, tmp_path):
    path = tmp_path / "submission.ipynb"
    path.write_bytes(content)
    with pytest.raises(NotebookError, match=words):
        read_cells(path)


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.ipynb")
    for path in (tmp_path / "missing.ipynb", tmp_path, tmp_path / "pipe.ipynb", "\0", "x" * 5000):
        with pytest.raises(NotebookError):
            read_cells(path)


def test_a_file_above_the_limit_is_refused_without_being_read(tmp_path):
    path = tmp_path / "large.ipynb"
    with path.open("wb") as file:
        file.truncate(2_000_000_000)  # takes no space on the disk
    with pytest.raises(NotebookError, match="has more than 50 MB; clear its outputs"):
        read_cells(path)


def test_messages_do_not_name_the_folders_above(tmp_path):
    (tmp_path / "empty.ipynb").touch()
    for path in (tmp_path, tmp_path / "missing.ipynb", tmp_path / "empty.ipynb", tmp_path / ("x" * 5000)):
        with pytest.raises(NotebookError) as caught:
            read_cells(path)
        assert str(caught.value).startswith(path.name)


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        (["A = 1"] * 2001, "has 2,001 code cells, at most 2,000 are read"),
        (["A = 1\n" * 100_000], "has 600,000 characters of code, at most 500,000 are read"),
        (["%time x\n" * 3000], "has too many magics"),
        (["x = !ls\n" * 10 + "y = 2\n" * 50_000], "has too many magics"),
        (["a." * 50_000 + "?"], "has too many magics"),
    ],
    ids=["cells", "characters", "magics", "shell lines", "question marks"],
)
def test_more_code_than_anybody_writes_is_refused_at_once(sources, words, tmp_path):
    path, start = write(tmp_path, sources), time.monotonic()
    with pytest.raises(NotebookError, match=words):
        read_cells(path)
    assert time.monotonic() - start < 2  # some of these keep IPython busy for minutes


@pytest.mark.parametrize("source", ["\n" * 100_000, "#\n" * 50_000, "async\n" * 20_000, " " * 100_000])
def test_long_runs_of_nothing_take_no_more_than_seconds(source, tmp_path):
    start = time.monotonic()
    assert not build_namespace(read_cells(write(tmp_path, [source]))).marked
    assert time.monotonic() - start < 30  # with patterns that run over line ends this took minutes


# --- repairs -------------------------------------------------------------------------------------------------------

NBGRADER = {"nbgrader": {"schema_version": 3, "solution": True}}


def parse(*cells: tuple[str, str, dict]) -> tuple[list[str], list[str]]:
    """Labels with sources, and notes, of cells given as type, source and metadata."""
    cells = [{"cell_type": kind, "source": source, "metadata": metadata} for kind, source, metadata in cells]
    found, notes = parse_cells(json.dumps({"cells": cells}).encode(), "x.ipynb")
    return [f"{cell.label}: {cell.source.rstrip()}" for cell in found], notes


@pytest.mark.parametrize("kind", ["markdown", "raw"])
def test_an_exercise_in_a_cell_that_is_no_code_cell_counts_as_code_and_is_said(kind):
    prose, answer = ("markdown", "# exercises", {}), MARK + "def f(): pass"
    cells, notes = parse(("code", "A = 1", {}), prose, (kind, answer, NBGRADER), ("code", "B = 2", {}))
    assert cells == ["cell 1: A = 1", f"cell 2: {answer}", "cell 3: B = 2"]
    assert notes == [f"cell 2 is a {kind} cell; its code was graded"]


@pytest.mark.parametrize("kind", ["markdown", "raw", "heading", "<script>", 3, ["code"], None])
def test_an_exercise_quoted_in_prose_does_not_replace_the_answer(kind):
    answer = ("code", MARK + "def f(): return 1", NBGRADER)
    assert parse(answer, (kind, MARK + "def f(): return 2", {})) == (["cell 1: " + answer[1]], [])
    assert parse(("code", "A = 1", {}), (kind, MARK + "what f does", {})) == (["cell 1: A = 1"], [])


def test_lost_metadata_of_exercise_cells_is_said_cell_by_cell_or_once_for_all():
    cells = [("code", f"# exercise: f{n}\ndef f{n}(): pass", {} if n < 2 else NBGRADER) for n in range(4)]
    lost = [(kind, source, {"nbgrader": "gone"}) for kind, source, _ in cells]
    assert parse(("code", "A = 1", {}), *cells)[1] == [
        "cell 2: its metadata is lost; found by its comment",
        "cell 3: its metadata is lost; found by its comment",
    ]
    assert parse(*cells[2:])[1] == []
    assert parse(*lost)[1] == ["the metadata of all exercise cells is lost; they were found by their comments"]
    assert parse(*lost * 2, *cells)[1] == [
        "the metadata of 10 exercise cells is lost; they were found by their comments"
    ]


def test_many_repairs_make_one_note():
    cells = [("markdown", f"# exercise: f{n}\ndef f{n}(): pass", {}) for n in range(1000)]
    assert parse(*cells)[1] == ["1000 markdown or raw cells hold exercises; their code was graded"]


def test_reading_does_not_need_the_libraries_that_notebooks_are_written_with(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nbformat", None)
    assert read_cells(write(tmp_path, ["A = 1"])) and "nbformat" not in vars(cells_module)
