"""The twin of a grading server: it forks, for every exercise, a confined process that runs submitted code.

It leaves the server while that is warm, and ends with it.
"""

import contextlib
import functools
import gc
import os
import shutil
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path

import psutil

from utils.grading import sandbox

_LIMITS = struct.Struct("5q")  # the fields of sandbox.Limits
_PID = struct.Struct("q")


@contextlib.contextmanager
def twin(
    work: Path, readable: Sequence[Path], body: Callable[[list[int], sandbox.Layers], None]
) -> Iterator[Callable[[sandbox.Limits], "Forked"]]:
    """Fork the twin; gives what launches a confined process from it.

    Args:
        work: an empty folder, which each confined process gets in turn.
        readable: what confined processes may read.
        body: runs in them, with the ends of the two pipes to it and the active layers of the sandbox.
    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            _run_twin(theirs, work, readable, body)
        finally:
            os._exit(0)
    theirs.close()
    try:
        yield lambda limits: Forked(ours, pid, limits)
    finally:
        ours.close()
        os.waitpid(pid, 0)


def _run_twin(
    control: socket.socket,
    work: Path,
    readable: Sequence[Path],
    body: Callable[[list[int], sandbox.Layers], None],
) -> None:
    """Fork on demand, end on demand; ends when the other side is gone, with all that it has forked."""
    sandbox.die_with_parent()
    sandbox.become_reaper()
    gc.collect()
    gc.freeze()  # a collection in a fork would touch, and so copy, every page that holds an object
    running = 0
    while True:
        message, fds, _, _ = socket.recv_fds(control, _LIMITS.size, 2)
        status = 0
        if running:  # whatever the message is, that one is over
            status, running = sandbox.end(running), 0
            _empty(work)
        if not message:
            return
        if not fds:
            control.send(_PID.pack(status))
            continue

        with contextlib.suppress(OSError):
            limits = sandbox.Limits(*_LIMITS.unpack(message))
            running = sandbox.fork_confined(functools.partial(body, fds), work, readable, limits, keep=fds)
        for fd in fds:
            os.close(fd)
        control.send(_PID.pack(running))


def _empty(folder: Path) -> None:
    """Where the work folder is not in memory, the next one finds nothing of the last one; links are not followed."""
    for path in folder.iterdir():
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() and not path.is_symlink() else path.unlink()


class Forked:
    """A confined process, launched from the twin; see `utils.course.remote.Launched`."""

    def __init__(self, control: socket.socket, twin: int, limits: sandbox.Limits):
        self._control, self._twin, self._limits = control, twin, limits
        theirs_in, self.fd_in = os.pipe()
        self.fd_out, theirs_out = os.pipe()
        socket.send_fds(control, [_LIMITS.pack(*astuple(limits))], [theirs_in, theirs_out])
        os.close(theirs_in)
        os.close(theirs_out)
        self._pid = _PID.unpack(control.recv(_PID.size))[0]

    def is_alive(self) -> bool:
        """Whether it was started; if it has ended since, its pipes say so."""
        return self._pid != 0

    def watch(self) -> None:
        """Limits hold for each process; this one is for all together."""
        processes = psutil.Process(self._twin).children(recursive=True)
        if len(processes) > 1 and sum(map(_own_memory, processes)) > self._limits.memory_bytes:
            raise MemoryError(f"its processes took more than {self._limits.memory_bytes >> 20} MB of memory together")

    def end(self, patience: float = 0.0) -> int | None:
        status = None
        if self._pid:
            deadline = time.monotonic() + patience
            while _is_running(self._pid) and time.monotonic() < deadline:
                time.sleep(0.005)
            had_ended = not _is_running(self._pid)
            self._control.send(b"\0")
            status = _PID.unpack(self._control.recv(_PID.size))[0]
            status = status if had_ended else None
        for fd in (self.fd_in, self.fd_out):
            os.close(fd)
        return status


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _own_memory(process: psutil.Process) -> int:
    """Bytes that a process shares with no other."""
    try:
        return process.memory_full_info().uss
    except psutil.Error:  # it has just ended
        return 0
