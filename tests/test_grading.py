"""The grader against submissions that are hostile: every threat, with its exact outcome.

A hostile answer is a right answer that first does something else. Where that is refused, it gets full points, because
it is right; where it ends its process or its time, that exercise gets none, and all others keep theirs.
"""

import ast
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from utils import ROOT
from utils.course import build
from utils.course.cells import Cell
from utils.course.chapter import BEGIN, Chapter
from utils.course.mutants import read_mutants
from utils.grading import integrity, run, sandbox
from utils.grading.collect import Submission
from utils.grading.results import ExerciseRow, Settings, SubmissionRow
from utils.grading.warm import close_servers, warm_server

CHAPTER = "01_linear_probes"
BEGIN = f"    {BEGIN}\n"
SETTINGS = Settings(exercise_seconds=6)
SECRET = "nobody-may-read-this"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")


def chapter() -> Chapter:
    return build.load_chapter(CHAPTER)


def hand_in(attacks: dict[str, str] | None = None, before: str = "", after: str = "") -> Submission:
    """The solution's notebook, with code in front of some answers, and with cells before and after all others."""
    cells = [before] if before else []
    for cell in chapter().cells:
        if cell.kind == "code":
            attack = textwrap.indent(textwrap.dedent((attacks or {}).get(cell.exercise, "")), "    ")
            cells.append(cell.source.replace(BEGIN, attack + "\n") if attack.strip() else cell.source)
    cells += [after] if after else []
    numbered = tuple(Cell(source, f"cell {n}") for n, source in enumerate(cells, start=1))
    return Submission("ada", "ada.ipynb", CHAPTER, sha256="0", cells=numbered)


def rows(row: SubmissionRow) -> dict[str, ExerciseRow]:
    return {exercise.name: exercise for exercise in row.exercises}


def processes() -> set[int]:
    """Our servers and whatever they forked, whoever its parent is by now: a fork keeps the command line."""
    found = psutil.process_iter(["cmdline"])
    return {p.pid for p in found if p.info["cmdline"] and p.info["cmdline"][-1] == str(os.getpid())}


@pytest.fixture(scope="module", autouse=True)
def warm() -> Iterator[None]:
    """The first submission starts the server, which a secret must not reach."""
    os.environ["COURSE_TEST_SECRET"] = SECRET
    assert run.grade(hand_in(), SETTINGS).points == sum(e.points for e in chapter().exercises.values())
    yield
    close_servers()
    del os.environ["COURSE_TEST_SECRET"]


# ── what ends or stops one exercise, and that one alone ──

ENDINGS = {  # exercise -> attack, kind, words of the message; kind "" means full points
    "cache_resid_post": ("import os; os._exit(0)", "died", "ended its process (exit status 0)"),
    "pool_mean": (
        """
        import signal
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except Exception:
                pass
        while True:
            pass
        """,
        "timeout",
        "timed out after 6 s",
    ),
    "fit_mass_mean_probe": ("x = bytearray(2 << 30)", "exception", "MemoryError"),
    "fit_ridge_probe": ("import os; print('x' * 30_000_000); os.write(1, b'x' * 30_000_000)", "", ""),
    "score_by_layer": (
        """
        import os, time
        while True:
            try:
                os.fork()
            except OSError:
                time.sleep(99)
        """,
        "timeout",
        "timed out after 6 s",
    ),
    "choose_layer": (
        "import os; files = [os.open('/dev/null', 0) for _ in range(200_000)]",
        "exception",
        "Too many open",
    ),
    "roc_auc": (
        """
        import logging, os, sys, warnings
        warnings.warn("a warning"); print("to stderr", file=sys.stderr); os.write(2, b"below Python")
        logging.getLogger("transformers").error("a line")
        """,
        "",
        "",
    ),
    "logistic_regression_loss": (
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(600)
            os._exit(0)
        """,
        "",
        "",
    ),
    "fit_logistic_regression_probe": ("import ctypes; ctypes.string_at(0)", "died", "exit status -11"),
}


@pytest.fixture(scope="module")
def endings(warm) -> tuple[SubmissionRow, set[int], float]:
    """The row, the processes that were left over, and the seconds it took."""
    before, start = processes(), time.perf_counter()
    row = run.grade(hand_in({name: attack for name, (attack, _, _) in ENDINGS.items()}), SETTINGS)
    return row, processes() - before, time.perf_counter() - start


@pytest.mark.parametrize("exercise", ENDINGS)
def test_what_one_exercise_does_to_its_process_costs_that_exercise_alone(exercise: str, endings):
    result, (_, kind, words) = rows(endings[0])[exercise], ENDINGS[exercise]
    if kind:
        assert (result.points, result.kind) == (0, kind) and words in result.first_message
    else:
        assert result.points == result.max_points, result.first_message


def test_no_process_outlives_its_exercise_and_endless_ones_cost_their_time_once(endings):
    assert endings[1] == set()
    assert endings[2] < 2 * SETTINGS.exercise_seconds + 40  # generous: the machine may be busy


# ── what is refused ──

REFUSED = {  # what an answer tries; what it says if that works is not an answer
    "the solutions": "open({root!r} + '/solutions/01_linear_probes.py').read()",
    "the checks": "open({root!r} + '/tests/test_01_linear_probes.py').read()",
    "the course's own answers": "open({root!r} + '/utils/probes.py').read()",
    "their compiled form": "import glob; open(glob.glob({root!r} + '/utils/__pycache__/probes*')[0], 'rb').read()",
    "the list of submissions": "import os; os.listdir({outside!r})",
    "another submission": "open({outside!r} + '/other.ipynb').read()",
    "other processes": "open('/proc/%d/environ' % {pid}).read()",
    "the first process": "open('/proc/1/environ').read()",
    "a secret in the environment": "import os; {{**os.environ}}['COURSE_TEST_SECRET']",
    "writing next to the submissions": "open({outside!r} + '/new', 'w')",
    "writing into the course": "open({root!r} + '/utils/assets/new', 'w')",
    "a link out of the work folder": "import os; os.symlink({outside!r}, 'out'); open('out/other.ipynb').read()",
    "writing through a link": "import os; os.symlink({outside!r}, 'out2'); open('out2/new', 'w')",
    "a hard link": "import os; os.link({outside!r} + '/other.ipynb', 'hard')",
    "rights of files": "import os; os.chmod({outside!r} + '/other.ipynb', 0)",
    "times of files": "import os; os.utime({outside!r} + '/other.ipynb', (0, 0))",
    "shortening files": "import os; os.truncate({outside!r} + '/other.ipynb', 0)",
    "removing files": "import os; os.remove({outside!r} + '/other.ipynb')",
    "the network": "import socket; socket.create_connection(('127.0.0.1', {port}), timeout=1)",
    "a name server": "import socket; socket.getaddrinfo('example.org', 80)",
    "sockets of other programs": "import socket; socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')",
    "signals to the grader": "import os; os.kill({pid}, 0)",
    "another program": "import subprocess; subprocess.run([{python!r}, '-c', ''], check=True)",
    "a shell": "import os; assert os.system('true') == 0",
    "a program of its own": """import os, stat; open('a.sh', 'w').write('#!/bin/sh'); os.execv('a.sh', ['a.sh'])""",
    "becoming root": "import os; os.setuid(0); open('/etc/shadow').read()",
    "tracing": "import ctypes; assert ctypes.CDLL(None).ptrace(16, {pid}, 0, 0) == 0",
    "a namespace of its own": "import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == 0",
    "mounting": "import ctypes; assert ctypes.CDLL(None).mount(b'none', b'/', b'tmpfs', 0, None) == 0",
    "leaving the work folder's mount": "import ctypes; assert ctypes.CDLL(None).umount2({work!r}, 2) == 0",
    "outliving the grader": "import ctypes; assert ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) == 0",
    "the clock": "import time; time.clock_settime(time.CLOCK_REALTIME, 0)",
    "memory without a limit": "import os; os.memfd_create('x')",
    "more open files": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (99999, 99999))",
    "more memory": "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "a large file": "open('large', 'wb').write(bytes(100 << 20))",
    "many files": "for n in range(100_000): open(str(n), 'w')",
}


def attempts_at(outside: Path, listener: socket.socket) -> dict[str, str]:
    """The attempts as code, on a folder of submissions and a port that is open."""
    facts = {
        "root": str(ROOT), "outside": str(outside), "pid": os.getpid(), "port": listener.getsockname()[1],
        "python": sys.executable, "work": os.fsencode(outside),
    }  # fmt: skip
    return {name: code.format(**facts) for name, code in REFUSED.items()}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory, warm) -> tuple[dict[str, str], Path]:
    """What each attempt of one hostile answer came to, as the answer itself tells in the feedback; and the folder."""
    outside = tmp_path_factory.mktemp("submissions")
    (outside / "other.ipynb").write_text(SECRET)
    os.chmod(outside, 0o777)
    for folder in outside.parents:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            os.chmod(folder, folder.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        attempts = attempts_at(outside, listener)
        attack = f"""
        worked = []
        for name, code in {attempts!r}.items():
            try:
                exec(code, {{}})
                worked.append(name)
            except BaseException:
                pass
        if worked:
            raise RuntimeError(" & ".join(worked))
        """
        row = run.grade(hand_in({"choose_layer": attack}), SETTINGS)
    message = rows(row)["choose_layer"].first_message
    assert not message or "RuntimeError" in message, message
    return {name: name in message for name in REFUSED}, outside


@pytest.mark.parametrize("attempt", REFUSED)
def test_submitted_code_is_refused(attempt: str, refused):
    assert not refused[0][attempt], "it worked"


HARMLESS = (  # of the attempts: those that may be made here, where nothing refuses them
    "the solutions", "the checks", "the course's own answers", "the list of submissions", "another submission",
    "other processes", "a secret in the environment", "writing next to the submissions",
    "a link out of the work folder", "writing through a link", "a hard link", "rights of files", "times of files",
    "the network", "signals to the grader", "another program", "a shell", "memory without a limit", "a large file",
)  # fmt: skip


def test_the_attempts_are_real(tmp_path: Path):
    """Control: outside the sandbox, the same code does what it says."""
    outside, work = tmp_path / "outside", tmp_path / "work"
    outside.mkdir()
    work.mkdir()
    (outside / "other.ipynb").write_text(SECRET)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        attempts = attempts_at(outside, listener)
        lines = [f"exec({attempts[name]!r}, {{}})" for name in HARMLESS]
        command = [sys.executable, "-c", "\n".join(lines)]
        result = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_nothing_outside_has_changed(refused):
    assert [path.name for path in refused[1].iterdir()] == ["other.ipynb"]
    assert (refused[1] / "other.ipynb").read_text() == SECRET
    assert not (ROOT / "utils" / "assets" / "new").exists()


def test_what_an_answer_may_need_is_there():
    attack = """
    import calendar, os, random, shutil, tempfile, tabnanny, xml.dom.minidom
    import numpy as np, sklearn.svm, torch
    with tempfile.TemporaryDirectory() as folder:
        np.save(os.path.join(folder, "a.npy"), np.ones(3))
    open("mine.txt", "w").write("x"); os.mkdir("folder"); shutil.rmtree(os.getcwd(), ignore_errors=True)
    sklearn.svm.LinearSVC().fit(np.random.rand(20, 2), [0, 1] * 10)
    from utils.datasets import load_colours
    from utils.models import load_model
    load_colours(), load_model("othello_gpt")
    """
    result = rows(run.grade(hand_in({"choose_layer": attack}), SETTINGS))["choose_layer"]
    assert result.points == result.max_points, result.first_message


# ── tampering ──

WRONG = "return 0"
PATCHES = """
import builtins, functools, gc, sys
import numpy, pytest, torch
import utils.course.calls, utils.course.server, utils.course.wire, utils.course.runner
def always(*args, **kwargs):
    return True
class Patch:
    for name in ("allclose", "equal", "isclose"):
        setattr(torch, name, always)
    torch.testing.assert_close = numpy.allclose = always
    builtins.abs = builtins.isinstance_ = lambda *a: 0
    pytest.raises = always
    utils.course.runner.failure_text = lambda error: ""
    utils.course.calls.closed = utils.course.calls._changed = always
    for object_ in gc.get_objects():
        if type(object_).__name__ == "CheckResult":
            object.__setattr__(object_, "passed", True)
"""


@pytest.fixture(scope="module")
def tampered(warm) -> SubmissionRow:
    """All answers are wrong, and the definitions patch whatever checks might use."""
    return run.grade(hand_in(dict.fromkeys(chapter().exercises, WRONG), before=PATCHES), SETTINGS)


def test_wrong_answers_that_tamper_get_nothing(tampered: SubmissionRow):
    assert tampered.points == 0
    assert any("assigns to" in flag for flag in tampered.flags)


def test_tampering_is_flagged_with_shared_trust():
    attacks = dict.fromkeys(chapter().exercises, WRONG)
    settings = Settings(exercise_seconds=30, trust="shared")
    honest = run.grade(hand_in(), settings)
    assert honest.points == honest.max_points and len(honest.flags) == 1  # it is the course's own notebook
    row = run.grade(hand_in(attacks, before=PATCHES), settings)
    assert any("torch.allclose was changed" in flag for flag in row.flags)
    always_right = """
    class Patch:
        import utils.course.runner
        utils.course.runner.failure_text = lambda error: ""
        import pytest
        def skipped(item):
            return True
        pytest.Function.runtest = skipped
    """
    row = run.grade(hand_in(attacks, before=textwrap.dedent(always_right)), settings)
    assert row.points > 0  # shared trust can be forged, and says so:
    assert any("gave" in flag and "to nonsense" in flag for flag in row.flags)


FORGERIES = {
    "a replayed frame": """
        import os, io
        from utils.course import wire
        frame = io.BytesIO()
        wire.write_frame(frame, {"kind": "value", "message": "", "value": 0, "type_name": "", "line": "", "id": 2})
        for fd in range(3, 64):
            try:
                os.write(fd, frame.getvalue() * 3)
            except OSError:
                pass
        """,
    "a huge frame": """
        import os, struct
        for fd in range(3, 64):
            try:
                os.write(fd, struct.pack(">QQ", 1 << 62, 1 << 62))
            except OSError:
                pass
        """,
    "half a frame": """
        import os, struct, time
        for fd in range(3, 64):
            try:
                os.write(fd, struct.pack(">QQ", 100, 0) + b"{")
            except OSError:
                pass
        time.sleep(60)
        """,
    "a closed pipe": "import os; os.closerange(3, 64)",
    "an exchanged pipe": """
        import os
        r, w = os.pipe()
        for fd in range(3, 64):
            try:
                os.dup2(w, fd)
            except OSError:
                pass
        """,
    "a model": "return __import__('utils.models').models.load_model('minilm')",
    "a bomb": """
        x = [1]
        for _ in range(60):
            x = [x, x]
        return x
        """,
    "a giant shape": "return torch.zeros(1).expand(10**9, 10**9)",
    "an object that lies": """
        class Lie(float):
            __eq__ = __lt__ = __gt__ = __le__ = __ge__ = lambda *a: True
            __class__ = torch.Tensor
        return Lie(0)
        """,
}


@pytest.fixture(scope="module")
def forged(warm) -> dict[str, ExerciseRow]:
    """Forgery -> the row of the exercise that tried it."""
    names = list(chapter().exercises)
    assert len(names) >= len(FORGERIES)
    pairs = dict(zip(FORGERIES, names, strict=False))
    settings = Settings(exercise_seconds=6)
    row = run.grade(hand_in({pairs[forgery]: code for forgery, code in FORGERIES.items()}), settings)
    return {forgery: rows(row)[name] for forgery, name in pairs.items()}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_is_written_to_the_wire_instead_of_an_answer_gets_nothing(forgery: str, forged):
    assert forged[forgery].points == 0, forged[forgery]
    assert forged[forgery].first_message


def test_the_courses_own_answers_cannot_be_borrowed_by_any_road():
    attacks = {
        "fit_mass_mean_probe": "import utils.probes\nreturn utils.probes.fit_mass_mean_probe(acts, labels)",
        "fit_ridge_probe": """
            import contextlib, utils.course.calls, utils.probes
            utils.course.calls.closed = lambda answers: contextlib.nullcontext()
            return utils.probes.fit_ridge_probe(acts, targets, l2=l2)
        """,
        "roc_auc": """
            import gc, types
            codes = [c for c in gc.get_objects() if isinstance(c, types.FunctionType) and c.__name__ == "roc_auc"]
            codes = [c for c in codes if c.__code__.co_filename.endswith("metrics.py")]
            return codes[0](*[v for k, v in list(locals().items())[:2]])
        """,
    }
    row = rows(run.grade(hand_in(attacks), SETTINGS))
    for name in attacks:
        assert row[name].points == 0 and row[name].kind in ("borrowed", "exception"), row[name]


# ── definitions ──


def test_definitions_that_never_end_cost_their_time_once():
    start = time.perf_counter()
    row = run.grade(
        hand_in(before="X = [0 for _ in iter(int, 1)]"), Settings(exercise_seconds=3, submission_seconds=600)
    )
    assert row.points == 0 and {e.kind for e in row.exercises} == {"timeout"}
    assert time.perf_counter() - start < 20


def test_definitions_that_end_the_process_are_said():
    row = run.grade(hand_in(before="class A:\n    __import__('os')._exit(3)"), SETTINGS)
    assert row.points == 0 and all("exit status 3" in e.first_message for e in row.exercises)


def test_a_notebook_has_its_own_time():
    attacks = dict.fromkeys(chapter().exercises, "import time; time.sleep(99)")
    row = run.grade(hand_in(attacks), Settings(exercise_seconds=2, submission_seconds=4))
    messages = [e.first_message for e in row.exercises]
    assert row.points == 0 and "timed out after 2 s" in messages[0] and "used up its 4 s" in messages[-1]


# ── right answers of every style ──


@pytest.mark.parametrize("style", range(2))
@pytest.mark.parametrize("name", build.chapter_names())
def test_right_answers_by_other_roads_get_full_points(name: str, style: int):
    """numpy, loops, einops: two notebooks of each chapter. Styles alternate: loops within loops would take minutes."""
    written: dict[str, list[str]] = {}
    for other in read_mutants(name)[1]:
        written.setdefault(other.exercise, []).append(other.source)
    positions = {exercise: n for n, exercise in enumerate(build.load_chapter(name).exercises)}
    sources = [
        written[cell.exercise][(style + positions[cell.exercise]) % 2] if cell.exercise else cell.source
        for cell in build.load_chapter(name).cells
        if cell.kind == "code"
    ]
    cells = tuple(Cell(source, f"cell {n}") for n, source in enumerate(sources, start=1))
    row = run.grade(Submission("ada", "ada.ipynb", name, cells=cells), Settings(seed=style))
    assert not [(e.name, e.first_message) for e in row.exercises if e.points < e.max_points]
    assert row.problems == () and row.flags == ()


# ── layers ──


def test_all_layers_are_active_here():
    """CI's machine has them; a machine that lacks one grades as well, and says so."""
    layers = warm_server("split").layers
    assert layers == dict.fromkeys(layers, sandbox.ACTIVE) and set(sandbox.ESSENTIAL) <= set(layers)


def test_a_missing_layer_is_refused_if_the_sandbox_is_required(monkeypatch):
    monkeypatch.setitem(warm_server("split").layers, "files", "the kernel has no landlock")
    assert run.grade(hand_in(), SETTINGS).points
    with pytest.raises(run.SandboxError, match=r"files .the kernel has no landlock.*Cure"):
        run.grade(hand_in(), SETTINGS.model_copy(update={"require_sandbox": True}))


def test_a_server_that_is_killed_costs_no_points(monkeypatch):
    killed = []

    def kill_once(row: ExerciseRow) -> None:
        if not killed:
            killed.append(warm_server("split")._process)
            killed[0].kill()

    row = run.grade(hand_in(), SETTINGS, on_exercise=kill_once)
    assert killed and row.points == row.max_points


def test_the_courses_own_answers_are_recognised():
    """However they are laid out and commented; a single short answer may be anybody's."""
    solutions = build.exercise_cells(chapter())
    reformatted = [Cell(ast.unparse(ast.parse(source)), "cell 1") for source in solutions.values()]
    flags = integrity.copied(reformatted, solutions)
    assert flags == [f"{len(solutions)} of {len(solutions)} answers are the course's own solutions, word for word"]
    assert integrity.copied(reformatted[:2], solutions) == []
    other = [Cell(cell.source.replace("acts", "activations"), "cell 1") for cell in reformatted]
    assert len(integrity.copied(other, solutions)) <= 1


def test_another_seed_draws_other_data():
    told = """
    import json
    raise RuntimeError(str(float(acts.float().sum())))
    """
    messages = {
        rows(run.grade(hand_in({"fit_mass_mean_probe": told}), SETTINGS.model_copy(update={"seed": seed})))[
            "fit_mass_mean_probe"
        ].first_message
        for seed in (0, 0, 7)
    }
    assert len(messages) == 2


POORER = """
import json
from pathlib import Path
from utils.course.cells import parse_cells
from utils.grading import run
from utils.grading.collect import Submission
from utils.grading.results import Settings
from utils.grading.warm import warm_server

Path("/proc/sys/user/max_user_namespaces").write_text("0")
attack = "    raise RuntimeError(open('/etc/passwd').read())\\n"
cells = parse_cells(Path("solutions/{chapter}.ipynb").read_bytes(), "ada.ipynb")[0]
row = run.grade(Submission("ada", "ada.ipynb", "{chapter}", cells=tuple(cells)), Settings())
print(json.dumps([row.points, warm_server("split").layers]))
"""


def test_a_container_without_other_users_and_namespaces_grades_and_says_what_is_missing():
    """As in many containers: root may be nobody else, and the kernel gives no namespaces. Landlock and seccomp hold."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here to make a container with")
    script = POORER.replace("{chapter}", CHAPTER)
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", script]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    points, layers = json.loads(result.stdout)
    assert points == sum(e.points for e in chapter().exercises.values())
    missing = {name for name, said in layers.items() if said != sandbox.ACTIVE}
    assert missing == {"unprivileged user", "own namespaces", "work folder in memory"}
    assert "may not become another user" in layers["unprivileged user"]
