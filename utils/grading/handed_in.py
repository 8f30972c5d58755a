"""What lies in a folder or a zip, without trusting any of it.

Nothing is written to disk, no link is followed, only plain files are opened, and only when their content is asked for.
"""

import functools
import os
import re
import stat
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from utils.course.cells import MAX_NOTEBOOK_BYTES, NotebookError, read_notebook

MAX_MEMBERS = 10_000  # files of a zip
MAX_ZIP_BYTES = 2_000_000_000  # of a zip's notebooks, unpacked
JUNK = {"__macosx", "thumbs.db", "desktop.ini", "icon\r"}
INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode's control, format and surrogate characters, line and page ends


@dataclass(frozen=True)
class HandedIn:
    """A file or folder that somebody handed in."""

    file: str  # relative to the folder or zip, with /
    parts: tuple[str, ...]  # the names on the way to it, its own last
    folder: bool = False
    time: tuple[int, ...] = ()  # of the last change; comparable within one folder or zip
    date: str = ""  # the same for people
    problem: str = ""  # why it is not read, to be said after its name
    read: Callable[[], bytes] = bytes  # its content, to just above the limit for notebooks; raises NotebookError

    @property
    def name(self) -> str:
        return display_name(self.parts[-1], 60)

    @property
    def is_notebook(self) -> bool:
        return self.parts[-1].lower().endswith(".ipynb")


def display_name(text: str, limit: int = 80) -> str:
    r"""Text of unknown origin for a terminal or a page: one line of at most `limit` characters, all of them visible.

    What cannot be seen is shown as \u202e, what is cut off as …; the result is not escaped for HTML or anything else.
    """
    pieces, length = [], 0
    for char in unicodedata.normalize("NFC", text[: 2 * limit]):  # cut first: NFC takes minutes on a million accents
        if unicodedata.category(char) in INVISIBLE:
            char = f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
        pieces.append(char)
        length += len(char)
    is_cut = len(text) > 2 * limit or length > limit
    while is_cut and length > limit - 1:
        length -= len(pieces.pop())
    return "".join(pieces) + "…" * is_cut


def walk_folder(top: Path) -> Iterator[HandedIn]:
    """Everything in a folder except hidden files and what operating systems leave there.

    Raises:
        OSError: If the folder itself cannot be listed; one inside it becomes something with a problem.
    """
    waiting: list[tuple[Path, tuple[str, ...]]] = [(top, ())]  # no recursion: folders can be nested a thousand deep
    while waiting:
        folder, above = waiting.pop()
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            if not above:
                raise
            yield HandedIn("/".join(above), above, folder=True, problem=f"cannot be opened: {error.strerror}")
            continue
        for name in names:
            if not _is_junk(name):
                found = look_at(folder / name, (*above, name))
                if found.folder:
                    waiting.append((folder / name, found.parts))
                yield found


def look_at(path: Path, parts: tuple[str, ...]) -> HandedIn:
    """One file or folder on disk, which is not opened yet."""
    found = HandedIn("/".join(parts), parts)
    try:
        status = path.lstat()
    except OSError as error:
        return replace(found, problem=f"cannot be read: {error.strerror}")
    if stat.S_ISREG(status.st_mode):
        read = functools.partial(read_notebook, path)
        return replace(found, time=(status.st_mtime_ns,), date=_date(status.st_mtime), read=read)
    if stat.S_ISDIR(status.st_mode):
        return replace(found, folder=True, problem="is a folder; hand in the file itself" if found.is_notebook else "")
    kind = "a link" if stat.S_ISLNK(status.st_mode) else "not a plain file"
    return replace(found, problem=f"is {kind}; hand in the file itself")


def read_zip(archive: zipfile.ZipFile) -> Iterator[HandedIn]:
    """Everything in a zip, as for a folder; what could do harm or is ambiguous has a problem.

    Nothing is unpacked to disk, so that no name reaches a file outside. The archive must stay open for `read`.
    """
    seen: set[tuple[str, ...]] = set()
    n_files, n_bytes = 0, 0
    # Small ones first, so that one student's bomb leaves room for the others. A lie about a size does no harm: zipfile
    # never gives more bytes than the size that is claimed here and added up below.
    for info in sorted(archive.infolist(), key=lambda info: info.file_size):
        name = info.orig_filename  # `filename` ends at the first NUL
        path = name.replace("\\", "/")
        parts = tuple(part for part in path.split("/") if part not in ("", "."))
        if path.startswith("/") or re.match(r"[A-Za-z]:", path) or ".." in parts or not parts:
            yield HandedIn(name, (name,), problem="has a name that points outside the zip; pack it anew")
            continue
        visible = next((n for n, part in enumerate(parts) if _is_junk(part)), len(parts))
        if visible < len(parts) or info.is_dir():
            if visible:  # a folder with nothing but junk was handed in all the same
                yield HandedIn("/".join(parts[:visible]), parts[:visible], folder=True)
            continue
        problem = _member_problem(info) or ("is twice in the zip; pack it anew" if parts in seen else "")
        found = HandedIn("/".join(parts), parts, time=info.date_time, problem=problem)
        seen.add(parts)
        n_files += 1
        if n_files > MAX_MEMBERS:
            found = replace(found, problem=f"is beyond the {MAX_MEMBERS:,} files that are read of a zip")
        elif found.is_notebook and not problem:
            n_bytes += min(info.file_size, MAX_NOTEBOOK_BYTES)
            if n_bytes > MAX_ZIP_BYTES:
                found = replace(found, problem=f"is beyond the {MAX_ZIP_BYTES // 10**9} GB that are read of a zip")
        year, month, day, hour, minute, _ = info.date_time  # in nobody knows which time zone
        date = f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}"
        yield replace(found, date=date, read=functools.partial(_read_member, archive, info, found.name))


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK


def _date(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):  # a year that does not exist
        return "an unknown time"


def _member_problem(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)  # as Unix has it; 0 in zips made on Windows
    if kind not in (0, stat.S_IFREG):
        return f"is {'a link' if kind == stat.S_IFLNK else 'not a plain file'}; hand in the file itself"
    if info.flag_bits & 1:
        return "is encrypted; hand it in without a password"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed by an unusual method; pack it anew"
    if any(unicodedata.category(char) == "Cc" for char in info.orig_filename):
        return "has control characters in its name; rename it"
    return ""


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
    try:
        with archive.open(info) as member:
            return member.read(MAX_NOTEBOOK_BYTES + 1)
    except Exception as error:  # zipfile raises nearly anything for what is damaged
        raise NotebookError(f"{name} cannot be unpacked ({type(error).__name__}); pack it anew") from None
