"""From what an instructor names on the command line to submissions: whose they are, of which chapter, what they hold.

An argument is a notebook, a folder, or a zip, which is read as the folder that it would unpack to. The first name on
the way to a notebook that is no chapter's name is the student's: `alice/01_linear_probes/x.ipynb` and `alice.ipynb`
are alice's. If all are chapters' names, the argument itself is the student. A zip that holds one folder with several
students in it counts as that folder.

Skipped without a word: hidden files, `__MACOSX`, what Windows leaves in folders, and a README beside the students.
"""

import hashlib
import os
import posixpath
import re
import stat
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from utils.course.build import chapter_names
from utils.course.cells import MAX_NOTEBOOK_BYTES, Cell, NotebookError, parse_cells
from utils.grading import UsageError
from utils.grading.chapters import chapter_named, chapter_of, find_chapter
from utils.grading.handed_in import HandedIn, display_name, look_at, read_zip, walk_folder
from utils.grading.results import SubmissionRow

MAX_NAMED = 5  # things named in one reason; of the others it says how many
README = re.compile(r"readme(\.\w+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Submission:
    """One notebook of one student, or the reason why what was handed in cannot be graded."""

    student: str  # as handed in
    file: str  # as handed in, relative to the argument, with /
    chapter: str | None  # such as "01_linear_probes"; None if it cannot be told
    sha256: str = ""  # of the file's bytes
    cells: tuple[Cell, ...] = ()
    notes: tuple[str, ...] = ()  # what was chosen or repaired, for the student to read
    reason: str = ""  # why it cannot be graded; then there are no cells

    def row(self) -> SubmissionRow:
        """What a report says of it before it is graded."""
        fields = ("student", "file", "chapter", "sha256", "reason", "notes")
        return SubmissionRow(**{name: getattr(self, name) for name in fields})


def collect(paths: Sequence[Path], chapter: str | None = None) -> list[Submission]:
    """Everything that was handed in, graded or not, by student and then chapter.

    Of several attempts of a student at a chapter the newest counts, and its notes say so. The same student and
    chapter in two arguments are two rows, whose names then begin with the argument's, such as "late/alice".

    Args:
        paths: notebooks, folders and zips.
        chapter: the only chapter wanted, such as "01_linear_probes", "01" or "1"; every chapter if not given.

    Raises:
        UsageError: If a path is missing, a link, empty or of another kind, or the chapter is unknown.
    """
    wanted = find_chapter(chapter) if chapter is not None else None
    if not paths:
        raise UsageError("nothing to grade; name notebooks, folders or zips")
    arguments = [_open(path, wanted) for path in {path.resolve(): path for path in map(_checked, paths)}.values()]
    return sorted(_keep_apart(arguments), key=lambda row: (row.student, row.chapter or "", row.file))


def _checked(path: Path) -> Path:
    """A path from the command line, which must be something to grade."""
    path, shown = Path(path), display_name(str(path), 200)
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError):
        raise UsageError(f"{shown} does not exist or cannot be reached; check the path") from None
    if stat.S_ISLNK(mode):
        raise UsageError(f"{shown} is a link; name the file or folder that it points to")
    if stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and path.suffix.lower() in (".ipynb", ".zip")):
        return path
    raise UsageError(f"{shown} is not a notebook (.ipynb), a folder or a zip; name one of these")


def _open(path: Path, wanted: str | None) -> tuple[Path, list[Submission]]:
    """What one argument holds, and the path by which its students are told from those of other arguments."""
    here, shown = path.resolve(), display_name(str(path), 200)
    if path.is_dir():
        try:
            found = list(walk_folder(path))
        except OSError as error:
            raise UsageError(f"{shown} cannot be opened ({error.strerror}); check its permissions") from None
        return here, _submissions(found, here, wanted, shown)
    if path.suffix.lower() == ".ipynb":
        return here.parent, _submissions([look_at(path, (path.name,))], here.parent, wanted, shown)
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises nearly anything for what is damaged
        what = error.strerror if isinstance(error, OSError) else "it is damaged, or no zip"
        raise UsageError(f"{shown} cannot be opened: {what}; unpack it and name the folder") from None
    with archive:
        folder, found = _without_wrapper(list(read_zip(archive)))
        return here, _submissions(found, here.with_suffix("") / folder, wanted, shown)


def _without_wrapper(found: list[HandedIn]) -> tuple[str, list[HandedIn]]:
    """What a zip holds, seen from its only folder if that has several students in it; and this folder's name."""
    inner = [replace(each, parts=each.parts[1:]) for each in found if len(each.parts) > 1]
    alone = [each for each in found if len(each.parts) == 1 and not each.folder]
    folders = {each.parts[0] for each in found if len(each.parts) > 1 or each.folder}
    students = {_owner(each) for each in inner if each.is_notebook}
    if len(folders) == 1 and len(students) > 1 and all(each.problem for each in alone):
        return folders.pop(), inner + alone
    return "", found


def _submissions(found: list[HandedIn], root: Path, wanted: str | None, shown: str) -> list[Submission]:
    """The rows of all students of one argument; `root` gives the name where all names on the way are chapters'."""
    found = [f for f in found if f.folder or len(f.parts) > 1 or not README.fullmatch(f.parts[0])]
    found = [f for f in found if not f.folder or f.problem or _owner(f)]  # a chapter's folder is nobody's
    if not found:
        raise UsageError(f"{shown} is empty; name the folder that holds the students' notebooks or folders")
    root_name = next((p.name for p in (root, *root.parents) if p.name and not chapter_named(p.name)), "submission")
    students = defaultdict(list)
    for each in found:
        students[_owner(each) or root_name].append(each)
    return [row for student, theirs in students.items() for row in _choose(student, theirs, wanted)]


def _owner(found: HandedIn) -> str | None:
    """The first name on the way that is not a chapter's; None if there is none."""
    *above, last = found.parts
    names = [*above, last if found.folder else os.path.splitext(last)[0]]
    return next((name for name in names if not chapter_named(name)), None)


def _choose(student: str, found: list[HandedIn], wanted: str | None) -> list[Submission]:
    """A row for each chapter of one student; at least one."""
    usable: dict[str, list[tuple[Submission, HandedIn]]] = defaultdict(list)
    refused = []
    for each in sorted(found, key=lambda each: (each.time, each.file)):
        if each.is_notebook:
            row = _read(student, each)
            if not row.reason and wanted and row.chapter != wanted:
                row = replace(row, cells=(), notes=(), reason=f"{each.name} is of {row.chapter}, not of {wanted}")
            if row.reason:
                refused.append(row)
            else:
                usable[row.chapter].append((row, each))
    if not usable:
        return [_refusal(student, refused, found)]
    rows = []
    # a notebook that cannot be read, called after a chapter for which there is no other, is a row of its own
    missing = {row.chapter for row in refused} - usable.keys() - {None} if wanted is None else set()
    for chapter in missing:
        rows.append(_refusal(student, [row for row in refused if row.chapter == chapter], found))
    for chapter, attempts in usable.items():
        row, newest = attempts[-1]
        notes = list(row.notes)
        if len(attempts) > 1:
            which = f"{display_name(newest.file, 120)} of {newest.date}"
            notes.insert(0, f"{len(attempts)} notebooks for this chapter; the newest, {which}, counts")
        left = [r.reason for r in refused if r.chapter == chapter or r.chapter not in usable.keys() | missing]
        rows.append(replace(row, notes=(*notes, *_few([f"not graded: {reason}" for reason in left]))))
    return rows


def _read(student: str, found: HandedIn) -> Submission:
    """One notebook; without cells and with a reason if it cannot be graded."""
    row = Submission(_encodable(student), _encodable(found.file), None)
    try:
        if found.problem:
            raise NotebookError(f"{found.name} {found.problem}")
        content = found.read()
        if len(content) <= MAX_NOTEBOOK_BYTES:
            row = replace(row, sha256=hashlib.sha256(content).hexdigest())
        cells, notes = parse_cells(content, found.name)
        row = replace(row, chapter=chapter_of(cells))
        if row.chapter is None:
            looked_for = "`# exercise: name`, `start_chapter(...)` or function of an exercise"
            raise NotebookError(f"{found.name} has no {looked_for} of {', '.join(chapter_names())}")
    except NotebookError as error:
        named = (chapter_named(os.path.splitext(part)[0]) for part in reversed(found.parts))
        return replace(row, chapter=next(filter(None, named), None), reason=display_name(str(error), 300))
    return replace(row, cells=tuple(cells), notes=tuple(notes))


def _refusal(student: str, refused: list[Submission], found: list[HandedIn]) -> Submission:
    """The one row of a student, or of a student's chapter, without a notebook that can be graded."""
    if len(refused) == 1:
        return refused[0]
    if refused:
        chapters = {row.chapter for row in refused}
        reason = "none of the notebooks can be graded: " + "; ".join(_few([row.reason for row in refused]))
        return replace(refused[-1], chapter=chapters.pop() if len(chapters) == 1 else None, reason=reason)
    files = [each for each in found if not each.folder or each.problem]
    cure = "hand in the notebook (.ipynb) itself"
    if not files:
        reason = f"an empty folder; {cure}"
    elif len(files) == 1:
        reason = f"{files[0].name} {files[0].problem or f'is not a notebook; {cure}'}"
    else:
        reason = f"no notebook among what was handed in ({', '.join(_few([each.name for each in files]))}); {cure}"
    file = files[0].file if len(files) == 1 else posixpath.commonpath([each.file for each in found])
    return Submission(_encodable(student), _encodable(file), None, reason=reason)


def _few(items: list[str]) -> list[str]:
    """The first few, and how many more there are."""
    more = len(items) - MAX_NAMED
    return items[:MAX_NAMED] + ([f"and {more} more"] if more > 0 else [])


def _encodable(name: str) -> str:
    r"""A name without surrogates, which cannot be written to a file: \udcff stands for a byte FF that is not UTF-8.

    Backslashes are doubled where they could be mistaken for this, so that different names stay different.
    """
    if not re.search("[\ud800-\udfff]|\\\\u", name):
        return name
    return name.replace("\\", "\\\\").encode("utf-8", "backslashreplace").decode()


def _keep_apart(arguments: list[tuple[Path, list[Submission]]]) -> Iterator[Submission]:
    """All rows; those of a student and chapter that two arguments have begin with what tells the arguments apart."""
    keys = Counter(key for _, rows in arguments for key in {(row.student, row.chapter) for row in rows})
    roots = {root for root, _ in arguments}
    depth = next((n for n in range(1, 100) if len({root.parts[-n:] for root in roots}) == len(roots)), 1)
    for root, rows in arguments:
        above = _encodable("/".join(root.parts[-depth:]))
        for row in rows:
            is_double = keys[row.student, row.chapter] > 1
            yield replace(row, student=f"{above}/{row.student}") if is_double else row
