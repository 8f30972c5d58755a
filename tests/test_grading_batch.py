"""Batches and the command line: everything handed in gets one row, whatever happens to the grader on the way.

What one submission can do is in tests/test_grading.py. Here the grader is killed, interrupted, spread over processes
and over a Dask cluster, and told nonsense. It runs with a temporary folder and a HOME of its own, so that what it
leaves there, and the processes that it leaves, can be told from others.
"""

import csv
import importlib.util
import json
import os
import random
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
import pytest

from tests.copies import copy_course
from utils import ROOT
from utils.course import build
from utils.course.chapter import BEGIN
from utils.grading import cluster as cluster_module
from utils.grading import run, warm
from utils.grading.cache import Done
from utils.grading.collect import collect
from utils.grading.results import Report, Settings

CHAPTER = "01_linear_probes"
POINTS = sum(exercise.points for exercise in build.load_chapter(CHAPTER).exercises.values())
FILES = {"report.json", "report.schema.json", "grades.csv", "exercises.csv", "index.html", "students", run.CACHE}
PATIENCE = 600  # seconds for one command on a busy machine
ENDED = 10  # seconds for processes to be gone after the grader is: the kernel ends them one after the other
TABLES = "from utils.datasets import load_colours\nCOLOURS = load_colours()\n"
ANSWERS = {name: cell for name, cell in build.exercise_cells(build.load_chapter(CHAPTER)).items()}
SUM = "return torch.einsum('lbpd,bp->lbd', acts, attention_mask.to(acts.dtype))"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the grader's sandbox, and /proc, are Linux's")


# ── what is handed in ──


def solved(**answers: str) -> str:
    """The solutions' notebook, with other first lines in some answers."""
    notebook = nbformat.read(ROOT / "solutions" / f"{CHAPTER}.ipynb", as_version=4)
    for cell in notebook.cells:
        if first := answers.get(cell.metadata.get("exercise", ""), ""):
            cell.source = cell.source.replace(f"    {BEGIN}\n", f"    {first}\n")
    return nbformat.writes(notebook)


def short(*names: str, **answers: str) -> str:
    """A notebook of a few exercises only, which is graded in a second; their first lines as for `solved`."""
    chapter = build.load_chapter(CHAPTER)
    imports = next(cell.source for cell in chapter.cells if "start_chapter" in cell.source and cell.kind == "code")
    cells = [imports]
    for name in names:
        cells.append(ANSWERS[name].replace(f"    {BEGIN}\n", f"    {answers.get(name, 'pass')}\n"))
    return nbformat.writes(nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells))))


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# ── the command line, somewhere else ──


@dataclass(frozen=True)
class Place:
    """A folder to start the grader in, with a HOME and a temporary folder beside it."""

    folder: Path

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def tmp(self) -> Path:
        return self.folder / "tmp"

    def environment(self, **more: str) -> dict[str, str]:
        left_out = ("GITHUB_STEP_SUMMARY", "PYTHONPATH")
        kept = {name: value for name, value in os.environ.items() if name not in left_out}
        home = {"HOME": str(self.folder / "home"), "TMPDIR": str(self.tmp), "PYTHONPATH": str(ROOT)}
        return kept | home | {"OMP_NUM_THREADS": "1", "COLUMNS": "80"} | more

    def start(self, *arguments: str | Path, **environment: str) -> subprocess.Popen:
        """The grader, in a process group of its own; its stderr can be read."""
        command = [sys.executable, "-m", "utils.grading", *arguments]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        environment = self.environment(**environment)
        return subprocess.Popen(command, cwd=self.work, env=environment, start_new_session=True, **pipes)

    def grader(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "utils.grading", *arguments]
        environment = self.environment(**environment)
        return subprocess.run(command, cwd=self.work, env=environment, capture_output=True, text=True, timeout=PATIENCE)

    def processes(self) -> dict[int, str]:
        """Servers, their twins and confined processes: all have the server's temporary folder in their environment."""
        found = {}
        for process in psutil.process_iter(["pid", "cmdline"]):
            try:
                if process.environ().get("TMPDIR", "").startswith(f"{self.tmp}/"):
                    found[process.pid] = " ".join(process.info["cmdline"] or [])
            except psutil.Error:  # ended, or another user's
                continue
        return found

    def left_over(self, seconds: float = ENDED) -> dict[int, str]:
        """The processes that are still there when they have had time to end."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("place"))
    for name in ("work", "home", "tmp"):
        (place.folder / name).mkdir()
    return place


def read(out: Path) -> Report:
    return Report.model_validate_json((out / "report.json").read_text(encoding="utf-8"))


def timeless(report: Report) -> list[dict]:
    """The rows without what differs from run to run: seconds."""
    rows = [
        row.model_dump(exclude={"seconds": True, "exercises": {"__all__": {"seconds"}}}) for row in report.submissions
    ]
    return rows


def snapshot(folder: Path, *left_out: Path) -> dict[str, int]:
    """Every path below a folder, with the time when a file changed."""
    paths = [path for path in folder.rglob("*") if not any(path.is_relative_to(out) for out in left_out)]
    return {str(path): path.stat().st_mtime_ns if path.is_file() else 0 for path in paths}


def rows_done(out: Path) -> dict[str, int]:
    """The files of the cache, with the times when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in (out / run.CACHE).glob("*.json")}


# ── one rich batch ──

LOOK = "<img src=x onerror=alert(1)>"
FORMULA, RTL = "=cmd()", "max\u202egnp"
DEEP = "X = " + "-" * 100_000 + "1"
NOT_GRADED = {  # student -> words of the reason
    "broken": "not JSON", "empty": "is empty", "folder": "is a folder", "large": "50 MB", "wide": "UTF-8",
    "pdf": "is not a notebook", "nothing": "an empty folder",
}  # fmt: skip
GRADED = {  # student -> points
    "ada": POINTS, "partly": None, "untouched": 0, "twice": POINTS, LOOK: 0, FORMULA: 0, RTL: 0, "endless": None,
    "deep": POINTS,
}  # fmt: skip


@pytest.fixture(scope="module")
def handed_in(place: Place) -> Path:
    """A class of sixteen students."""
    folder, untouched = place.work / "class", (ROOT / "chapters" / f"{CHAPTER}.ipynb").read_bytes()
    write(folder / "ada.ipynb", solved())
    write(folder / "partly.ipynb", solved(pool_mean=SUM))
    write(folder / "endless" / "mine.ipynb", solved(choose_layer="while True: pass"))
    deep = nbformat.reads(solved(), as_version=4)
    deep.cells.append(nbformat.v4.new_code_cell(DEEP))
    write(folder / "deep" / "mine.ipynb", nbformat.writes(deep))
    for name in ("untouched", LOOK, FORMULA, RTL):
        write(folder / name / f"{CHAPTER}.ipynb", untouched)
    os.utime(write(folder / "twice" / "first.ipynb", untouched), (1e9, 1e9))
    write(folder / "twice" / "second.ipynb", solved())
    write(folder / "broken" / "mine.ipynb", solved()[:5000])
    write(folder / "empty" / "mine.ipynb", b"")
    (folder / "folder" / "mine.ipynb").mkdir(parents=True)
    os.truncate(write(folder / "large" / "mine.ipynb", solved()), 60_000_000)
    write(folder / "wide" / "mine.ipynb", solved().encode("utf-16"))
    write(folder / "pdf" / "mine.pdf", b"%PDF-1.7")
    (folder / "nothing").mkdir()
    return folder


@pytest.fixture(scope="module")
def batch(place: Place, handed_in: Path) -> tuple[subprocess.CompletedProcess, Path, dict, dict]:
    """The class graded: the process, the report's folder, and the snapshots of what surrounds it."""
    out, summary = place.work / "out" / "report", place.folder / "home" / "summary.md"
    summary.write_text("before\n")
    before = snapshot(place.folder, place.work / "out", summary)
    options = ["--seed", "7", "--exercise-seconds", "2", "--jobs", "2"]
    result = place.grader("run", handed_in, "--out", out, *options, GITHUB_STEP_SUMMARY=str(summary))
    return result, out, before, snapshot(place.folder, place.work / "out", summary)


def test_a_batch_has_one_row_for_everything_that_was_handed_in(batch):
    result, out, _, _ = batch
    assert result.returncode == 0, result.stderr
    rows = {row.student: row for row in read(out).submissions}
    assert len(rows) == len(read(out).submissions)
    assert set(rows) == {*GRADED, *NOT_GRADED}
    for student, words in NOT_GRADED.items():
        assert words in rows[student].reason and not rows[student].exercises, rows[student]
    for student, points in GRADED.items():
        row = rows[student]
        assert not row.reason and row.max_points == POINTS and points in (None, row.points), row
    wrong = {s: {e.name for e in rows[s].exercises if e.points < e.max_points} for s in ("partly", "endless")}
    assert wrong == {"partly": {"pool_mean"}, "endless": {"choose_layer"}}
    assert "2 notebooks for this chapter; the newest, twice/second.ipynb" in rows["twice"].notes[0]
    assert any("cell" in problem for problem in rows["deep"].problems)


def test_another_seed_gives_the_right_notebook_full_points_too(batch):
    report = read(batch[1])
    assert report.settings.seed == 7
    assert {row.points for row in report.submissions if row.student == "ada"} == {POINTS}


def test_nothing_is_written_outside_the_reports_folder_and_nobody_stays(batch, place):
    _, out, before, after = batch
    assert after == before
    assert {path.name for path in out.iterdir()} == FILES and [path.name for path in out.parent.iterdir()] == ["report"]
    assert place.left_over() == {}


def test_the_files_of_a_report_agree_with_each_other(batch):
    report, out = read(batch[1]), batch[1]
    with open(out / "grades.csv", encoding="utf-8-sig", newline="") as file:
        grades = list(csv.DictReader(file))
    assert len(grades) == len(report.submissions)
    for row, line in zip(report.submissions, grades, strict=True):
        assert line["points"] == ("" if row.reason else str(row.points))
        assert line["status"] == ("not graded" if row.reason else "graded")
        assert sum(int(v) for k, v in line.items() if re.match(r"\d\.\d", k) and v) == row.points
    with open(out / "exercises.csv", encoding="utf-8-sig", newline="") as file:
        exercises = list(csv.DictReader(file))
    assert sum(int(line["points"]) for line in exercises) == sum(row.points for row in report.submissions)
    index = (out / "index.html").read_text(encoding="utf-8")
    linked = set(re.findall(r'href="(students/[^"]+)"', index))
    assert linked == {f"students/{path.name}" for path in (out / "students").iterdir()}
    assert len(linked) == len(report.submissions)


def test_names_do_no_harm_in_any_file(batch):
    result, out, _, _ = batch
    pages = "".join(path.read_text(encoding="utf-8") for path in out.rglob("*.html"))
    assert "<img src=x" not in pages and "&lt;img src=x" in pages
    assert "\u202e" not in pages + result.stdout + result.stderr
    lines = (out / "grades.csv").read_text(encoding="utf-8-sig").splitlines()
    assert any(line.startswith("'=cmd()") for line in lines) and not any(line.startswith("=") for line in lines)


def test_the_terminal_shows_the_class_and_where_the_report_is(batch):
    result, out, _, _ = batch
    assert "endless" in result.stdout and "not graded: mine.ipynb is empty" in " ".join(result.stdout.split())
    assert result.stderr.splitlines()[-1] == f"report: {out / 'index.html'}"  # however long
    assert "Traceback" not in result.stderr


def test_a_step_summary_is_appended(batch, place):
    text = (place.folder / "home" / "summary.md").read_text(encoding="utf-8")
    assert (
        text.startswith("before\n## Grades\n") and f"| ada | 01&#95;linear&#95;probes | {POINTS} | {POINTS} |" in text
    )


def test_a_zip_of_the_class_gives_the_same_rows_and_unpacks_nothing(batch, handed_in, place, tmp_path):
    """Nothing is graded again: the rows come from the cache, since contents and names are the same."""
    out, packed = tmp_path / "report", tmp_path / "class.zip"
    shutil.copytree(batch[1], out)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(handed_in.rglob("*")):
            if path.parent.name != "twice":  # its row tells the time, of which a zip does not know the zone
                archive.write(path, path.relative_to(handed_in))
        archive.write(handed_in / "ada.ipynb", "../../outside.ipynb")
    before, done = snapshot(place.folder), rows_done(out)
    result = place.grader("run", packed, "--out", out, "--seed", "7", "--exercise-seconds", "2")
    assert result.returncode == 0, result.stderr
    rows = {row["student"]: row for row in timeless(read(out))}
    [outside] = [row for row in rows.values() if "points outside the zip" in row["reason"]]
    assert "an empty folder" in rows["twice"]["reason"]
    in_folder = {row["student"]: row for row in timeless(read(batch[1]))}
    different = {name for name in rows.keys() | in_folder.keys() if rows.get(name) != in_folder.get(name)}
    assert different == {outside["student"], "twice", "folder"} and rows["folder"]["reason"]
    assert done.items() <= rows_done(out).items()
    assert snapshot(place.folder) == before and not (tmp_path.parent / "outside.ipynb").exists()


def test_one_notebook_is_a_batch_and_its_page_can_go_without_messages(batch, handed_in, place, tmp_path):
    """Its row comes from the cache, too."""
    out = tmp_path / "report"
    shutil.copytree(batch[1], out)
    options = ["--seed", "7", "--exercise-seconds", "2", "--no-messages"]
    result = place.grader("run", handed_in / "partly.ipynb", "--out", out, *options)
    assert result.returncode == 0, result.stderr
    [row] = read(out).submissions
    [message] = [exercise.first_message for exercise in row.exercises if exercise.points < exercise.max_points]
    words = max(re.findall(r"[\w ]+", message), key=len)  # a piece that looks the same in HTML
    pages = ["".join(path.read_text(encoding="utf-8") for path in (o / "students").iterdir()) for o in (batch[1], out)]
    assert words in pages[0] and words not in pages[1]
    assert place.left_over() == {}


# ── commands that cannot be carried out ──

WRONG_COMMANDS = {  # arguments, with {class}, {file} -> words of the one line
    "run missing.ipynb": "missing.ipynb does not exist",
    "run {file}": "is not a notebook (.ipynb), a folder or a zip",
    "run nothing": "nothing is empty; name the folder",
    "run {class} --chapter 77": "there is no chapter 77; the chapters are 01_linear_probes",
    "run {class} --chapter 01_linear_probe": "did you mean 01_linear_probes?",
    "run {class} --out {file}": "cannot be a folder",
    "run {class} --out {file}/report": "cannot be a folder",
    "run {class} --out {class}/report": "lies in a folder of submissions",
    "run {class} --jobs 0": "Invalid value for '--jobs'",
    "run {class} --jobs": "'--jobs' requires an argument",
    "run {class} --trust nonsense": "'split', 'shared'",
    "run {class} --seed -1": "Invalid value for '--seed'",
    "run {class} --exercise-seconds inf": "Invalid value for '--exercise-seconds'",
    "run {class} --memory-mb 99999999999999999999": "Invalid value for '--memory-mb'",
    "run {class} --nonsense": "No such option: --nonsense",
    "run": "see python -m utils.grading run --help",
    "nonsense": "No such command 'nonsense'",
    "similarity missing": "missing does not exist",
    "similarity {class} --out {file}": "cannot be a folder",
    "similarity {class} --chapter 77": "there is no chapter 77",
    "export-gradescope": "Missing option '--chapter'",
    "export-gradescope --chapter 77": "there is no chapter 77",
    "export-gradescope --chapter 01 --out {class}": "cannot be written",
    "export-gradescope --chapter 01 --seed x": "Invalid value for '--seed'",
}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> Callable[..., tuple[int, str]]:
    """Carries out a command in this process and in an empty folder; gives its exit status and what stderr says."""
    from utils.grading import __main__ as command_line

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command_line.console, "width", 80)

    def carry_out(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["grading", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        return ended.value.code or 0, capsys.readouterr().err

    return carry_out


@pytest.mark.parametrize("command", WRONG_COMMANDS)
def test_a_command_that_cannot_be_carried_out_gets_one_line_and_writes_nothing(command: str, told, tmp_path):
    write(tmp_path / "class" / "ada.ipynb", short())
    write(tmp_path / "file", "")
    (tmp_path / "nothing").mkdir()
    before = snapshot(tmp_path)
    places = {"class": tmp_path / "class", "file": tmp_path / "file"}
    status, said = told(*command.format_map(places).split())
    assert status == 2
    assert len(said.splitlines()) == 1 and said.startswith("error: ") and WRONG_COMMANDS[command] in said
    assert snapshot(tmp_path) == before


def test_submissions_in_the_place_of_pages_are_refused_before_anything_is_graded(told, tmp_path):
    write(tmp_path / "students" / "ada.ipynb", short())
    before = snapshot(tmp_path)
    status, said = told("run", "students", "--out", ".")
    assert status == 2 and len(said.splitlines()) == 1 and "no page of a report; name another --out" in said
    assert snapshot(tmp_path) == before


def test_one_line_reaches_the_terminal_and_the_status_the_shell(place):
    result = place.grader("run", "x" * 300 + "\n.ipynb")
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1 and "Traceback" not in result.stderr


def test_help_is_readable_and_quick(place):
    """Run as the README says, from the course's folder."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    command = [sys.executable, "-m", "utils.grading", "run", "--help"]
    result = subprocess.run(command, cwd=ROOT, env=place.environment(PYTHONPATH=""), capture_output=True, text=True)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2  # of CPU: 0.4 on a laptop
    assert result.returncode == 0 and max(map(len, result.stdout.splitlines())) <= 80
    for option in ("--chapter", "--out", "--jobs", "--cluster", "--seed", "--trust", "--messages", "--memory-mb"):
        assert option in result.stdout


def test_no_arguments_show_the_commands(told):
    status, _ = told()
    assert status == 0


# ── similarity and the zip for Gradescope ──


def test_similarity_writes_two_files_and_runs_nothing(handed_in, place, told, tmp_path):
    before = snapshot(place.folder)
    status, said = told("similarity", handed_in, "--out", "alike")
    assert status == 0 and said.splitlines()[-1] == "report: alike/similarity.html"
    assert {path.name for path in (tmp_path / "alike").iterdir()} == {"similarity.csv", "similarity.html"}
    with open(tmp_path / "alike" / "similarity.csv", encoding="utf-8-sig", newline="") as file:
        pairs = {frozenset((line["first"], line["second"])): float(line["score"]) for line in csv.DictReader(file)}
    assert pairs[frozenset({"ada", "twice"})] == 1.0
    assert "<img src=x" not in (tmp_path / "alike" / "similarity.html").read_text(encoding="utf-8")
    assert snapshot(place.folder) == before


def test_the_zip_for_gradescope_is_written_where_it_is_wanted(told, tmp_path):
    status, said = told("export-gradescope", "--chapter", "1", "--seed", "7", "--out", "new/zip.zip")
    assert status == 0 and said.splitlines() == ["autograder: new/zip.zip"]
    with zipfile.ZipFile(tmp_path / "new" / "zip.zip") as archive:
        assert {"setup.sh", "run_autograder"} <= set(archive.namelist())
        assert b"--seed 7" in archive.read("run_autograder")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["zip.zip"]


# ── killed, interrupted, spread ──


@pytest.fixture(scope="module")
def eight(place: Place) -> Path:
    """Eight students whose notebooks take a second or so each, and one file that cannot be graded."""
    folder = place.folder / "eight"
    answers = ["fit_mass_mean_probe", "roc_auc", "logistic_regression_loss", "fit_ridge_probe"]
    for i in range(8):
        # slow, so that there is time to be killed in
        first = dict.fromkeys(answers, "import time; time.sleep(0.01)")
        wrong = {answers[i % 4]: "return 0.5"} if i % 2 else {}
        write(folder / f"student {i}" / "mine.ipynb", short(*answers[: 1 + i // 2], **(first | wrong)))
    write(folder / "empty" / "mine.ipynb", b"")
    return folder


@pytest.fixture(scope="module")
def undisturbed(place: Place, eight: Path) -> Path:
    """The folder of a report by two servers that nobody disturbed."""
    out = place.folder / "undisturbed"
    result = place.grader("run", eight, "--out", out, "--jobs", "2")
    assert result.returncode == 0, result.stderr
    points = [row.points for row in read(out).submissions if not row.reason]
    assert len(points) == 8 and len(set(points)) > 3  # so that rows cannot be exchanged unseen
    return out


def wait_for(condition: Callable[[], bool], process: subprocess.Popen | None = None) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if process is not None and process.poll() is not None:
            pytest.fail(f"it ended with {process.returncode}: {process.communicate()[1]}")
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.01)


ROUNDS = [  # rows that are done when the signal comes, at the latest this many seconds later, the signal
    (0, 8.0, signal.SIGKILL),
    (2, 0.6, signal.SIGKILL),
    (4, 0.6, signal.SIGINT),
    (6, 0.6, signal.SIGKILL),
]


@pytest.fixture
def sigint() -> Iterator[None]:
    """Not ignored by processes that are started now, as it is in those that a shell runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_batch_that_is_killed_again_and_again_ends_as_if_it_had_not_been(place, eight, undisturbed, sigint):
    out, draw = place.work / "killed", random.Random(0)
    for rows, within, number in ROUNDS:
        grader = place.start("run", eight, "--out", out, "--jobs", "1")
        wait_for(lambda rows=rows: len(rows_done(out)) >= rows, grader)
        time.sleep(draw.uniform(0, within))
        if number == signal.SIGINT:
            os.killpg(grader.pid, number)  # what a terminal does
            said = grader.communicate(timeout=PATIENCE)[1]
            assert grader.returncode == 130, said
            assert said.splitlines()[-1] == "interrupted; the same command goes on from here"
            assert "Traceback" not in said
        else:
            grader.kill()  # this process alone, and it cannot do a thing about it
            grader.communicate(timeout=PATIENCE)
        assert place.left_over() == {}
        for path in out.rglob("*.json"):
            json.loads(path.read_text(encoding="utf-8"))
        assert not (out / "report.json").exists()
    done = rows_done(out)
    assert 6 <= len(done) < 9
    result = place.grader("run", eight, "--out", out, "--jobs", "1")
    assert result.returncode == 0, result.stderr
    assert done.items() <= rows_done(out).items() and len(rows_done(out)) == 9  # nobody was graded twice
    assert timeless(read(out)) == timeless(read(undisturbed))
    assert read(out).layers == read(undisturbed).layers and read(out).versions == read(undisturbed).versions
    assert place.left_over() == {}


class Stop(Exception):
    """Ends a run before anything is graded."""


def known(folder: Path, out: Path, settings: Settings) -> int:
    """How many rows of a batch would be taken from the cache."""

    def stop(done: int, total: int) -> None:
        raise Stop(done)

    with pytest.raises(Stop) as stopped:
        run.run(collect([folder]), settings, out, progress=stop)
    return stopped.value.args[0]


def test_rows_are_taken_from_the_cache_only_for_the_same_submission_checks_and_settings(
    eight, undisturbed, tmp_path, monkeypatch
):
    assert known(eight, undisturbed, Settings()) == 9
    assert known(eight, tmp_path / "elsewhere", Settings()) == 0
    for other in (Settings(seed=1), Settings(trust="shared"), Settings(exercise_seconds=9), Settings(memory_mb=999)):
        assert known(eight, undisturbed, other) == 0
    changed = shutil.copytree(eight, tmp_path / "eight")
    with open(changed / "student 3" / "mine.ipynb", "a") as file:
        file.write("\n")
    (changed / "student 4").rename(changed / "student x")
    assert known(changed, undisturbed, Settings()) == 7
    monkeypatch.setattr(run, "checks_digest", lambda chapter: "other checks")
    assert known(eight, undisturbed, Settings()) == 1  # the one that cannot be graded at all


def test_what_is_damaged_in_the_cache_is_graded_again_and_a_lost_server_costs_nothing(eight, undisturbed, tmp_path):
    out = tmp_path / "report"
    shutil.copytree(undisturbed, out)
    rows = {Done.model_validate_json(p.read_bytes()).row.student: p for p in (out / run.CACHE).iterdir()}
    whole = rows["student 1"].read_bytes()
    rows["student 1"].write_bytes(whole[: len(whole) // 2])
    rows["student 2"].write_text('{"row": {"schema": 99}, "layers": {}}')
    rows["student 3"].write_bytes(b"\xff\x00")
    rows["student 5"].write_text("[]")
    rows["student 6"].write_text("")
    rows["student 7"].unlink()
    rows["student 7"].mkdir()
    assert known(eight, out, Settings()) == 3
    killed = []

    def kill_once(done: int, total: int) -> None:
        if done > 3 and not killed:
            killed.append(next(iter(warm._servers.values()))._process)
            killed[0].kill()

    report = run.run(collect([eight]), Settings(), out, jobs=2, progress=kill_once)
    assert killed and timeless(report) == timeless(read(undisturbed))
    assert rows["student 1"].read_bytes() != whole[: len(whole) // 2] and rows["student 7"].is_dir()
    assert known(eight, out, Settings()) == 8 and not warm._servers


# ── a Dask cluster ──


@dataclass(frozen=True)
class Cluster:
    """A scheduler and its workers, each with a nanny, as commands start them."""

    place: Place
    address: str
    started: list[subprocess.Popen]

    def add(self, folder: Path = ROOT, threads: int = 1) -> subprocess.Popen:
        """Start a worker in a folder; gives its nanny."""
        scratch = str(self.place.folder / "scratch")
        options = ["--nthreads", str(threads), "--memory-limit", "0", "--no-dashboard", "--local-directory", scratch]
        command = [sys.executable, "-m", "distributed.cli.dask_worker", self.address, *options]
        self.started.append(start_quietly(command, folder, self.place))
        return self.started[-1]

    def wait_for_workers(self, count: int) -> None:
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            wait_for(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == count)


def start_quietly(command: Sequence[str], folder: Path, place: Place) -> subprocess.Popen:
    """Python finds the course only if it is the folder."""
    null, environment = subprocess.DEVNULL, place.environment(PYTHONPATH="")
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=null, stderr=null)


def kill_tree(nanny: subprocess.Popen) -> None:
    """A worker and its nanny at once, so that nobody starts it again; not what the worker itself has started."""
    children = psutil.Process(nanny.pid).children()
    nanny.kill()
    for child in children:
        child.kill()
    nanny.wait()


@pytest.fixture
def start_cluster(place: Place, tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Starts a scheduler in a folder; ends all schedulers and workers with the test."""
    if importlib.util.find_spec("distributed") is None:
        message = "needs the package distributed; run `.venv/bin/pip install distributed`"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(message)
    started: list[subprocess.Popen] = []

    def start(folder: Path = ROOT) -> Cluster:
        told = tmp_path / f"scheduler{len(started)}.json"
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
        started.append(start_quietly([*command, "--no-dashboard", "--scheduler-file", str(told)], folder, place))
        wait_for(lambda: told.exists() and told.read_text().endswith("}"))
        return Cluster(place, json.loads(told.read_text())["address"], started)

    yield start
    for process in reversed(started):
        if process.poll() is None:
            kill_tree(process)


def test_a_cluster_gives_the_same_rows_although_a_worker_is_killed(start_cluster, place, eight, undisturbed):
    cluster = start_cluster()
    workers = [cluster.add() for _ in range(3)]
    cluster.wait_for_workers(3)
    out = place.work / "cluster"
    grader = place.start("run", eight, "--out", out, "--cluster", cluster.address)
    wait_for(lambda: len(rows_done(out)) >= 2, grader)
    kill_tree(workers[0])
    said = grader.communicate(timeout=PATIENCE)[1]
    assert grader.returncode == 0, said
    assert timeless(read(out)) == timeless(read(undisturbed))
    assert read(out).layers == read(undisturbed).layers
    assert len(place.processes()) <= 6  # two servers, each with its twin and perhaps what that has forked
    assert place.left_over(warm.IDLE_SECONDS + ENDED) == {}, "servers stay on the workers when nobody needs them"


def test_a_cluster_that_cannot_grade_gets_one_line(start_cluster, place, eight, told, tmp_path, monkeypatch):
    cluster = start_cluster()
    monkeypatch.setattr(cluster_module, "CLUSTER_SECONDS", 2)
    arguments = ["run", eight, "--out", "report", "--cluster"]

    def refused(address: str) -> str:
        status, said = told(*arguments, address)
        assert status == 2 and not (tmp_path / "report").exists()
        assert len(said.splitlines()) == 1 and said.startswith("error: ")
        return said

    assert "no Dask scheduler answers at tcp://127.0.0.1:9; is it running?" in refused("tcp://127.0.0.1:9")
    assert "no Dask scheduler answers at nonsense://x" in refused("nonsense://x")
    assert "the cluster has no worker after 2 s" in refused(cluster.address)
    assert "the scheduler cannot load the course" in refused(start_cluster(place.work).address)
    monkeypatch.setattr(cluster_module, "CLUSTER_SECONDS", 60)
    alone = cluster.add()
    cluster.wait_for_workers(1)
    assert "the cluster has one worker with one thread; start more" in refused(cluster.address)
    kill_tree(alone)
    cluster.wait_for_workers(0)
    elsewhere = cluster.add(place.work, threads=2)
    cluster.wait_for_workers(1)
    assert "a worker cannot load the course" in (said := refused(cluster.address)) and "'utils'" in said
    kill_tree(elsewhere)
    cluster.wait_for_workers(0)
    changed = copy_course(tmp_path, "assets", "*.ipynb")
    with open(changed / "tests" / f"test_{CHAPTER}.py", "a") as file:
        file.write("\n")
    cluster.add(changed, threads=2)
    cluster.wait_for_workers(1)
    assert f"a worker has other checks of {CHAPTER}" in refused(cluster.address)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "needs the package distributed; run" in refused(cluster.address)


# ── as a user without rights ──

USER = 12_345  # nobody in particular


def test_a_user_without_rights_grades_in_a_sandbox_as_well(place, tmp_path_factory):
    """Where the tests run as such a user, all of the above has shown it."""
    if os.getuid():
        pytest.skip("all tests run as a user without rights")
    import torch

    folder = tmp_path_factory.mktemp("anyone")
    for above in (folder, *folder.parents):
        if above.stat().st_uid == 0 and above != Path("/"):
            above.chmod(above.stat().st_mode | stat.S_IXOTH)
    course = copy_course(folder, "chapters")
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    write(course / "class" / "ada.ipynb", solved())
    write(course / "class" / "partly.ipynb", short("roc_auc", roc_auc="while True: pass"))
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, USER)
    their = Place(folder)
    as_user = {"cwd": course, "env": their.environment(PYTHONPATH=""), "user": USER, "group": USER, "extra_groups": []}
    try:
        subprocess.run([sys.executable, "-c", "import torch"], **as_user, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"Python ({sys.executable}) or torch ({torch.__path__[0]}) lies where other users cannot read")
    options = ["--jobs", "1", "--exercise-seconds", "2"]
    command = [sys.executable, "-m", "utils.grading", "run", "class", "--out", "report", *options]
    result = subprocess.run(command, **as_user, capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 0, result.stderr
    report = read(course / "report")
    assert {row.student: row.points for row in report.submissions} == {"ada": POINTS, "partly": 0}
    assert {report.layers[name] for name in ("unprivileged user", "resource limits", "files", "system calls")} == {
        "active"
    }
    without_namespaces = {name: why for name, why in report.layers.items() if why != "active"}
    assert not without_namespaces or "own namespaces" in without_namespaces, without_namespaces
    assert their.left_over() == {} and not list((folder / "tmp").iterdir())
