"""The other side of the wire: a process that holds submissions and runs their functions."""

import functools
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

import torch

from utils import ROOT
from utils.course import wire
from utils.course.namespace import Cell, Namespace, build_namespace
from utils.course.student import Outcome, Student, StudentError, run_call

CALL_SECONDS = 60.0  # a call that takes longer is given up
START_SECONDS = 120.0  # imports, on a slow machine
MESSAGE_CHARACTERS = 2000  # of what the process says; it may say anything


class _Pipe:
    """Our ends of the two pipes to a process. Reading and writing raise TimeoutError once the deadline is over."""

    def __init__(self, process: subprocess.Popen):
        self.fd_in, self.fd_out = process.stdin.fileno(), process.stdout.fileno()
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
            if not selector.select(max(0.0, self.deadline - time.monotonic())):
                raise TimeoutError


class StudentServer:
    """A process that holds a submission and runs its functions; it is reached by frames over two pipes.

    Several submissions may be open; the process holds the one that was called last, and gets another by running its
    definitions. If a function ends the process or its time, a new process is started for the next function.
    """

    def __init__(self, *, call_seconds: float = CALL_SECONDS):
        self.call_seconds = call_seconds
        self._process: subprocess.Popen | None = None
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
        return self._ask(message)

    def _call(
        self, opened: dict, ended: dict[str, Outcome], name: str, args: Sequence, kwargs: dict, wrt: Sequence[int]
    ) -> Outcome:
        if name in ended:  # costs its time once, not in every check
            return ended[name]
        reply = {} if self._held is opened and self._alive() else self._open(opened)
        if "kind" not in reply:  # else its definitions did not end well
            reply = self._ask({"op": "call", "name": name, "args": tuple(args), "kwargs": kwargs, "wrt": list(wrt)})
        texts = {key: reply.get(key, "") for key in ("kind", "message", "type_name", "line")}
        if not all(type(text) is str for text in texts.values()):
            texts = self._failed("died", "the process that ran the function answered with something else")
        texts = {key: text[:MESSAGE_CHARACTERS] for key, text in texts.items()}
        outcome = Outcome(value=reply.get("value"), **texts)
        if outcome.kind in ("timeout", "died"):
            ended[name] = outcome
        return outcome

    def _ask(self, message: dict) -> dict:
        try:
            if not self._alive():
                self._start()
            self._pipe.deadline = time.monotonic() + self.call_seconds
            wire.write_frame(self._pipe, message)
            return wire.read_frame(self._pipe)
        except TimeoutError:
            return self._failed("timeout", f"timed out after {self.call_seconds:g} s: an endless loop?")
        except (EOFError, OSError):
            return self._failed("died", "the function ended its process")
        except wire.WireError as error:
            return self._failed("died", f"what came back from the function's process is not an answer: {error}")

    def _alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _start(self) -> None:
        self.close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "utils.course.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,  # so that what it starts can be ended with it
        )
        self._pipe = _Pipe(self._process)
        self._pipe.deadline = time.monotonic() + START_SECONDS
        wire.read_frame(self._pipe)  # says that the imports are done

    def _failed(self, kind: str, message: str) -> dict:
        """Ends the process and says why, with its exit status if it has ended by itself."""
        if kind == "died" and self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                message += f" (exit status {self._process.wait(timeout=1)})"
        self.close()
        return {"kind": kind, "message": message}

    def close(self) -> None:
        """End the process, and what it started."""
        if self._process is not None:
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
            with suppress(OSError):
                self._process.stdin.close()
            self._process.stdout.close()
            self._process = None


def serve() -> None:
    """The loop of the server process: frames in, frames out; whatever submitted code prints goes nowhere."""
    frames_in, frames_out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    torch.set_num_threads(1)
    namespace, answers = Namespace(), []
    wire.write_frame(frames_out, {"op": "ready"})
    while True:
        try:
            message = wire.read_frame(frames_in, with_models=True)
        except EOFError:
            return
        if message["op"] == "open":
            answers = message["exercises"]
            namespace = build_namespace([Cell(**cell) for cell in message["cells"]], answers)
            reply = {"problems": namespace.problems, "repairs": namespace.repairs}
        else:
            reply = vars(_answer(namespace, answers, message))
        wire.write_frame(frames_out, reply)


def _answer(namespace: Namespace, answers: Sequence[str], message: dict) -> Outcome:
    try:
        return run_call(namespace, answers, *(message[key] for key in ("name", "args", "kwargs", "wrt")))
    except KeyboardInterrupt:  # nobody is at this process's keyboard: the function raised it
        return Outcome("exception", f"`{message['name']}` raised KeyboardInterrupt", type_name="KeyboardInterrupt")


if __name__ == "__main__":
    serve()
