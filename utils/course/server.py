"""The other side of the wire: a process that holds a submission and runs its functions."""

import os
from collections.abc import Callable, Sequence

import torch

from utils.course import wire
from utils.course.calls import run_call
from utils.course.cells import Cell
from utils.course.namespace import Namespace, build_namespace
from utils.course.student import Outcome


def serve(fd_in: int, fd_out: int, ready: dict, *, prepare: Callable[[Sequence[str]], None] | None = None) -> None:
    """The loop of the server process: frames in, frames out, until the other side closes its end.

    Args:
        fd_in, fd_out: file descriptors of the frames.
        ready: what to say first.
        prepare: called with the exercises before a submission's definitions run.
    """
    frames_in, frames_out = os.fdopen(fd_in, "rb"), os.fdopen(fd_out, "wb")
    torch.set_num_threads(1)
    namespace, answers = Namespace(), []
    wire.write_frame(frames_out, ready)
    while True:
        try:
            message = wire.read_frame(frames_in, with_models=True)
        except EOFError:
            return
        if message["op"] == "open":
            answers = message["exercises"]
            if prepare is not None:
                prepare(answers)
            namespace = build_namespace([Cell(**cell) for cell in message["cells"]], answers)
            reply = {"problems": namespace.problems, "repairs": namespace.repairs}
        else:
            reply = vars(_answer(namespace, answers, message))
        wire.write_frame(frames_out, {**reply, "id": message["id"]})


def _answer(namespace: Namespace, answers: Sequence[str], message: dict) -> Outcome:
    try:
        return run_call(namespace, answers, *(message[key] for key in ("name", "args", "kwargs", "wrt")))
    except KeyboardInterrupt:  # nobody is at this process's keyboard: the function raised it
        return Outcome("exception", f"`{message['name']}` raised KeyboardInterrupt", type_name="KeyboardInterrupt")


def main() -> None:
    """Serve on standard input and output; whatever submitted code prints goes nowhere."""
    fd_in, fd_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    serve(fd_in, fd_out, {"op": "ready"})


if __name__ == "__main__":
    main()
