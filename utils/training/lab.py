"""JupyterLab in a headless Chromium, worked as a learner works it; for pictures and for browser tests.

with open_browser() as browser, serve_lab(copy, "chapters/01_linear_probes.ipynb") as address:
    lab = Lab(browser.new_page())
    lab.open(address)
    lab.run("check(pool_mean)")
"""

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 120  # seconds, for one step on a busy machine; an idle one takes a few
NO_NEWS = {"@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False}}


class Lab:
    """A page on which JupyterLab shows a notebook."""

    def __init__(self, page) -> None:
        """Take a fresh page of playwright's; `open` shows a notebook on it."""
        self.page = page
        page.set_default_timeout(PATIENCE * 1000)

    def open(self, address: str) -> None:
        """Go to a notebook's address, and wait until its kernel is ready."""
        self.page.goto(address)
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        kernel = "jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel"
        self.page.wait_for_function(f"{kernel}?.status === 'idle'")

    def command(self, name: str, **arguments):
        """Run a command of JupyterLab's, as its menus do, and wait until it is done."""
        return self.page.evaluate("([name, args]) => jupyterapp.commands.execute(name, args)", [name, arguments])

    def go_to(self, text: str):
        """Make the first cell that holds a text the active one, and return it."""
        found = self.page.evaluate(
            """async text => {
                const cells = jupyterapp.shell.currentWidget.content;
                const index = cells.widgets.findIndex(cell => cell.model.sharedModel.getSource().includes(text));
                if (index < 0) return false;
                cells.activeCellIndex = index;
                await cells.scrollToItem(index, 'start');
                return true;
            }""",
            text,
        )
        assert found, f"no cell holds {text!r}"
        return self.page.locator(".jp-Notebook .jp-Cell.jp-mod-active")

    def run(self, text: str):
        """Run the first cell that holds a text, and return it."""
        cell = self.go_to(text)
        self.command("notebook:run-cell")
        return cell

    def write(self, text: str, source: str) -> None:
        """Replace the source of a cell by keyboard, as a learner does."""
        editor = self.go_to(text).locator(".cm-content")
        editor.click()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(source)
        assert _plain(editor.inner_text()) == _plain(source)

    def card(self, text: str) -> str:
        """What the feedback under a cell says, in one line."""
        card = self.go_to(text).locator(".jp-OutputArea-output .course-card")
        card.wait_for(timeout=PATIENCE * 1000)
        return " ".join(card.inner_text().split())


def _plain(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


@contextmanager
def serve_lab(course: Path, notebook: str) -> Iterator[str]:
    """Serve a copy of the course in a JupyterLab with settings of its own and without a word about news.

    Args:
        course: a copy, as from tests/copies.py: runs leave their progress in it.
        notebook: path in the course.

    Returns:
        The notebook's address.

    Raises:
        RuntimeError: If the server ends, or does not answer; with the end of what it logged.
    """
    with tempfile.TemporaryDirectory() as folder:
        home, token = Path(folder), secrets.token_hex(16)
        for name, settings in NO_NEWS.items():
            path = home / "settings" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(settings))
        folders = {f"JUPYTER_{kind.upper()}_DIR": kind for kind in ("config", "data", "runtime")}
        folders |= {f"JUPYTERLAB_{kind.upper()}_DIR": kind for kind in ("settings", "workspaces")}
        folders |= {"IPYTHONDIR": "ipython"}
        environment = os.environ | {name: str(home / part) for name, part in folders.items()} | {"HF_HUB_OFFLINE": "1"}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = ["--no-browser", "--allow-root", "--expose-app-in-browser", f"--IdentityProvider.token={token}"]
        options += [f"--port={port}", "--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0"]
        command, log = [sys.executable, "-m", "jupyter", "lab", *options], home / "log"
        with log.open("w") as file:
            process = subprocess.Popen(command, cwd=course, env=environment, stdout=file, stderr=file)
        try:
            _wait_for_server(f"http://127.0.0.1:{port}/api", process, log)
            yield f"http://127.0.0.1:{port}/lab/tree/{notebook}?token={token}"
        finally:
            process.terminate()  # the server ends its kernels
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for_server(address: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(PATIENCE):
        if process.poll() is not None:
            raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
        try:
            urllib.request.urlopen(address, timeout=10).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise RuntimeError(f"JupyterLab does not answer:\n{log.read_text()[-2000:]}")
