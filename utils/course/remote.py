"""A submission in another process: our side of the wire. The other side is `server`."""

import functools
import math
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Protocol

from utils import ROOT
from utils.course import wire
from utils.course.cells import Cell
from utils.course.encoding import WireError
from utils.course.namespace import Namespace
from utils.course.student import Outcome, Student, StudentError

CALL_SECONDS = 60.0  # a call that takes longer is given up
START_SECONDS = 120.0  # imports, on a slow machine
WATCH_SECONDS = 0.25  # between two looks at a process that we wait for
MESSAGE_CHARACTERS = 2000  # of what the process says; it may say anything


class Launched(Protocol):
    """A process that runs `serve`, and our ends of the two pipes to it."""

    fd_in: int  # where we write
    fd_out: int  # where we read

    def is_alive(self) -> bool:
        """Whether it has not ended."""

    def watch(self) -> None:
        """Called now and then while we wait for it; MemoryError if it takes more memory than it may."""

    def end(self, patience: float = 0.0) -> int | None:
        """End the process, and what it started, and close the pipes.

        Args:
            patience: seconds to wait until it ends by itself.

        Returns:
            Its exit status, if it had ended by itself.
        """


class Spawned:
    """A new Python process: what is meant for code that we trust, such as the solutions."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "utils.course.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,  # so that what it starts can be ended with it
        )
        self.fd_in, self.fd_out = self._process.stdin.fileno(), self._process.stdout.fileno()

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def watch(self) -> None:
        """It may take what there is."""

    def end(self, patience: float = 0.0) -> int | None:
        status = None
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(timeout=patience)
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        with suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()
        return status


class _Pipe:
    """Our ends of the two pipes to a process. Reading and writing raise TimeoutError once the deadline is over."""

    def __init__(self, process: Launched):
        self.fd_in, self.fd_out, self._watch = process.fd_in, process.fd_out, process.watch
        os.set_blocking(self.fd_in, False)
        self.deadline = 0.0

    def read(self, n_bytes: int) -> bytes:
        self._wait(self.fd_out, selectors.EVENT_READ)
        return os.read(self.fd_out, n_bytes)

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            self._wait(self.fd_in, selectors.EVENT_WRITE)
            with suppress(BlockingIOError):
                left = left[os.write(self.fd_in, left) :]

    def flush(self) -> None:
        """Nothing is kept back."""

    def _wait(self, fd: int, event: int) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(fd, event)
            while not selector.select(max(0.0, min(WATCH_SECONDS, self.deadline - time.monotonic()))):
                if time.monotonic() >= self.deadline:
                    raise TimeoutError
                self._watch()


class StudentServer:
    """A process that holds a submission and runs its functions; it is reached by frames over two pipes.

    Several submissions may be open; the process holds the one that was called last, and gets another by running its
    definitions. If a function ends the process or its time, a new process is started for the next function.

    Args:
        call_seconds: a call that takes longer is given up.
        seconds: what all calls together may take.
        launch: starts a process that runs `serve`.
    """

    def __init__(
        self,
        *,
        call_seconds: float = CALL_SECONDS,
        seconds: float = math.inf,
        launch: Callable[[], Launched] = Spawned,
    ):
        self.call_seconds, self.seconds_left = call_seconds, seconds
        self.ready: dict = {}  # what the process said before it ran anything of a submission
        self._launch, self._process = launch, None
        self._n_asked = 0
        self._held: dict | None = None  # the message that opened the submission that the process holds

    def open(self, cells: Sequence[Cell], exercises: Sequence[str]) -> tuple[Student, Namespace]:
        """Load a submission into the process; returns the student and a namespace with problems and repairs.

        Raises:
            StudentError: If its definitions ended the process, or took too long.
        """
        message = {"op": "open", "cells": [asdict(cell) for cell in cells], "exercises": list(exercises)}
        reply = self._open(message)
        if "kind" in reply:
            raise StudentError(reply["kind"], reply["message"])
        namespace = Namespace({}, *([str(text) for text in reply.get(key, ())] for key in ("problems", "repairs")))
        return Student(functools.partial(self._call, message, {})), namespace

    def _open(self, message: dict) -> dict:
        self._held = message
        return self.ask(message)

    def _call(
        self, opened: dict, ended: dict[str, Outcome], name: str, args: Sequence, kwargs: dict, wrt: Sequence[int]
    ) -> Outcome:
        if name in ended:  # costs its time once, not in every check
            return ended[name]
        reply = {} if self._held is opened and self._alive() else self._open(opened)
        if "kind" not in reply:  # else its definitions did not end well
            reply = self.ask({"op": "call", "name": name, "args": tuple(args), "kwargs": kwargs, "wrt": list(wrt)})
        texts = {key: reply.get(key, "") for key in ("kind", "message", "type_name", "line")}
        if not all(type(text) is str for text in texts.values()):
            texts = self._failed("died", "the process that ran the function answered with something else")
        texts = {key: text[:MESSAGE_CHARACTERS] for key, text in texts.items()}
        outcome = Outcome(value=reply.get("value"), **texts)
        if outcome.kind in ("timeout", "died"):
            ended[name] = outcome
        return outcome

    def ask(self, message: dict) -> dict:
        """Send one message; the answer, or why there is none as its `kind` and `message`."""
        self._n_asked += 1
        try:
            if not self._alive():
                self._start()
            start = time.monotonic()
            self._pipe.deadline = start + min(self.call_seconds, self.seconds_left)
            try:
                wire.write_frame(self._pipe, {**message, "id": self._n_asked})
                reply = wire.read_frame(self._pipe)
            finally:
                self.seconds_left -= time.monotonic() - start
            if reply.pop("id", None) != self._n_asked:  # it wrote more than one answer to an earlier question
                return self._failed("died", "what came back from the function's process answers something else")
            return reply
        except TimeoutError:
            return self._failed("timeout", f"timed out after {self.call_seconds:g} s: an endless loop?")
        except MemoryError as error:
            return self._failed("died", str(error))
        except (EOFError, OSError):
            return self._failed("died", "the function ended its process")
        except WireError as error:
            return self._failed("died", f"what came back from the function's process is not an answer: {error}")

    def _alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def _start(self) -> None:
        self.close()
        self._process = self._launch()
        self._pipe = _Pipe(self._process)
        self._pipe.deadline = time.monotonic() + START_SECONDS
        self.ready = wire.read_frame(self._pipe)  # the imports are done

    def _failed(self, kind: str, message: str) -> dict:
        """Ends the process and says why, with its exit status if it has ended by itself."""
        process, self._process = self._process, None
        status = process.end(patience=1.0 if kind == "died" else 0.0) if process is not None else None
        if kind == "died" and status is not None:
            message += f" (exit status {status})"
        return {"kind": kind, "message": message}

    def close(self) -> None:
        """End the process, and what it started."""
        if self._process is not None:
            self._process.end()
            self._process = None
