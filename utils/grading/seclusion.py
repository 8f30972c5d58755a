"""What a process leaves behind before it runs submitted code: the grader's user, mounts, network and processes.

Sources: man pages user_namespaces(7), pid_namespaces(7).
"""

import ctypes
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

ACTIVE = "active"
NOBODY = 65534  # the user that submitted code runs as where the grader is root
libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_DUMPABLE = 4
_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18

Layers = dict[str, str]  # name -> ACTIVE, or why it is not


def separate(layers: Layers, work: Path, readable: Sequence[Path], work_bytes: int) -> None:
    """Enter namespaces of one's own and become an unprivileged user, as far as the kernel allows; Linux only.

    What this process forks next lives there.

    Args:
        layers: what was done is written into it.
        work: the folder in which the process may write; in memory afterwards, where mounts can be had.
        readable: files and folders that stay readable.
        work_bytes: the size of that folder.
    """
    kinds = _NEWUSER | _NEWPID | _NEWNET | _NEWIPC | _NEWUTS | _NEWCGROUP
    was_root = os.geteuid() == 0
    if was_root:
        _unshare(layers, "own mounts", _NEWNS)
        if layers["own mounts"] == ACTIVE:
            _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE)
            _reveal([*readable, work])
            _mount_work(layers, work, work_bytes)
        _become_nobody(layers, readable)
    else:
        layers["unprivileged user"] = ACTIVE
        kinds |= _NEWNS
    uid, gid = os.getuid(), os.getgid()
    _unshare(layers, "own namespaces", kinds)
    if layers["own namespaces"] != ACTIVE:
        return
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with suppress(OSError):  # without a map it is a nobody, which is as good
            Path(f"/proc/self/{name}").write_text(text)
    if not was_root:
        layers["own mounts"] = ACTIVE
        _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE)
        _mount_work(layers, work, work_bytes)


def _unshare(layers: Layers, name: str, kinds: int) -> None:
    done = libc.unshare(kinds) == 0
    layers[name] = ACTIVE if done else f"the kernel refused: {os.strerror(ctypes.get_errno())}"


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, options: bytes = b"") -> None:
    if libc.mount(source, target, kind, ctypes.c_ulong(flags), options or None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), os.fsdecode(target))


def _mount_work(layers: Layers, work: Path, work_bytes: int) -> None:
    """The work folder becomes one in memory, of limited size, that nobody else sees and that is gone at the end."""
    options = f"size={work_bytes},nr_inodes=4096,mode=700"
    if os.getuid() == 0:  # it becomes nobody afterwards
        options += f",uid={NOBODY},gid={NOBODY}"
    try:
        _mount(b"tmpfs", os.fsencode(work), b"tmpfs", _MS_NOSUID | _MS_NODEV, options.encode())
        layers["work folder in memory"] = ACTIVE
    except OSError as error:
        layers["work folder in memory"] = f"the kernel refused: {error.strerror}"


def _reveal(paths: Sequence[Path]) -> None:
    """Where a folder above a path keeps others out (/root has mode 700), one that holds the path alone takes its place.

    Seen from here only: the mounts are this process's own.
    """
    hidden: dict[Path, list[tuple[Path, int]]] = {}
    for path in paths:
        closed = [p for p in reversed(path.parents) if not p.stat().st_mode & stat.S_IXOTH]
        if closed:
            hidden.setdefault(closed[0], []).append((path, os.open(path, os.O_PATH)))
    for folder, inside in hidden.items():
        _mount(b"tmpfs", os.fsencode(folder), b"tmpfs", _MS_NOSUID | _MS_NODEV, b"size=1m,mode=755")
        for path, fd in inside:
            if path.exists():  # within one that was brought back before
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if stat.S_ISDIR(os.fstat(fd).st_mode) else path.touch()
            _mount(f"/proc/self/fd/{fd}".encode(), os.fsencode(path), None, _MS_BIND | _MS_REC)
    for inside in hidden.values():
        for _, fd in inside:
            os.close(fd)


def _become_nobody(layers: Layers, readable: Sequence[Path]) -> None:
    blocked = [path for path in readable if not all(p.stat().st_mode & stat.S_IXOTH for p in path.parents)]
    if blocked:
        layers["unprivileged user"] = f"it could not read {blocked[0]}; install Python where all may read it"
        return
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError as error:  # in a container without other users
        layers["unprivileged user"] = f"root may not become another user here ({error.strerror})"
        return
    libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # or /proc/self would still be root's, and uid_map with it
    layers["unprivileged user"] = ACTIVE
