"""`check` in a real kernel: every case is a few cells of one notebook, asked for their card."""

import base64
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient

from utils import ROOT
from utils.course import build, progress
from utils.course import check as check_module
from utils.course.check import CheckFailed, NotWritten, check

CHAPTER = build.load_chapter("01_linear_probes")
ANSWERS = build.exercise_cells(CHAPTER)
MARK = "# exercise: fit_mass_mean_probe\n"
DEF = "def fit_mass_mean_probe(acts, labels):\n"
CALL = "check(fit_mass_mean_probe)"
LATENCY_SECONDS = 5.0  # generous: the machine may be busy; what it was is printed

SETUP = """
import sys
sys.path.insert(0, {root!r})
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from pathlib import Path
from utils.course import progress as progress_module
progress_module.PATH = Path({folder!r}) / ".progress.json"
from utils.course.check import check, progress, start_chapter
from utils.probes import LinearProbe
from utils.models import load_model
start_chapter("01_linear_probes")
"""


class Kernel:
    """A kernel in which cells run one after the other, each with its outputs as text."""

    def __init__(self, folder: Path, **environment: str):
        self.notebook = nbformat.v4.new_notebook()
        self.client = NotebookClient(self.notebook, kernel_name="python3", allow_errors=True, timeout=120)
        self.context = self.client.setup_kernel(
            env={**os.environ, "HF_HUB_OFFLINE": "1", **environment}, cwd=str(folder)
        )
        self.context.__enter__()
        self.folder = folder
        self.run(SETUP.format(root=str(ROOT), folder=str(folder)))

    def run(self, source: str) -> "Outputs":
        self.notebook.cells.append(nbformat.v4.new_code_cell(source))
        cell = self.client.execute_cell(self.notebook.cells[-1], len(self.notebook.cells) - 1)
        return Outputs(cell.outputs)

    def progress(self) -> dict:
        path = self.folder / ".progress.json"
        return json.loads(path.read_text())["chapters"]["01_linear_probes"] if path.exists() else {}

    def close(self) -> None:
        self.context.__exit__(None, None, None)


class Outputs:
    """What a cell showed: the card, what it raised, what it wrote."""

    def __init__(self, outputs: list):
        cards = [o.data for o in outputs if o.output_type == "display_data"]
        self.card = "\n".join(card.get("text/plain", "") for card in cards)
        self.html = "\n".join(card.get("text/html", "") for card in cards)
        errors = [o for o in outputs if o.output_type == "error"]
        self.error, self.raised = (errors[-1].evalue, errors[-1].ename) if errors else ("", "")
        self.traceback = "\n".join("\n".join(o.traceback) for o in errors)
        self.text = {n: "".join(o.text for o in outputs if o.get("name") == n) for n in ("stdout", "stderr")}
        self.result = next((o.data["text/plain"] for o in outputs if o.output_type == "execute_result"), None)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    kernel = Kernel(tmp_path_factory.mktemp("live"))
    yield kernel
    kernel.close()


def test_an_undefined_name_is_explained_by_a_card_and_not_by_a_traceback(kernel):
    outputs = kernel.run("check(pool_mean)")
    assert "there is no function `pool_mean`: run the cell that defines it" in outputs.card
    assert (
        outputs.raised == "NameError" and "Traceback" not in outputs.traceback and "pool_mean" not in kernel.progress()
    )


def test_an_undefined_name_in_any_other_cell_is_pythons_own_matter(kernel):
    outputs = kernel.run("pool_mean(3)")
    assert outputs.raised == "NameError" and not outputs.card and "Traceback" in outputs.traceback


def test_an_unwritten_exercise_shows_its_line_and_what_will_be_checked(kernel):
    kernel.run(MARK + DEF + '    raise NotImplementedError("write fit_mass_mean_probe here")')
    outputs = kernel.run(CALL)
    assert outputs.raised == "NotWritten" and "is not written yet (line 3: raise NotImplementedError" in outputs.card
    assert "What will be checked" in outputs.card and "fit_mass_mean_probe" not in kernel.progress()
    assert len(outputs.traceback.splitlines()) == 1


def test_a_function_of_another_name_in_the_exercises_cell_is_named(kernel):
    kernel.run("# exercise: pool_mean\ndef average(acts, attention_mask):\n    return acts")
    outputs = kernel.run("check(pool_mean)")
    assert "there is no `pool_mean`, but its cell defines `average`: give it the exercise's name" in outputs.card


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("    print(acts)", "printed something but returned None"),
        ("    acts.mean()", "is its `return` line missing?"),
        ("    return acts.numpy()", "the result is a"),
        ("    return LinearProbe(acts[0][:2], torch.tensor(0.0))", "shape"),
        (
            "    acts -= acts.mean()\n    return LinearProbe(acts[0], torch.tensor(0.0))",
            "changed its argument `acts` in place",
        ),
        ("    return helper(acts)", "uses `helper`, which is not defined (line 3: return helper(acts))"),
        ("    return acts[notebook_variable]", "uses the notebook variable `notebook_variable` (line 3"),
        ("    return 1 / 0", "raised ZeroDivisionError: division by zero  (line 3: return 1 / 0)"),
        ("    import sys; sys.exit()", "raised SystemExit"),
        (
            "    from utils import probes\n    return probes.fit_mass_mean_probe(acts, labels)",
            "is the answer of an exercise",
        ),
        ("    yield acts", "generator or async"),
        ("    return '<script>alert(1)</script>'", "the result is a"),
    ],
    ids=lambda text: text.strip()[:40],
)
def test_a_wrong_answer_is_told_what_it_did(body, words, kernel):
    kernel.run("notebook_variable = 3")
    kernel.run(MARK + DEF + body)
    outputs = kernel.run(CALL)
    assert words in outputs.card, outputs.card
    assert outputs.raised == "CheckFailed" and len(outputs.traceback.splitlines()) == 1
    assert "<script>" not in outputs.html and outputs.text == {"stdout": "", "stderr": ""}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("check(3)", "check takes the function itself, as in check(pool_mean); got the int 3"),
        ("check(len)", "there is no exercise called len"),
        ("check('pool_meen')", "did you mean check(pool_mean)?"),
        ("check(None)", "check takes the function itself"),
        ("check(torch.zeros(2))", "check takes the function itself"),
        ("check(lambda: 1)", "there is no exercise called <lambda>"),
    ],
)
def test_checking_something_else_is_answered_in_one_line(call, words, kernel):
    outputs = kernel.run(call)
    assert outputs.raised == "CheckFailed" and words in outputs.error and len(outputs.traceback.splitlines()) == 1


RIGHT = ANSWERS["fit_mass_mean_probe"]
BODY = "    p, n = a[b], a[~b]\n    if not (len(p) and len(n)):\n        raise ValueError('both classes must occur')\n"
BODY += "    w = p.mean(0) - n.mean(0)\n    return LinearProbe(w, -w @ (p.mean(0) + n.mean(0)) / 2)"


@pytest.mark.parametrize(
    "source",
    [
        RIGHT,
        f"%%time\n{RIGHT}",
        f"def right(a, b):\n{BODY}\n{MARK}fit_mass_mean_probe = lambda acts, labels: right(acts, labels)",
        "import functools\ndef logged(f):\n    @functools.wraps(f)\n    def inner(*a, **k):\n        print('called')\n"
        f"        return f(*a, **k)\n    return inner\n{MARK}@logged\ndef fit_mass_mean_probe(a, b):\n{BODY}",
        f"def unnamed(f):\n    return lambda *a: f(*a)\n{MARK}@unnamed\ndef fit_mass_mean_probe(a, b):\n{BODY}",
        f"{MARK}@torch.no_grad()\ndef fit_mass_mean_probe(a, b):\n    display('debugging')\n{BODY}",
    ],
    ids=["as in the solution", "timed", "lambda", "functools.wraps", "a decorator that loses the name", "no_grad"],
)
def test_a_right_answer_passes_however_it_is_written(source, kernel):
    kernel.run(source)
    outputs = kernel.run(CALL)
    assert outputs.raised == "", outputs.card + outputs.traceback
    assert re.search(r"(\d+) of \1 points", outputs.card), outputs.card
    assert outputs.result is None
    row = kernel.progress()["fit_mass_mean_probe"]
    assert row["earned"] == CHAPTER.exercises["fit_mass_mean_probe"].points and row["attempts"] > 1


def test_of_many_definitions_the_last_one_that_ran_counts(kernel):
    for n in range(30):
        kernel.run(f"{MARK}{DEF}    return {n}")
    kernel.run(RIGHT)
    assert kernel.run(CALL).raised == ""
    kernel.run(f"{MARK}{DEF}    return 5")
    assert kernel.run(CALL).raised == "CheckFailed"


def test_a_copied_exercise_comment_does_not_hide_the_answer(kernel):
    kernel.run(RIGHT)
    kernel.run(MARK + "fit_mass_mean_probe(torch.eye(4), torch.tensor([True, True, False, False])).bias")
    assert kernel.run(CALL).raised == ""


def test_interrupting_a_function_interrupts_the_check(kernel):
    kernel.run(MARK + DEF + "    raise KeyboardInterrupt")
    outputs = kernel.run(CALL)
    assert outputs.raised == "KeyboardInterrupt" and not outputs.card
    kernel.run(RIGHT)
    assert kernel.run(CALL).raised == ""  # the next check is none the worse for it


def test_a_model_that_was_changed_is_itself_again_after_the_check(kernel):
    kernel.run("from utils.models import fingerprint\nmodel = load_model('minilm')\nbefore = fingerprint(model)")
    kernel.run(
        "# exercise: cache_resid_post\ndef cache_resid_post(model, tokens, attention_mask, layers):\n"
        "    next(model.parameters()).data.zero_()\n"
        "    return torch.zeros(len(layers), *tokens.shape, model.cfg.d_model)"
    )
    assert "changed the weights of `model` in place" in kernel.run("check(cache_resid_post)").card
    assert kernel.run("fingerprint(model) == before").result == "True"


def test_check_answers_soon_for_every_exercise(kernel):
    for name, source in ANSWERS.items():
        kernel.run(source)
        for attempt in ("first", "second"):
            start = time.perf_counter()
            outputs = kernel.run(f"check({name})")
            seconds = time.perf_counter() - start
            print(f"\ncheck({name}), {attempt} time: {seconds:.2f} s")
            assert outputs.raised == "", outputs.card
            assert seconds < LATENCY_SECONDS


def test_progress_shows_what_was_done(kernel):
    assert "fit_mass_mean_probe" in kernel.run("progress()").card


def test_under_nbgrader_check_returns_a_plain_float_and_leaves_no_trace(tmp_path):
    kernel = Kernel(tmp_path, NBGRADER_EXECUTION="autograde")
    try:
        kernel.run(
            RIGHT.replace("    ### BEGIN", "    import warnings; warnings.warn('loud')\n    X = '\\\\d'\n    ### BEGIN")
        )
        outputs = kernel.run(f"x = {CALL}\ntype(x), x")
        points = float(CHAPTER.exercises["fit_mass_mean_probe"].points)
        assert outputs.result == f"(float, {points})" and outputs.text["stderr"] == "" and not outputs.card
        assert "points" in outputs.text["stdout"]
        kernel.run(MARK + DEF + "    return 3")
        outputs = kernel.run(f"x = {CALL}\ntype(x), x")
        assert outputs.result.startswith("(float, 0.0") and outputs.raised == "" and outputs.text["stderr"] == ""
        kernel.run(MARK + DEF + "    raise NotImplementedError")
        outputs = kernel.run(CALL)
        assert outputs.result == "0.0" and outputs.raised == ""
        assert list(tmp_path.glob(".progress*")) == []
    finally:
        kernel.close()


def test_a_script_without_ipython_is_checked_as_well(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "PATH", tmp_path / ".progress.json")
    monkeypatch.setattr(check_module, "get_ipython", lambda: None)

    def load(source: str):
        path = tmp_path / "script.py"
        path.write_text(
            "import torch\nfrom torch import Tensor\nfrom jaxtyping import *\nfrom utils.probes import *\n" + source
        )
        names: dict = {"__name__": "script"}
        exec(compile(path.read_text(), str(path), "exec"), names)
        return names["fit_mass_mean_probe"]

    assert check(load(RIGHT)) is None
    with pytest.raises(NotWritten, match="is not written yet"):
        check(load(DEF + "    raise NotImplementedError"))
    with pytest.raises(CheckFailed, match="checks passed"):
        check(load(DEF + "    return 1 / 0"))
    assert "ZeroDivisionError: division by zero  (line 6" in capsys.readouterr().out


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """Progress of its own, in a script; the folder in which it lies."""
    monkeypatch.setattr(progress, "PATH", tmp_path / ".progress.json")
    monkeypatch.setattr(progress, "_unsaved", {})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def colab(alone, monkeypatch):
    """Stands for google.colab: what is downloaded, and what will be uploaded."""
    files = SimpleNamespace(uploads={}, downloads={}, upload=lambda: files.uploads)
    files.download = lambda name: files.downloads.update({Path(name).name: Path(name).read_bytes()})
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace(files=files))
    monkeypatch.setattr(tempfile, "tempdir", str(alone))
    return files


def test_progress_is_a_link_and_comes_back_from_the_file(alone, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(check_module, "display", shown.append)
    progress.record_attempt("01_linear_probes", "pool_mean", 3)
    check_module.save_progress()
    data = re.search(r'download="probing_progress.json" href="data:application/json;base64,([^"]*)"', shown[0].html)
    (alone / "saved.json").write_bytes(base64.b64decode(data[1]))
    progress.PATH.unlink()
    progress.record_attempt("01_linear_probes", "pool_mean", 1)
    check_module.restore_progress("saved.json")
    assert progress.read_progress()["01_linear_probes"]["pool_mean"] == {"earned": 3, "attempts": 1}
    assert "pool_mean" in shown[1].text  # the table of progress


def test_in_colab_progress_is_downloaded_and_chosen_from_a_form(colab, capsys):
    progress.record_attempt("01_linear_probes", "pool_mean", 3)
    check_module.save_progress()
    progress.PATH.unlink()
    colab.uploads = colab.downloads
    check_module.restore_progress()
    assert progress.read_progress() == {"01_linear_probes": {"pool_mean": {"earned": 3, "attempts": 1}}}
    colab.uploads = {}  # somebody closed the form
    check_module.restore_progress()
    colab.uploads = {"photo.json": b"\xff"}
    with pytest.raises(ValueError, match=r"photo\.json is no file of save_progress\(\) .*your progress is as it was"):
        check_module.restore_progress()
    assert progress.read_progress()["01_linear_probes"]["pool_mean"]["earned"] == 3


def test_a_file_to_restore_must_be_named_and_there(alone):
    with pytest.raises(ValueError, match=r'restore_progress\("probing_progress\.json"\)'):
        check_module.restore_progress()
    with pytest.raises(ValueError, match=r"gone\.json cannot be read \(No such file or directory\)"):
        check_module.restore_progress("gone.json")
    assert not progress.PATH.exists()
