"""A warm server process that grades, one for each thread: started when first needed, reused, ended with us."""

import atexit
import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
import time

from utils import ROOT
from utils.grading import UsageError, sandbox

START_SECONDS = 600.0  # imports and models, on a machine that does much else
IDLE_SECONDS = 20.0  # after which a server ends: on a cluster, nobody else would end it
# The kernel is asked to end the server with us before the imports, which take seconds. If we end even earlier, the
# server has another parent by then.
SERVE = """
import os, sys
from utils.grading import sandbox
sandbox.die_with_parent()
if os.getppid() == int(sys.argv[2]):
    from utils.grading import server
    server.main(sys.argv[1])
"""


class ServerLost(Exception):
    """A server process ended or fell silent."""


class Server:
    """A warm process that grades, and our ends of the pipes to it."""

    def __init__(self, trust: str):
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, lives as long as the process
        # ours to remove, since the process does not get the time to; gone already if what it forked still ends
        self._folder = tempfile.TemporaryDirectory(prefix="probing-course-", ignore_cleanup_errors=True)
        os.chmod(self._folder.name, 0o711)  # submitted code has a folder in it
        environment = {name: os.environ[name] for name in sandbox.ENVIRONMENT if name in os.environ}
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment |= {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        environment |= dict.fromkeys(("TMPDIR", "HOME"), self._folder.name)
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE, trust, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env=environment,  # nothing of the grader's that might be secret
        )
        self._buffer = b""
        self._end: threading.Timer | None = None
        self.layers: sandbox.Layers = self.read(START_SECONDS)["layers"]

    def write(self, message: dict) -> None:
        """Send a request.

        Raises:
            ServerLost: If nobody is there.
        """
        if self._end:
            self._end.cancel()
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._lost("ended") from None

    def read(self, seconds: float) -> dict:
        """Wait for one answer.

        Raises:
            ServerLost: If none comes in time.
        """
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise self._lost(f"did not answer within {seconds:.0f} s")
                chunk = os.read(self._process.stdout.fileno(), 1 << 20)
                if not chunk:
                    raise self._lost("ended")
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def _lost(self, what: str) -> ServerLost:
        self.close()
        self._errors.seek(0)
        last = self._errors.read()[-2000:].decode(errors="replace").strip().splitlines()[-1:]
        return ServerLost(f"the grading process {what}" + (f": {last[0]}" if last else ""))

    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def rest(self) -> None:
        """End the process if nothing is asked of it for a while."""
        self._end = threading.Timer(IDLE_SECONDS, self.close)
        self._end.daemon = True
        self._end.start()

    def close(self) -> None:
        """End the process; what it forked ends with it. The pipes stay open: another thread may wait at one."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


_servers: dict[tuple[int, str], Server] = {}  # (thread, trust) -> its server; ended at the latest with this process


def _here(trust: str) -> tuple[int, str]:
    return threading.get_ident(), trust


def warm_server(trust: str) -> Server:
    """This thread's server, started if there is none that lives: they end with the thread that started them."""
    server = _servers.get(_here(trust))
    if server is None or not server.is_alive():
        try:
            server = _servers[_here(trust)] = Server(trust)
        except ServerLost as error:
            raise UsageError(f"grading could not start: {error}. Cure: see whether `make test` passes") from None
    return server


@atexit.register
def close_servers() -> None:
    """End all servers of this process."""
    while _servers:
        _servers.popitem()[1].close()
