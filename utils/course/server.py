"""The other side of the wire: a process that holds submissions and runs their functions."""

import contextlib
import io
import os
import selectors
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict

import torch

from utils.course import wire
from utils.course.namespace import ROOT, Cell, Namespace, build_namespace
from utils.course.student import Outcome, Student, StudentError, run_call

CALL_SECONDS = 60.0  # a call that takes longer is given up


class StudentServer:
    """A process that holds submissions and runs their functions; it is reached by frames over two pipes."""

    def __init__(self, *, call_seconds: float = CALL_SECONDS):
        self.call_seconds = call_seconds
        self._process: subprocess.Popen | None = None

    def open(self, cells: Sequence[Cell], exercises: Sequence[str]) -> tuple[Student, Namespace]:
        """Load a submission into the process; returns the student and a namespace with problems and repairs."""
        message = {"op": "open", "cells": [asdict(cell) for cell in cells], "exercises": list(exercises)}
        reply = self._ask(message)
        if "kind" in reply:  # the server died or timed out while it ran the definitions
            raise StudentError(reply["kind"], reply["message"])
        return Student(self._call), Namespace({}, reply["problems"], reply["repairs"])

    def _call(self, name: str, args: Sequence, kwargs: dict, wrt: Sequence[int]) -> Outcome:
        message = {"op": "call", "name": name, "args": tuple(args), "kwargs": kwargs, "wrt": list(wrt)}
        return Outcome(**self._ask(message))

    def _ask(self, message: dict) -> dict:
        if self._process is None or self._process.poll() is not None:
            if message["op"] != "open":
                return {"kind": "died", "message": "the process that ran your functions has ended"}
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "utils.course.server"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            wire.read_frame(self._process.stdout)  # says that the imports are done
        try:
            wire.write_frame(self._process.stdin, message)
            if not self._wait():
                self.close()
                return {"kind": "timeout", "message": f"timed out after {self.call_seconds:g} s: an endless loop?"}
            return wire.read_frame(self._process.stdout)
        except (EOFError, OSError):
            code = self._process.wait()
            self.close()
            return {"kind": "died", "message": f"the function ended its process (exit status {code})"}

    def _wait(self) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            return bool(selector.select(self.call_seconds))

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None


def serve() -> None:
    """The loop of the server process: frames in, frames out; whatever submitted code prints goes nowhere."""
    frames_in, frames_out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    torch.set_num_threads(1)
    namespace, answers = Namespace(), []
    wire.write_frame(frames_out, {"op": "ready"})
    while True:
        try:
            message = wire.read_frame(frames_in)
        except EOFError:
            return
        if message["op"] == "open":
            answers = message["exercises"]
            with contextlib.redirect_stdout(io.StringIO()):
                namespace = build_namespace([Cell(**cell) for cell in message["cells"]], answers)
            reply = {"problems": namespace.problems, "repairs": namespace.repairs}
        else:
            call = (message["name"], message["args"], message["kwargs"], message["wrt"])
            reply = vars(run_call(namespace, answers, *call))
        wire.write_frame(frames_out, reply)


if __name__ == "__main__":
    serve()
