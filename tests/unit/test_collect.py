"""What an instructor names becomes one row for each student and chapter, whatever students put there."""

import copy
import hashlib
import io
import json
import os
import random
import re
import stat
import struct
import time
import unicodedata
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from utils.course.cells import MAX_NOTEBOOK_BYTES
from utils.course.namespace import build_namespace
from utils.grading import UsageError, handed_in
from utils.grading import collect as collect_module
from utils.grading.chapters import find_chapter
from utils.grading.collect import Submission, collect
from utils.grading.handed_in import display_name

ONE, TWO = "01_linear_probes", "02_trusting_probes"
EXERCISE = {ONE: "pool_mean", TWO: "control_labels"}
NBGRADER = {"nbgrader": {"schema_version": 3, "solution": True}}


def notebook(*sources: str, metadata: dict | None = None) -> bytes:
    metadata = NBGRADER if metadata is None else metadata
    cells = [{"cell_type": "code", "source": source, "metadata": metadata} for source in sources]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def answer(chapter: str = ONE, value: int = 1) -> bytes:
    name = EXERCISE[chapter]
    return notebook(f'start_chapter("{chapter}")', f"# exercise: {name}\ndef {name}():\n    return {value}")


def put(folder: Path, files: dict[str, bytes], when: int = 1_800_000_000) -> Path:
    """Files, or folders where the name ends with /; all of the same time."""
    for name, content in files.items():
        path = folder / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(content)
            os.utime(path, (when, when))
    return folder


def pack(path: Path, members: dict[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name if isinstance(name, zipfile.ZipInfo) else member(name), content)
    return path


def member(name: str, mode: int = stat.S_IFREG | 0o644, when=(2026, 11, 20, 14, 3, 0)) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("placeholder", when)
    info.filename, info.external_attr, info.compress_type = name, mode << 16, zipfile.ZIP_DEFLATED
    return info


def names(rows: list[Submission]) -> list[tuple[str, str | None]]:
    return [(row.student, row.chapter) for row in rows]


def the_only(rows: list[Submission]) -> Submission:
    assert len(rows) == 1, rows
    return rows[0]


def value(row: Submission, chapter: str = ONE):
    return build_namespace(row.cells).names[EXERCISE[chapter]]()


@pytest.fixture(params=["folder", "zip"])
def hand_in(request, tmp_path):
    """Collects files that lie in a folder, or the same ones in a zip."""

    def collect_files(files: dict[str, bytes], chapter: str | None = None) -> list[Submission]:
        if request.param == "folder":
            return collect([put(tmp_path / "class", {"empty/": b""} | files)], chapter)
        return collect([pack(tmp_path / "class.zip", {"empty/": b""} | files)], chapter)

    return lambda *args: [row for row in collect_files(*args) if row.student != "empty"]


# --- the command line ----------------------------------------------------------------------------------------------


def usage(paths: list, chapter: str | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        collect(paths, chapter)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    return str(caught.value)


def test_what_cannot_be_graded_at_all_is_said_in_one_line_with_the_cure(tmp_path):
    put(tmp_path, {"report.pdf": b"%PDF", "nothing/": b"", "junk/.DS_Store": b"", "junk/README.md": b"read me"})
    put(
        tmp_path,
        {"x.zip": b"no zip at all", "cut.zip": pack(tmp_path / "a.zip", {"a.ipynb": answer()}).read_bytes()[:50]},
    )
    pack(tmp_path / "empty.zip", {})
    assert usage([]) == "nothing to grade; name notebooks, folders or zips"
    for name in ("missing", "missing\nname", "\0", "x" * 5000, "report.pdf/x.ipynb"):
        assert "check the path" in usage([tmp_path / name])
    assert "is not a notebook (.ipynb), a folder or a zip; name one" in usage([tmp_path / "report.pdf"])
    for name in ("nothing", "junk", "empty.zip"):
        assert f"{name} is empty; name the folder that holds" in usage([tmp_path / name])
    for name in ("x.zip", "cut.zip"):
        assert f"{name} cannot be opened: it is damaged, or no zip; unpack it" in usage([tmp_path / name])
    os.mkfifo(tmp_path / "pipe.ipynb")
    assert "is not a notebook" in usage([tmp_path / "pipe.ipynb"])


def test_a_link_on_the_command_line_is_refused(tmp_path):
    put(tmp_path, {"sub/alice.ipynb": answer()})
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "sub/alice.ipynb")
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    for name in ("link.ipynb", "link"):
        assert "is a link; name the file or folder that it points to" in usage([tmp_path / name])


@pytest.mark.parametrize("text", ["01", "1", ONE])
def test_a_chapter_is_known_by_number_and_name(text):
    assert find_chapter(text) == ONE


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("01_linear_prob", f"did you mean {ONE}?"),
        ("trusting_probes", f"did you mean {TWO}?"),
        ("77", f"the chapters are {ONE}, {TWO}"),
        ("", "the chapters are"),
        ("x\n" * 100_000, "the chapters are"),
    ],
    ids=ascii,
)
def test_an_unknown_chapter_is_named_with_what_was_meant(text, cure, tmp_path):
    assert cure in usage([tmp_path], text)


# --- whose it is ---------------------------------------------------------------------------------------------------


def test_a_notebook_is_of_the_student_by_its_name_or_its_folders(tmp_path):
    put(tmp_path, {f"{name}.ipynb": answer() for name in ("alice", f"bob/{ONE}", f"carol/{ONE}/{ONE} (1)")})
    assert the_only(collect([tmp_path / "alice.ipynb"])).file == "alice.ipynb"
    assert names(collect([tmp_path / f"bob/{ONE}.ipynb"])) == [("bob", ONE)]
    assert names(collect([str(tmp_path / f"carol/{ONE}/{ONE} (1).ipynb")])) == [("carol", ONE)]


@pytest.mark.parametrize(
    ("file", "student"),
    [
        ("alice/x.ipynb", "alice"),
        ("alice/deep/down/X.IPYNB", "alice"),
        ("alice.ipynb", "alice"),
        (f"alice/{ONE}.ipynb", "alice"),
        (f"alice/{ONE}/{ONE}.ipynb", "alice"),  # nbgrader
        (f"alice/{ONE}/x.ipynb", "alice"),
        (f"{ONE}/alice/x.ipynb", "alice"),
        (f"{ONE}/alice.ipynb", "alice"),
        (f"{ONE}.ipynb", "class"),
        (f"{ONE}-Copy1.ipynb", "class"),
        (f"{ONE} - Copy (2).ipynb", "class"),
        (f"{ONE.upper()} (3).ipynb", "class"),
        (f"{ONE}_alice.ipynb", f"{ONE}_alice"),
        ("Alice Ng_123_assignsubmission_file/hw.ipynb", "Alice Ng_123_assignsubmission_file"),  # Moodle
        ("ngalice_LATE_123_456_hw.ipynb", "ngalice_LATE_123_456_hw"),  # Canvas
        ("1/hw.ipynb", "1"),
    ],
)
def test_the_first_name_that_is_no_chapter_is_the_student(file, student, hand_in):
    row = the_only(hand_in({file: answer()}))
    assert (row.student, row.file, row.chapter, row.reason, row.notes) == (student, file, ONE, "", ())
    assert row.sha256 == hashlib.sha256(answer()).hexdigest() and value(row) == 1


def test_a_folder_with_notebooks_called_after_chapters_is_one_student(hand_in):
    rows = hand_in({f"{ONE}.ipynb": answer(ONE), f"{TWO}.ipynb": answer(TWO)})
    assert names(rows) == [("class", ONE), ("class", TWO)]


def test_what_systems_leave_behind_is_skipped_without_a_word(hand_in):
    junk = [".DS_Store", "Thumbs.db", "desktop.ini", "README.md", "__MACOSX/alice/._x.ipynb", "._alice.ipynb"]
    junk += [".git/x.ipynb", "alice/.ipynb_checkpoints/x-checkpoint.ipynb", "alice/.hidden.ipynb", "README", "Icon\r"]
    files = {"alice/x.ipynb": answer()} | dict.fromkeys(junk, answer(value=2))
    row = the_only(hand_in(files))
    assert (row.student, value(row), row.notes) == ("alice", 1, ())


def test_other_files_beside_the_students_are_rows_with_reasons(hand_in):
    rows = hand_in({"alice/x.ipynb": answer(), "bob.pdf": b"%PDF", "carol.py": b"x = 1", "dan.zip": b"PK", "eve": b""})
    reasons = {row.student: row.reason for row in rows}
    assert reasons.keys() == {"alice", "bob", "carol", "dan", "eve"} and not reasons["alice"]
    assert reasons["dan"] == "dan.zip is not a notebook; hand in the notebook (.ipynb) itself"


def test_a_zip_of_a_folder_counts_as_that_folder(tmp_path):
    files = {"hw/alice.ipynb": answer(), f"hw/{ONE}/bob/x.ipynb": answer(), f"hw/{ONE}.ipynb": answer()}
    rows = collect([pack(tmp_path / "download.zip", {"hw/": b"", "hw/empty/": b"", **files})])
    assert names(rows) == [("alice", ONE), ("bob", ONE), ("empty", None), ("hw", ONE)]
    assert rows[0].file == "hw/alice.ipynb"
    rows = collect([pack(tmp_path / "one.zip", {"alice/x.ipynb": answer(), "alice/x.pdf": b""})])
    assert names(rows) == [("alice", ONE)]


def test_one_hostile_member_does_not_change_whose_the_others_are(tmp_path):
    files = {"hw/alice.ipynb": answer(), "hw/bob.ipynb": answer(), member("../x"): b"", member("l", stat.S_IFLNK): b"x"}
    assert names(collect([pack(tmp_path / "x.zip", files)])) == [
        ("../x", None),
        ("alice", ONE),
        ("bob", ONE),
        ("l", None),
    ]


def test_the_same_student_in_two_arguments_is_two_rows_with_names_that_tell_which(tmp_path):
    put(tmp_path, {"a/x.ipynb": answer(), "b/x.ipynb": answer(), "b/y.ipynb": answer(), "c/x.ipynb": answer(TWO)})
    folders = [tmp_path / name for name in "abc"]
    assert names(collect(folders)) == [("a/x", ONE), ("b/x", ONE), ("x", TWO), ("y", ONE)]
    assert names(collect([folder / "x.ipynb" for folder in folders])) == [("a/x", ONE), ("b/x", ONE), ("x", TWO)]
    assert names(collect([folders[0], tmp_path / "b/../a", str(folders[0])])) == [("x", ONE)]
    put(tmp_path, {"d/a/x.ipynb": answer()})
    assert names(collect([tmp_path / "a", tmp_path / "d/a"]))[0] == ("d/a/x", ONE)


# --- which one counts ----------------------------------------------------------------------------------------------


def test_the_newest_of_several_attempts_counts_and_is_named(tmp_path):
    folder = put(
        tmp_path / "class", {"alice/a.ipynb": answer(value=1), "alice/c.ipynb": answer(value=3)}, 1_700_000_000
    )
    put(folder, {"alice/b/x.ipynb": answer(value=2)}, 1_795_183_380)
    row = the_only(collect([folder]))
    note = "3 notebooks for this chapter; the newest, alice/b/x.ipynb of 2026-11-20 14:03 UTC, counts"
    assert (value(row), row.file, row.notes) == (2, "alice/b/x.ipynb", (note,))


def test_in_a_zip_the_times_are_the_members_own(tmp_path):
    files = {"bob/": b"", member("alice/a.ipynb"): answer(value=1)}
    files[member("alice/b.ipynb", when=(2026, 11, 19, 23, 59, 58))] = answer(value=2)
    row = collect([pack(tmp_path / "x.zip", files)])[0]
    assert value(row) == 1 and "newest, alice/a.ipynb of 2026-11-20 14:03, counts" in row.notes[0]


def test_of_attempts_of_the_same_time_the_last_by_name_counts(hand_in):
    row = the_only(hand_in({"alice/b.ipynb": answer(value=2), "alice/a.ipynb": answer(value=1)}))
    assert value(row) == 2 and row.file == "alice/b.ipynb"


def test_times_that_no_calendar_has_are_no_obstacle(tmp_path):
    assert handed_in._date(1e20) == handed_in._date(float("inf")) == "an unknown time"
    files = {member("alice/a.ipynb", when=(1980, 0, 0, 31, 63, 62)): answer(), "alice/b.ipynb": answer(), "bob/": b""}
    assert collect([pack(tmp_path / "x.zip", files)])[0].file == "alice/b.ipynb"


@pytest.mark.parametrize(
    ("sources", "chapter"),
    [
        (["# exercise: pool_mean\ndef pool_mean(): pass", f'start_chapter("{TWO}")'], ONE),
        (["# exercise: pool_mean", "# exercise: roc_auc", "# exercise: selectivity"], ONE),
        ([f"start_chapter( '{TWO}' )", "def pool_mean(): pass", "def roc_auc(): pass"], TWO),
        (["# exercise: pool_mean", "# exercise: selectivity", f'start_chapter("{TWO}")'], TWO),
        (["def selectivity(:"], TWO),
        (["    async  def\tselectivity():"], TWO),
        (["selectivity = lambda acts: 0"], TWO),
        (["print('# exercise: pool_mean')", "# exercise: unknown", "start_chapter('99_x')", "x = 'def roc_auc'"], None),
        ([], None),
    ],
)
def test_the_chapter_is_told_by_comments_then_by_its_start_then_by_functions(sources, chapter, tmp_path):
    row = the_only(collect([put(tmp_path, {"a.ipynb": notebook(*sources)})]))
    assert row.chapter == chapter and bool(row.reason) == (chapter is None)
    if chapter is None:
        looked_for = "a.ipynb has no `# exercise: name`, `start_chapter(...)` or function of an exercise of"
        assert row.reason.startswith(looked_for) and ONE in row.reason


def test_only_the_chapter_that_is_wanted_is_graded(hand_in):
    both = {"alice/a.ipynb": answer(ONE), "alice/b.ipynb": answer(TWO), "bob/b.ipynb": answer(TWO)}
    rows = hand_in(both, "1")
    assert names(rows) == [("alice", ONE), ("bob", TWO)]
    assert rows[0].notes == (f"not graded: b.ipynb is of {TWO}, not of {ONE}",) and rows[0].cells
    assert rows[1].reason == f"b.ipynb is of {TWO}, not of {ONE}" and not rows[1].cells


def test_a_notebook_that_cannot_be_read_is_a_note_if_another_stands_in_for_it_and_else_a_row(hand_in):
    files = {"alice/a.ipynb": answer(), "alice/b.ipynb": b"", f"alice/{TWO}.ipynb": b"{", "alice/data.csv": b"1"}
    rows = hand_in(files)
    assert names(rows) == [("alice", ONE), ("alice", TWO)]
    assert rows[0].notes == ("not graded: b.ipynb is empty; save it again from Jupyter",)
    assert rows[1].reason == f"{TWO}.ipynb is not JSON; expected a Jupyter notebook (.ipynb)"
    assert rows[1].sha256 == hashlib.sha256(b"{").hexdigest()


def test_a_student_without_a_notebook_is_one_row_that_lists_what_was_found(tmp_path):
    files = {f"alice/{n}.pdf": b"" for n in range(7)} | {"bob/": b"", "bob/deeper/": b"", "carol/hw.zip": b"PK"}
    files |= {"dan/a.ipynb": b"", "dan/b.ipynb": b"[]", "eve/.DS_Store": b""}
    rows = {row.student: row for row in collect([put(tmp_path, files)])}
    assert rows["alice"].reason == (
        "no notebook among what was handed in (0.pdf, 1.pdf, 2.pdf, 3.pdf, 4.pdf, and 2 more); "
        "hand in the notebook (.ipynb) itself"
    )
    assert (rows["alice"].file, rows["carol"].file) == ("alice", "carol/hw.zip")
    assert rows["bob"].reason == rows["eve"].reason == "an empty folder; hand in the notebook (.ipynb) itself"
    assert rows["carol"].reason == "hw.zip is not a notebook; hand in the notebook (.ipynb) itself"
    assert rows["dan"].reason.startswith("none of the notebooks can be graded: a.ipynb is empty; save")
    assert "b.ipynb is JSON but not a notebook" in rows["dan"].reason and rows["dan"].chapter is None


def test_the_order_does_not_depend_on_the_order_on_disk(tmp_path, monkeypatch):
    files = {f"{name}/{chapter}.ipynb": answer(chapter) for name in "cab" for chapter in (TWO, ONE)}
    folder = put(tmp_path / "class", files | {f"{name}/broken{n}.ipynb": b"" for name in "cab" for n in range(3)})
    rows = collect([folder])
    assert names(rows) == [(name, chapter) for name in "abc" for chapter in (ONE, TWO)]
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: real(path)[::-1])
    assert collect([folder]) == rows


def test_repairs_in_the_notebook_are_noted(tmp_path):
    folder = put(tmp_path, {"a.ipynb": notebook("# exercise: pool_mean\ndef pool_mean(): pass", metadata={})})
    assert the_only(collect([folder])).notes[0].startswith("the metadata of all exercise cells is lost")


# --- what students hand in -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"print(1)", "is not JSON"),
        (b"\xff\xfe{\x00", "is not UTF-8"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"cells": [' + b"9" * 5000 + b"]}", "is not JSON"),
        (b'{"cells": [{"cell_type": "code", "source": 3}]}', "is JSON but not a notebook"),
        (b'{"cells": [' + b'{"cell_type":"code"},' * 30_000 + b"{}]}", "is JSON but not a notebook"),
        (b'{"cells": [' + b'{"cell_type":"code"},' * 30_000 + b'{"cell_type":"code"}]}', "has 30,001 code cells"),
        (b"{}," * 3_000_000, "holds more than 2,000,000 lists"),
        (b" " * (MAX_NOTEBOOK_BYTES + 1), "has more than 50 MB; clear its outputs"),
    ],
    ids=lambda value: ascii(value[:30]),
)
def test_a_file_that_is_no_notebook_is_a_row_that_says_why_and_not_where(content, words, hand_in, tmp_path):
    row = the_only(hand_in({"alice/x.ipynb": content}))
    assert row.reason.startswith(f"x.ipynb {words}") and not row.cells
    assert (row.student, row.file, row.chapter) == ("alice", "alice/x.ipynb", None)
    assert str(tmp_path) not in str(row)


def test_folders_links_and_pipes_in_place_of_a_notebook_are_rows_and_never_opened(tmp_path):
    folder = put(tmp_path / "class", {"a/x.ipynb/": b"", "f.ipynb/y.ipynb": answer()})
    secret = put(tmp_path, {"secret/s.ipynb": answer(value=42)}) / "secret"
    for name in "bcd":
        (folder / name).mkdir()
    (folder / "b/x.ipynb").symlink_to(secret / "s.ipynb")
    (folder / "c/x").symlink_to(secret)
    (folder / "e").symlink_to(secret)
    (folder / "g.ipynb").symlink_to("nowhere")
    os.mkfifo(folder / "d/x.ipynb")
    rows = {row.student: row for row in collect([folder])}
    link = "is a link; hand in the file itself"
    assert {student: row.reason for student, row in rows.items()} == {
        "a": "x.ipynb is a folder; hand in the file itself",
        "b": f"x.ipynb {link}",
        "c": f"x {link}",
        "d": "x.ipynb is not a plain file; hand in the file itself",
        "e": f"e {link}",
        "f.ipynb": "",
        "g": f"g.ipynb {link}",
    }
    assert rows["f.ipynb"].notes == ("not graded: f.ipynb is a folder; hand in the file itself",)


def test_what_may_not_be_read_is_a_row_and_a_folder_on_the_command_line_an_error(tmp_path, monkeypatch):
    put(tmp_path, {"alice/x.ipynb": answer(), "bob/x.ipynb": answer()})

    def refuse(real, ending):
        def refusing(path, *args, **kwargs):
            if str(path).endswith(ending):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *args, **kwargs)

        return refusing

    monkeypatch.setattr(Path, "open", refuse(Path.open, "alice/x.ipynb"))  # root may read everything
    monkeypatch.setattr(os, "listdir", refuse(os.listdir, "bob"))
    rows = collect([tmp_path])
    assert [row.reason for row in rows] == [
        "x.ipynb cannot be read: Permission denied",
        "bob cannot be opened: Permission denied",
    ]
    monkeypatch.setattr(os, "listdir", refuse(os.listdir, tmp_path.name))
    assert "cannot be opened (Permission denied); check its permissions" in usage([tmp_path])


def test_folders_nested_deeper_than_paths_may_be_long_are_no_obstacle(tmp_path):
    folder, here = put(tmp_path / "class", {"alice/x.ipynb": answer()}), os.getcwd()
    try:
        os.chdir(folder / "alice")
        for _ in range(1500):
            os.mkdir("ddd")
            os.chdir("ddd")
        assert names(collect([folder])) == [("alice", ONE)]
    finally:
        for _ in range(1500):
            os.chdir("..")
            os.rmdir("ddd")
        os.chdir(here)


ODD = {
    "right to left": "\u202egpj.ecila",
    "newline": "a\nb",
    "formula": '=cmd("x")',
    "markup": "<script>alert(1)</script>",
    "dots": "..x",
    "spaces": "  ",
    "long": "x" * 249,
    "surrogate": "\udcff",
    "its escape": "\\udcff",
    "both": "\\\udcff",
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "emoji": "\U0001f600\u200d\U0001f600",
    "rich": "[bold]x[/bold]",
    "tag": "\U000e0041",
}


def test_students_with_odd_names_stay_as_they_are_and_apart(tmp_path):
    for number, name in enumerate(ODD.values()):
        put(tmp_path, {f"_{name}/x.ipynb": answer(value=number)})
    rows = collect([tmp_path])
    students = {row.student for row in rows}
    assert len(students) == len(rows) == len(ODD) and {value(row) for row in rows} == set(range(len(ODD)))
    assert {'_=cmd("x")', "_a\nb", "_\u202egpj.ecila", "_\\udcff", "_\u00e9", "_e\u0301"} <= students
    for row in rows:
        text = json.dumps([row.student, row.file, row.notes], ensure_ascii=False)
        assert text.encode() and str(tmp_path) not in text


def test_different_names_stay_different_when_they_are_made_encodable():
    letters = ["\\", "u", "d", "c", "f", "\udcff", "\ud800", "0"]
    generator = random.Random(0)
    raw = {"".join(generator.choices(letters, k=generator.randint(0, 8))) for _ in range(50_000)}
    made = {collect_module._encodable(name) for name in raw}
    assert len(made) == len(raw) and all(name.encode() is not None for name in made)
    assert collect_module._encodable("a\\b") == "a\\b"


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("Zoë Ng", 80, "Zoë Ng"),
        ("Zoe\u0308", 80, "Zoë"),
        ("a\nb\tc\0", 80, "a\\u000ab\\u0009c\\u0000"),
        ("\u202egpj.x\u2066\u200b\ufeff\u2028", 80, "\\u202egpj.x\\u2066\\u200b\\ufeff\\u2028"),
        ("\udcff\x1b[31m", 80, "\\udcff\\u001b[31m"),
        ("\U000e0041", 80, "\\U000e0041"),
        ("x" * 80, 80, "x" * 80),
        ("x" * 81, 80, "x" * 79 + "…"),
        ("abc\n\n", 9, "abc…"),
        ("\n" * 100, 13, "\\u000a\\u000a…"),
        ("e\u0301" * 4, 4, "é" * 4),
        ("", 80, ""),
    ],
    ids=ascii,
)
def test_a_displayed_name_is_one_visible_line_of_limited_length(text, limit, shown):
    assert display_name(text, limit) == shown and len(shown) <= limit


def test_displaying_a_million_accents_takes_no_time():
    start = time.monotonic()
    assert len(display_name("e" + "\u0301\u0327" * 1_000_000)) <= 80
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("seed", range(200))
def test_a_randomly_damaged_notebook_is_one_row(seed, tmp_path):
    row = the_only(collect([put(tmp_path, {"alice/x.ipynb": damaged(random.Random(seed))})]))
    assert row.student == "alice" and (row.reason == "" or row.cells == ())
    assert bool(row.reason) or row.chapter in EXERCISE
    assert all(isinstance(cell.source, str) for cell in row.cells)


def damaged(generator: random.Random) -> bytes:
    content = notebook(*(f"# exercise: {name}\ndef {name}():\n    return 1" for name in EXERCISE.values()), "x = 1")
    match generator.randrange(4):
        case 0:  # bytes flipped
            flipped = bytearray(content)
            for _ in range(generator.randint(1, 30)):
                flipped[generator.randrange(len(flipped))] = generator.randrange(256)
            return bytes(flipped)
        case 1:
            return content[: generator.randrange(len(content))]
        case 2:  # a piece twice
            start, stop = sorted(generator.choices(range(len(content)), k=2))
            return content[:stop] + content[start:]
    tree = json.loads(content)
    for _ in range(generator.randint(1, 4)):  # keys removed, types exchanged
        places = [(tree, key) for key in tree]
        for parent, key in places:  # grows on the way
            inner = parent[key]
            if isinstance(inner, dict | list):
                places += [(inner, k) for k in (inner if isinstance(inner, dict) else range(len(inner)))]
        if not places:
            break
        parent, key = generator.choice(places)
        if generator.random() < 0.3:
            del parent[key]
        else:
            odd = [None, True, 0, -1.5, "", "\ud800", [], {}, [[]], {"cells": []}, "code", 10**400, float("nan")]
            parent[key] = copy.deepcopy(generator.choice(odd))
    return json.dumps(tree).encode()


# --- zips ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("../x.ipynb", "../../../../tmp/x.ipynb", "alice/../../x.ipynb", "/tmp/x.ipynb", "\\tmp\\x.ipynb"),
        *("..\\x.ipynb", "C:\\x.ipynb", "c:x.ipynb", "//server/x.ipynb", "..", "/", "./..", "../x/"),
    ],
)
def test_a_name_that_points_outside_the_zip_is_a_row_and_never_a_file(name, tmp_path, monkeypatch):
    inside = tmp_path / "here/below"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    before = sorted(tmp_path.rglob("*"))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(member(name), answer())
        file.writestr("alice/x.ipynb", answer())
    Path("x.zip").write_bytes(archive.getvalue())
    rows = collect([Path("x.zip")])
    assert names(rows) == sorted([("alice", ONE), (os.path.splitext(name)[0], None)])
    bad = next(row for row in rows if row.student != "alice")
    assert "points outside the zip" in bad.reason and bad.file == name and not bad.cells
    assert sorted(tmp_path.rglob("*")) == sorted([*before, inside / "x.zip"])


def test_links_and_devices_in_a_zip_are_rows(tmp_path):
    files = {member("a/x.ipynb", stat.S_IFLNK | 0o777): b"/etc/passwd", member("b/x.ipynb", stat.S_IFIFO): b""}
    files |= {member("c", stat.S_IFLNK | 0o777): b"/etc", member("d/x.ipynb", stat.S_IFCHR): b"", "e/x.ipynb": answer()}
    reasons = {row.student: row.reason for row in collect([pack(tmp_path / "x.zip", files)])}
    link, device = "is a link; hand in the file itself", "is not a plain file; hand in the file itself"
    expected = {"a": f"x.ipynb {link}", "b": f"x.ipynb {device}", "c": f"c {link}", "d": f"x.ipynb {device}", "e": ""}
    assert reasons == expected


def patched(path: Path, signature: bytes, offset: int, content: bytes, member_number: int = 0) -> Path:
    """A zip with some bytes of one member's header replaced."""
    data = bytearray(path.read_bytes())
    starts = [match.start() for match in re.finditer(re.escape(signature), data)]
    data[starts[member_number] + offset :][: len(content)]
    start = starts[member_number] + offset
    data[start : start + len(content)] = content
    path.write_bytes(data)
    return path


LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


@pytest.mark.parametrize(
    ("signature", "offset", "content", "words"),
    [
        (CENTRAL, 8, struct.pack("<H", 1), "is encrypted"),
        (CENTRAL, 10, struct.pack("<H", 14), "is packed by an unusual method"),
        (CENTRAL, 10, struct.pack("<H", 99), "is packed by an unusual method"),
        (CENTRAL, 16, b"\0\0\0\0", "cannot be unpacked (BadZipFile)"),
        (CENTRAL, 24, struct.pack("<I", 10), "cannot be unpacked (BadZipFile)"),
        (CENTRAL, 42, struct.pack("<I", 1), "cannot be unpacked (BadZipFile)"),
        (LOCAL, 0, b"KP", "cannot be unpacked (BadZipFile)"),
        (LOCAL, 30, b"b", "cannot be unpacked (BadZipFile)"),
        (LOCAL, 30 + len("a.ipynb"), b"\xff\xff\xff", "cannot be unpacked (error)"),
    ],
)
def test_a_damaged_or_locked_member_is_a_row_and_the_others_are_graded(signature, offset, content, words, tmp_path):
    path = pack(tmp_path / "x.zip", {"a.ipynb": answer(), "c.ipynb": answer()})
    rows = collect([patched(path, signature, offset, content)])
    assert names(rows) == [("a", None), ("c", ONE)] and rows[0].reason.startswith(f"a.ipynb {words}")


def test_a_size_that_is_a_lie_does_no_harm(tmp_path):
    path = pack(tmp_path / "x.zip", {"a.ipynb": answer(), "c.ipynb": answer()})
    assert names(collect([patched(path, CENTRAL, 24, struct.pack("<I", 2**32 - 2))])) == [("a", ONE), ("c", ONE)]


@pytest.mark.parametrize(
    "name", ["a\0.ipynb", "a\0/../x.ipynb", "a\n.ipynb", "a\x1b[2J.ipynb", "a\x7f.ipynb"], ids=ascii
)
def test_names_with_control_characters_are_rows(name, tmp_path):
    stand_in = "".join("~" if unicodedata.category(char) == "Cc" else char for char in name)
    path = pack(tmp_path / "x.zip", {"c.ipynb": answer(), stand_in: answer()})
    path.write_bytes(path.read_bytes().replace(stand_in.encode(), name.encode()))
    rows = collect([path])
    assert names(rows) in ([(os.path.splitext(name)[0], None), ("c", ONE)], [("c", ONE), (rows[-1].student, None)])
    bad = next(row for row in rows if row.student != "c")
    assert re.search("control characters|points outside", bad.reason)
    assert not any(unicodedata.category(char) == "Cc" for char in bad.reason)


def test_a_name_that_occurs_twice_is_said(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("alice/x.ipynb", "alice/x.ipynb", "alice//./x.ipynb"):
            archive.writestr(name, answer())
    assert (
        the_only(collect([tmp_path / "x.zip"])).notes == ("not graded: x.ipynb is twice in the zip; pack it anew",) * 2
    )


def test_a_member_that_grows_beyond_the_limit_is_a_row_and_leaves_nothing_behind(tmp_path, monkeypatch):
    files = {"bomb/x.ipynb": bytes(MAX_NOTEBOOK_BYTES + 1), "alice/x.ipynb": answer(), "data/x.csv": bytes(10**8)}
    path = pack(tmp_path / "x.zip", files)
    assert path.stat().st_size < 300_000
    monkeypatch.setattr("tempfile.tempdir", str(put(tmp_path / "temporary", {"x/": b""})))
    rows = collect([path])
    assert names(rows) == [("alice", ONE), ("bomb", None), ("data", None)]
    assert rows[1].reason == "x.ipynb has more than 50 MB; clear its outputs in Jupyter and save it again"
    assert os.listdir(tmp_path / "temporary") == ["x"] and path.exists()


def test_many_large_members_do_not_use_up_the_room_of_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(handed_in, "MAX_ZIP_BYTES", 1_000_000)
    files = {f"aaa/{n}.ipynb": bytes(400_000) for n in range(4)} | {"alice/x.ipynb": answer()}
    rows = collect([pack(tmp_path / "x.zip", files)])
    assert names(rows) == [("aaa", None), ("alice", ONE)]
    assert rows[0].reason.count("are read of a zip") == 2 and rows[0].reason.count("is not JSON") == 2


def test_more_members_than_the_limit_are_said_for_every_student(tmp_path, monkeypatch):
    monkeypatch.setattr(handed_in, "MAX_MEMBERS", 3)
    files = {f"{name}/{n}.ipynb": answer() for n in range(2) for name in "abc"}
    rows = collect([pack(tmp_path / "x.zip", files | {f"__MACOSX/{n}": b"" for n in range(9)})])
    assert names(rows) == [("a", ONE), ("b", ONE), ("c", ONE)]
    assert all("is beyond the 3 files that are read of a zip" in row.notes[-1] for row in rows)


def test_a_zip_with_ten_thousand_members_takes_seconds(tmp_path):
    path = pack(tmp_path / "x.zip", {f"a/{n}.txt": b"" for n in range(12_000)} | {"b/x.ipynb": answer()})
    start = time.monotonic()
    rows = collect([path])
    assert time.monotonic() - start < 10 and names(rows)[0][0] == "a"


def test_any_flipped_byte_in_a_zip_is_an_error_in_words_or_rows(tmp_path):
    whole = pack(tmp_path / "x.zip", {"a/x.ipynb": answer(), "b.ipynb": answer()}).read_bytes()
    generator = random.Random(0)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(generator.randint(1, 3)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        (tmp_path / "x.zip").write_bytes(data)
        try:
            rows = collect([tmp_path / "x.zip"])
        except UsageError:
            continue
        assert rows and all(row.student.encode() and row.file.encode() is not None for row in rows)


def test_a_submission_can_be_changed_only_by_making_another(tmp_path):
    row = the_only(collect([put(tmp_path, {"a.ipynb": answer()})]))
    with pytest.raises(AttributeError):
        row.student = "b"
    assert replace(row, student="b").cells == row.cells
