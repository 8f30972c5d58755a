"""What surrounds submitted code: a process that can read libraries, write to a small folder in memory, and answer.

    pid = fork_confined(body, work, readable, limits)   # body(layers) runs in there; the caller goes on
    status = end(pid)                                   # nothing that it started survives

Works without Docker, as any user. Layers, each one used where the kernel has it: an unprivileged user where the grader
is root, namespaces (processes, network, IPC, mounts; user namespaces where the grader is not root), landlock (files,
signals), seccomp (system calls), resource limits. macOS has the last only. `Layers` says which were active.

Namespaces and the user are in seclusion.py, landlock and seccomp in syscalls.py. Sources: man pages landlock(7) and
seccomp(2); kernel documentation of both.
"""

import os
import platform
import resource
import signal
import struct
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psutil

from utils import ROOT
from utils.grading import syscalls
from utils.grading.seclusion import ACTIVE, NOBODY, Layers, libc, separate

MB = 1 << 20
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ")  # all that a server gets of the grader's
FOLDERS = ("HOME", "TMPDIR", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR", "XDG_CACHE_HOME", "HF_HOME", "IPYTHONDIR")
# `--require-sandbox` wants these; the others make a second wall
ESSENTIAL = ("unprivileged user", "resource limits", "files", "network", "other processes", "system calls")

_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG, _PR_SET_SUBREAPER, _PR_NO_NEW_PRIVS = 1, 36, 38


@dataclass(frozen=True)
class Limits:
    """Of one confined process and what it starts."""

    memory_bytes: int = 1024 * MB  # of address space, beyond what the process has at its start
    cpu_seconds: int = 90
    file_bytes: int = 64 * MB  # of one file, and of the work folder where that is in memory
    open_files: int = 256
    processes: int = 32  # threads count, too


def readable_paths() -> list[Path]:
    """What submitted code may read: Python, the installed libraries, the models and tables of the course."""
    paths = {*sys.path, *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))}
    paths |= {f"{prefix}/{folder}" for prefix in (sys.prefix, sys.base_prefix, "/usr") for folder in ("lib", "lib64")}
    paths |= {"/lib", "/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime", "/dev/urandom"}
    paths |= {"/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu", str(ROOT / "utils" / "assets")}
    found = {Path(path).resolve() for path in paths if path and Path(path).exists()}
    return sorted(path for path in found if not ROOT.is_relative_to(path))  # of the course itself, the assets only


def become_reaper() -> None:
    """Orphans of what this process forks become its children, so that `end` finds them."""
    if _LINUX:
        libc.prctl(_PR_SET_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """The kernel ends this process when the one that started it ends."""
    if _LINUX:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def fork_confined(
    body: Callable[[Layers], None], work: Path, readable: Sequence[Path], limits: Limits, keep: Sequence[int] = ()
) -> int:
    """Fork a process that is confined and then runs `body`; call `become_reaper` once before.

    Args:
        body: gets the layers that are active; when it returns, the process ends.
        work: an empty folder, where the process may write; in memory if the kernel allows it.
        readable: files and folders that it may read.
        keep: file descriptors that it keeps; all others are closed, and 0, 1 and 2 lead nowhere.

    Returns:
        The process to give to `end`.

    Raises:
        OSError: If it could not be started.
    """
    told, tell = os.pipe()
    hold, release = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(release)
        _run_and_exit(lambda: _enclose(body, work, readable, limits, keep, tell, hold))
    os.close(tell)
    os.close(hold)
    with os.fdopen(told, "rb") as pipe:
        answer = pipe.read(4)  # from the first process, which ends then
    os.waitpid(first, 0)
    os.close(release)  # from now on, this process is the parent of the second one
    if len(answer) < 4:
        raise OSError("a confined process could not be started; is there memory left, and may this user fork?")
    return struct.unpack("i", answer)[0]


def end(pid: int) -> int:
    """Kill a confined process and whatever it started; returns its exit status, negative for a signal.

    Children of the caller that are not its own are killed, too: after `become_reaper`, they are orphans of it.
    """
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    for _ in range(1000):  # a fork bomb ends in a few rounds: its processes are limited, and they find no parent
        orphans = psutil.Process().children()
        if not orphans:
            break
        for orphan in orphans:
            with suppress(psutil.Error):
                orphan.kill()
            with suppress(ChildProcessError):
                os.waitpid(orphan.pid, 0)
    return status


def _run_and_exit(function: Callable[[], None]) -> NoReturn:
    status = 1
    try:
        function()
        status = 0
    finally:
        os._exit(status)  # without the exit handlers, buffers and temporary folders of the process that forked


def _enclose(
    body: Callable[[Layers], None],
    work: Path,
    readable: Sequence[Path],
    limits: Limits,
    keep: Sequence[int],
    tell: int,
    hold: int,
) -> None:
    """In the first process: everything that must stand before the second one is forked, which runs `body`."""
    os.setsid()
    layers: Layers = {}
    if _LINUX:
        separate(layers, work, readable, limits.file_bytes)
    pid = os.fork()
    if pid == 0:
        os.close(tell)
        os.read(hold, 1)  # until the first process is gone: its end is not the one that counts
        die_with_parent()
        os.setpgid(0, 0)
        _run_and_exit(lambda: (_confine(layers, work, readable, limits, keep), body(layers)))
    os.write(tell, struct.pack("i", pid))


def _confine(layers: Layers, work: Path, readable: Sequence[Path], limits: Limits, keep: Sequence[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    kept = sorted({0, 1, 2, *keep})
    for low, high in zip(kept, [*kept[1:], 1 << 16], strict=True):
        os.closerange(low + 1, high)
    os.chdir(work)
    os.environ.update(dict.fromkeys(FOLDERS, str(work)))
    tempfile.tempdir = None  # it remembers an earlier one
    _limit(layers, limits)
    if not _LINUX:
        missing = f"{platform.system()} has none; grade on Linux"
        layers |= {name: missing for name in ESSENTIAL if name not in layers}
        if os.geteuid():
            layers["unprivileged user"] = ACTIVE
        return
    libc.prctl(_PR_NO_NEW_PRIVS, 1, 0, 0, 0)
    syscalls.drop_capabilities(libc)
    landlock = syscalls.restrict_files(libc, readable, [work])
    layers["files"] = ACTIVE if landlock else "the kernel has no landlock (Linux 5.13 or newer has)"
    seccomp = syscalls.restrict_calls(libc)
    layers["system calls"] = ACTIVE if seccomp else f"no seccomp filter for {platform.machine()}, or refused"
    separate = layers["own namespaces"] == ACTIVE
    layers["network"] = ACTIVE if separate or seccomp else "neither namespaces nor seccomp"
    unseen = separate or landlock >= syscalls.SCOPED or (os.getuid() == NOBODY)
    layers["other processes"] = ACTIVE if unseen else "neither namespaces nor landlock 6 (Linux 6.12)"


def _limit(layers: Layers, limits: Limits) -> None:
    # "self" and no number: in a namespace, this process has the number of another one outside
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if _LINUX else 0
    memory = pages * resource.getpagesize() + limits.memory_bytes
    processes = limits.processes
    if layers.get("own namespaces") != ACTIVE:  # there, the limit counts what this process starts; else all of a user's
        processes += sum(p.info["num_threads"] or 0 for p in psutil.process_iter(["uids", "num_threads"]) if _mine(p))
    wanted = {
        "RLIMIT_AS": memory,
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_NPROC": processes,
        "RLIMIT_CORE": 0,
        "RLIMIT_MSGQUEUE": 0,
    }
    failed = []
    for name, value in wanted.items():
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (AttributeError, ValueError, OSError):
            failed.append(name)
    layers["resource limits"] = f"not on this system: {', '.join(failed)}" if failed else ACTIVE


def _mine(process: psutil.Process) -> bool:
    return process.info["uids"] is not None and process.info["uids"].real == os.getuid()
