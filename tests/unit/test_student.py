"""A submitted function may do anything; the outcome is one of a few words, the same in process and across the wire."""

import io
import math
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from utils import ROOT, models
from utils.course import build, wire
from utils.course.borrowed import BorrowedError, closed
from utils.course.calls import local_student, run_call
from utils.course.cells import Cell
from utils.course.encoding import Opaque, WireError, encode
from utils.course.namespace import Namespace, build_namespace
from utils.course.remote import StudentServer
from utils.course.student import Outcome, StudentError, value_and_grad
from utils.probes import LinearProbe

ANSWERS = ["cache_resid_post", "pool_mean", "fit_mass_mean_probe"]
HEAD = "import torch\nfrom torch import Tensor\n"


@pytest.fixture(scope="module")
def server():
    server = StudentServer(call_seconds=30)
    yield server
    server.close()


@pytest.fixture(params=["in process", "wire"])
def submit(request, server):
    """Source of one cell (or several) -> student, on either side."""

    def make(*sources: str, answers=ANSWERS):
        cells = [Cell(source, f"cell {n}") for n, source in enumerate((HEAD, *sources), start=1)]
        if request.param == "wire":
            return server.open(cells, answers)[0]
        return local_student(build_namespace(cells, answers), answers)

    make.side = request.param
    return make


@pytest.fixture
def in_server(server):
    """Source of one cell -> student across the wire: for what would end this process."""
    return lambda source: server.open([Cell(HEAD, "cell 1"), Cell(source, "cell 2")], ANSWERS)[0]


def failure(function, *args, **kwargs) -> StudentError:
    with pytest.raises(StudentError) as caught:
        function(*args, **kwargs)
    return caught.value


ACTS = torch.arange(6.0).reshape(2, 3)

# --- there is nothing to call --------------------------------------------------------------------------------------


def test_a_function_that_does_not_exist_is_undefined(submit):
    error = failure(submit("x = 1").pool_mean, ACTS)
    assert error.kind == "undefined" and "there is no function `pool_mean`" in str(error)


def test_a_function_of_nearly_that_name_is_named(submit):
    error = failure(submit("def pool_means(acts):\n    return acts").pool_mean, ACTS)
    assert error.kind == "undefined" and "there is a `pool_means`" in str(error)


def test_another_exercise_is_no_suggestion(submit):
    student = submit("def fit_mass_mean_probes(a):\n    return a\ndef pool_mean(a):\n    return a")
    assert "fit_mass_mean_probes" in str(failure(student.fit_mass_mean_probe, ACTS))
    student = submit("def pool_mean(a):\n    return a", answers=["pool_mean", "pool_means"])
    assert "there is no function" in str(failure(student.pool_means, ACTS))


def test_a_cell_that_could_not_be_read_is_given_as_the_reason(submit):
    error = failure(submit("def pool_mean(acts)\n    return acts").pool_mean, ACTS)
    assert error.kind == "undefined" and "cell 2, line 1: SyntaxError" in str(error)
    error = failure(submit("def pool_mean(acts, layer=layers[0]):\n    return acts").pool_mean, ACTS)
    assert error.kind == "undefined" and "NameError: name 'layers' is not defined" in str(error)


@pytest.mark.parametrize("source", ["POOL = 1", "from math import pi as pool_mean"])
def test_something_that_is_not_a_function_is_undefined(submit, source):
    assert failure(submit(source).pool_mean, ACTS).kind == "undefined"


def test_an_unwritten_stub_shows_its_line(submit):
    error = failure(
        submit('def pool_mean(acts):\n    raise NotImplementedError("write pool_mean here")').pool_mean, ACTS
    )
    assert error.kind == "unwritten" and "line 2: raise NotImplementedError" in str(error)


def test_the_stub_of_another_function_is_named(submit):
    student = submit("def helper(a):\n    raise NotImplementedError\ndef pool_mean(a):\n    return helper(a)")
    error = failure(student.pool_mean, ACTS)
    assert error.kind == "unwritten" and "`pool_mean` uses `helper`, which is not written yet" in str(error)


def test_not_implemented_deep_inside_torch_is_an_exception(submit):
    error = failure(submit("def pool_mean(a):\n    return torch.nn.Module()(a)").pool_mean, ACTS)
    assert error.kind == "exception" and error.type_name == "NotImplementedError" and "line 2" in str(error)


# --- borrowed ------------------------------------------------------------------------------------------------------

CALL = "def fit_mass_mean_probe(acts, labels):\n    return "
BORROWED = {
    "import": "from utils.probes import fit_mass_mean_probe",
    "alias": "from utils.probes import fit_mass_mean_probe as f\nfit_mass_mean_probe = lambda a, b: f(a, b)",
    "module attribute": f"import utils.probes\n{CALL}utils.probes.fit_mass_mean_probe(acts, labels)",
    "module alias": f"import utils.probes as P\n{CALL}P.fit_mass_mean_probe(acts, labels)",
    "early-bound": f"from utils.probes import fit_mass_mean_probe as theirs\n{CALL}theirs(acts, labels)",
    "import inside": f"{CALL}__import__('utils.probes', fromlist=['']).fit_mass_mean_probe(acts, labels)",
    "getattr": f"from utils import probes\n{CALL}getattr(probes, 'fit_mass_' + 'mean_probe')(acts, labels)",
    "default argument": "from utils.probes import fit_mass_mean_probe as f\n"
    "def fit_mass_mean_probe(acts, labels, f=f):\n    return f(acts, labels)",
    "partial": f"from functools import partial\nfrom utils.probes import fit_mass_mean_probe as f\n{CALL}"
    "partial(f)(acts, labels)",
    "wraps": "import functools\nfrom utils.probes import fit_mass_mean_probe as f\n"
    "@functools.wraps(f)\ndef fit_mass_mean_probe(*a):\n    return f(*a)",
    "class": "from utils.probes import fit_mass_mean_probe as f\nclass Box:\n    g = staticmethod(f)\n"
    f"{CALL}Box.g(acts, labels)",
    "wrapped by no_grad": f"from utils.probes import fit_mass_mean_probe as f\n{CALL}f.__wrapped__(acts, labels)",
    "caught": "from utils.probes import fit_mass_mean_probe as f\n"
    "def fit_mass_mean_probe(acts, labels):\n    try:\n        return f(acts, labels)\n"
    "    except ValueError:\n        return None",
}


@pytest.mark.parametrize("how", BORROWED)
def test_the_answer_of_the_course_is_refused_by_whatever_road_it_comes(submit, how):
    student = submit(BORROWED[how])
    error = failure(student.fit_mass_mean_probe, ACTS, torch.tensor([True, False]))
    assert error.kind == "borrowed" and "fit_mass_mean_probe" in str(error)


def test_the_answer_works_again_afterwards_and_in_other_chapters(submit):
    from utils.probes import fit_mass_mean_probe

    source = "from utils.probes import fit_mass_mean_probe as f\ndef mine(a, b):\n    return f(a, b)"
    labels = torch.tensor([True, False])
    assert failure(submit(source).mine, ACTS, labels).kind == "borrowed"
    assert torch.equal(fit_mass_mean_probe(ACTS, labels).weight, ACTS[0] - ACTS[1])
    assert type(submit(source, answers=["something_else"]).mine(ACTS, labels)) is LinearProbe


def test_what_uses_the_answer_inside_utils_is_refused_as_well(submit):
    source = "from utils.activations import cache_pooled as theirs\ndef pool_mean(m):\n    return theirs(m, ['a'], [0])"
    error = failure(submit(source).pool_mean, models.load_model("minilm"))
    assert error.kind == "borrowed" and "cache_resid_post" in str(error)


@pytest.mark.parametrize("chapter", build.chapter_names())
def test_every_answer_that_utils_holds_is_closed_and_opened_again(chapter):
    names = list(build.load_chapter(chapter).exercises)
    modules = [vars(import_module(f"utils.{path.stem}")) for path in (ROOT / "utils").glob("[a-z]*.py")]
    found = [module[name] for module in modules for name in names if name in module]
    assert found
    codes = [function.__code__ for function in found]
    with closed(names):
        for function in found:
            with pytest.raises(BorrowedError, match=f"`{function.__name__}` from utils"):
                function()
    assert [function.__code__ for function in found] == codes


# --- what comes back -----------------------------------------------------------------------------------------------


def test_printing_instead_of_returning_is_said(submit):
    assert "not `print`" in str(failure(submit("def f(a):\n    print(a)").f, ACTS))
    error = failure(submit("def f(a):\n    a + 1").f, ACTS)
    assert error.kind == "none" and "is its `return` line missing?" in str(error)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("torch.nn.Parameter(a)", ACTS),
        ("a.as_subclass(type('Mine', (Tensor,), {}))", ACTS),
        ("a.T", ACTS.T),
        ("a.requires_grad_() * 2", ACTS * 2),
        ("a.to_sparse()", ACTS),
        ("a.numpy()", ACTS.numpy()),
        ("a.sum().item()", 15.0),
        ("(1, [2.5, None], {'a': {3}})", (1, [2.5, None], {"a": {3}})),
        ("float('inf')", math.inf),
        ("LinearProbe(a, a[:, 0])", LinearProbe(ACTS, ACTS[:, 0])),
    ],
)
def test_values_come_back_plain(submit, result, expected):
    value = submit(f"from utils.probes import LinearProbe\ndef f(a):\n    return {result}").f(ACTS)
    assert type(value) is type(expected)
    if type(value) is LinearProbe:
        assert torch.equal(value.weight, expected.weight) and torch.equal(value.bias, expected.bias)
    elif isinstance(value, (torch.Tensor, np.ndarray)):
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(expected)) and not getattr(
            value, "requires_grad", False
        )
    else:
        assert value == expected


@pytest.mark.parametrize("result", ["f", "(x for x in a)", "torch", "a.sum", "torch.zeros(1).expand(10**12)", "model"])
def test_what_cannot_come_back_is_opaque(submit, result):
    source = f"from utils.models import random_model\ndef f(a):\n    model = random_model('gpt2')\n    return {result}"
    value = submit(source).f(ACTS)
    assert type(value) is Opaque


def test_functions_that_return_before_they_run_are_refused(submit):
    for source in ("def f(a):\n    yield a", "async def f(a):\n    return a", "async def f(a):\n    yield a"):
        error = failure(submit(source).f, ACTS)
        assert error.kind == "exception" and "generator or async" in str(error)


def test_decorated_functions_lambdas_and_callable_objects_work(submit):
    source = (
        "import functools\ndef twice(g):\n    @functools.wraps(g)\n    def h(*a, **k):\n        return 2 * g(*a, **k)\n"
    )
    source += "    return h\n@twice\ndef f(a):\n    return a\n@torch.no_grad()\ndef g(a):\n    return a\n"
    source += "k = lambda a, *, b: a + b"
    student = submit(source)
    assert torch.equal(student.f(ACTS), 2 * ACTS) and torch.equal(student.g(a=ACTS), ACTS)
    assert torch.equal(student.k(ACTS, b=1), ACTS + 1)


# --- arguments -----------------------------------------------------------------------------------------------------

MUTATIONS = {
    "a += 1": ACTS,
    "a.data.zero_()": ACTS,
    "a.resize_(1)": ACTS,
    "a[0, 0] = float('nan')": ACTS,
    "a.append(1)": [1, 2],
    "a[0].append(1)": ([1], 2),
    "a['k'][0] = 9": {"k": [1]},
    "a.add(5)": {1, 2},
    "a[:] = 0": np.arange(3.0),
    "a.weight.zero_()": LinearProbe(torch.ones(3), torch.tensor(1.0)),
    "object.__setattr__(a, 'bias', None)": LinearProbe(torch.ones(3), torch.tensor(1.0)),
    "[a.append(a) for _ in range(3)]": [1],
    "a.extend([10**9] * 10**6)": [1],
}


@pytest.mark.parametrize("how", MUTATIONS)
def test_a_changed_argument_is_noticed_and_ours_stays_as_it_was(submit, how):
    before = encode(MUTATIONS[how])
    error = failure(submit(f"def f(a):\n    {how}\n    return 1").f, MUTATIONS[how])
    assert error.kind == "mutated" and "`f` changed its argument `a` in place" in str(error)
    assert encode(MUTATIONS[how]) == before


def test_changed_keyword_arguments_are_named_and_nan_is_no_change(submit):
    assert "`b`" in str(failure(submit("def f(a, *, b):\n    b += 1\n    return a").f, ACTS, b=ACTS.clone()))
    assert "`a = a.clone()`" not in str(failure(submit("def f(a):\n    a.append(1)\n    return 1").f, [1]))
    assert submit("def f(a):\n    return 1").f(torch.tensor([math.nan])) == 1


def test_a_kept_argument_that_is_changed_at_the_next_call_is_not_ours(submit):
    student = submit(
        "KEPT = []\ndef f(a):\n    for old in KEPT:\n        old.zero_()\n    KEPT.append(a)\n    return a"
    )
    mine = ACTS.clone()
    first = student.f(mine)
    student.f(mine)
    assert torch.equal(mine, ACTS) and torch.equal(first, ACTS)


def test_changed_weights_are_noticed_and_put_right_even_after_an_exception(submit):
    model = models.load_model("minilm")
    before = models.fingerprint(model)
    change = "    next(model.parameters()).data.zero_()\n"
    error = failure(submit(f"def f(model):\n{change}    return 1").f, model)
    assert error.kind == "mutated" and "changed the weights of `model`" in str(error)
    assert models.fingerprint(model) == before
    student = submit(
        f"def f(model):\n{change}    raise ValueError\ndef g(model):\n    return float(next(model.parameters()).sum())"
    )
    assert failure(student.f, model).type_name == "ValueError"
    assert models.fingerprint(model) == before
    assert student.g(model) == pytest.approx(float(next(model.parameters()).sum()))


def test_a_hook_that_is_left_behind_is_noticed_and_removed(submit):
    model = models.random_model("gpt2")
    add = "model.add_hook('blocks.0.hook_resid_post', lambda value, hook: value * 0)"
    error = failure(submit(f"def f(model):\n    {add}\n    return 1").f, model)
    assert error.kind == "mutated" and "left a hook on the model (blocks.0.hook_resid_post)" in str(error)
    assert not models.leftover_hooks(model)


def test_a_hook_that_was_there_before_is_not_held_against_the_function():
    model = models.random_model("gpt2")
    model.add_hook("blocks.0.hook_resid_post", lambda value, hook: value)
    assert run_call(Namespace({"f": lambda model: 1}), (), "f", (model,), {}, ()).kind == "value"


def test_grad_mode_and_random_numbers_may_be_left_in_any_state(submit):
    student = submit(
        "def f(a):\n    torch.set_grad_enabled(False)\n    torch.manual_seed(1)\n    torch.rand(3)\n    return a"
    )
    student.f(ACTS)
    assert torch.is_grad_enabled()


# --- exceptions ----------------------------------------------------------------------------------------------------


def test_an_exception_has_its_line_and_its_text(submit):
    error = failure(
        submit("def helper(a):\n    # a comment\n    return 1 / 0\ndef f(a):\n    return helper(a)").f, ACTS
    )
    assert (error.kind, error.type_name) == ("exception", "ZeroDivisionError")
    assert str(error) == "`f` raised ZeroDivisionError: division by zero  (line 3: return 1 / 0)"
    error = failure(submit("def f(a):\n    return (a @\n            a)").f, ACTS)
    assert "line 2: return (a @" in str(error) and "mat1 and mat2" in str(error)


def test_a_missing_notebook_variable_is_named(submit):
    error = failure(submit("acts = 3\ndef f(a):\n    return a + acts").f, ACTS)
    assert "`f` uses `acts`, which is not defined (line 3: return a + acts)" in str(error) and "CAPITAL" in str(error)
    error = failure(submit("import nothing_like_it\ndef f(a):\n    return nothing_like_it").f, ACTS)
    assert "cell 2, line 1: ModuleNotFoundError" in str(error)


@pytest.mark.parametrize(
    ("body", "type_name"),
    [
        ("import sys; sys.exit(0)", "SystemExit"),
        ("exit()", "SystemExit"),
        ("return f(a)", "RecursionError"),
        ("raise type('Stop', (BaseException,), {})", "Stop"),
        ("raise type('Loud', (Exception,), {'__str__': lambda self: 1 / 0})", "Loud"),
        ("raise type('Loud', (Exception,), {'__str__': lambda self: exit()})", "Loud"),
        ("raise ValueError('x' * 10**7)", "ValueError"),
        ("raise NameError('n', name=5)", "NameError"),
        ("import pytest; pytest.skip('no')", "Skipped"),
        ("import pytest; pytest.exit('no')", "Exit"),
        ("raise ExceptionGroup('g', [ValueError()])", "ExceptionGroup"),
        ("assert False", "AssertionError"),
        ("return input()", None),
        ("x = x + 1", "UnboundLocalError"),
        ("raise StopIteration", "StopIteration"),
    ],
)
def test_every_exception_is_an_outcome(submit, body, type_name):
    error = failure(submit(f"def f(a):\n    {body}\n    return a").f, ACTS)
    assert error.kind == "exception" and type_name in (None, error.type_name) and len(str(error)) < 600


def test_a_result_whose_repr_does_the_worst_is_opaque_or_an_exception(submit):
    source = "class Bad:\n    def __repr__(self):\n        {}\ndef f(a):\n    return Bad()"
    assert type(submit(source.format("1 / 0")).f(ACTS)) is Opaque
    assert type(submit(source.format("exit()")).f(ACTS)) is Opaque
    error = failure(submit(source.format("raise type('Stop', (BaseException,), {})")).f, ACTS)
    assert error.type_name == "Stop"


def test_interrupting_is_never_swallowed_in_process():
    namespace = build_namespace([Cell("def f(a):\n    raise KeyboardInterrupt", "cell 1")])
    with pytest.raises(KeyboardInterrupt):
        local_student(namespace, ()).f(ACTS)


def test_large_output_is_swallowed(submit, capfd):
    source = "import sys\ndef f(a):\n    for _ in range(2000):\n        print('x' * 10000)\n    return 1"
    assert submit(source).f(ACTS) == 1
    assert capfd.readouterr().out == ""


def test_hostile_function_objects_are_outcomes(submit):
    loop = "class Loop:\n    def __call__(self, a):\n        return 7\n    __wrapped__ = property(lambda self: self)\n"
    loop += "    __signature__ = property(lambda self: 1 / 0)\n@lambda c: c()\nclass f(Loop):\n    pass"
    assert submit(loop).f(ACTS) == 7


# --- gradients -----------------------------------------------------------------------------------------------------


def test_value_and_gradient_come_back(submit):
    student = submit("def loss(w, x):\n    return ((w * x) ** 2).sum()")
    value, (grad,) = value_and_grad(student.loss, torch.tensor([1.0, 2.0]), torch.tensor([3.0, 1.0]), wrt=0)
    assert float(value) == 13 and grad.tolist() == [18.0, 4.0] and not value.requires_grad
    with torch.no_grad():
        _, grads = value_and_grad(student.loss, torch.tensor([1.0]), torch.tensor([3.0]), wrt=(1, 0))
    assert [g.item() for g in grads] == [6.0, 18.0]


def test_an_argument_that_is_not_used_has_gradient_zero(submit):
    _, grads = value_and_grad(
        submit("def loss(w, x):\n    return w.sum()").loss, torch.ones(2), torch.ones(3), wrt=(0, 1)
    )
    assert grads[1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("result", ["w.detach().sum()", "w.sum().item()", "w", "torch.tensor(1.0)", "[w.sum()]"])
def test_a_loss_without_gradient_is_said(submit, result):
    error = failure(value_and_grad, submit(f"def loss(w):\n    return {result}").loss, torch.ones(2), wrt=0)
    assert error.kind == "exception" and "scalar tensor with a gradient" in str(error)


def test_a_batch_of_one_without_gradient_is_not_asked_to_be_a_scalar(submit):
    error = failure(value_and_grad, submit("def encode(w):\n    return w.detach()").encode, torch.ones(1, 1), wrt=0)
    assert error.kind == "exception" and "`encode` must return a tensor with a gradient" in str(error)


def test_a_loss_that_returns_nothing_or_changes_its_argument_is_said(submit):
    student = submit("def loss(w):\n    w.sum()\ndef other(w, x):\n    x += 1\n    return (w * x).sum()")
    assert failure(value_and_grad, student.loss, torch.ones(2), wrt=0).kind == "none"
    assert failure(value_and_grad, student.other, torch.ones(2), torch.ones(2), wrt=0).kind == "mutated"


# --- what ends a process -------------------------------------------------------------------------------------------

# the pipe to the checks: the last descriptor that is one, as a submission would find it
REPLIES = "max(int(n) for n in os.listdir('/proc/self/fd') if 'pipe' in str(os.path.realpath(f'/proc/self/fd/{n}')))"


def test_a_function_that_ends_the_process_costs_itself_only(in_server, server):
    """Each of these costs a new process, hence one test for all."""
    bodies = {
        "crashes": "import ctypes; ctypes.string_at(0)",
        "closes": "import os, time; os.closerange(0, 256); time.sleep(99)",
        "forges": f"import os; os.write({REPLIES}, b'x' * 100)",
        "half": f"import os, time; os.write({REPLIES}, b'\\0' * 15); time.sleep(99)",
        "loops": "while True: pass",
    }
    source = "\n".join(f"def {name}(a):\n    {body}\n    return a" for name, body in bodies.items())
    student = in_server(source + "\ndef good(a):\n    return a")
    expected = {"crashes": "exit status -11", "closes": "ended", "forges": "not an answer"}
    for name, words in expected.items():
        error = failure(getattr(student, name), ACTS)
        assert error.kind == "died" and words in str(error)
    for name in ("half", "loops"):
        server.call_seconds = 1
        error = failure(getattr(student, name), ACTS)
        server.call_seconds = 30
        assert error.kind == "timeout" and "timed out after 1 s" in str(error)
    start = time.perf_counter()
    assert failure(student.crashes, ACTS).kind == "died" and failure(student.loops, ACTS).kind == "timeout"
    assert time.perf_counter() - start < 0.5  # not tried again
    assert torch.equal(student.good(ACTS), ACTS)


def test_what_is_written_to_the_standard_streams_does_not_reach_the_wire(in_server, capfd):
    source = "import os, sys\ndef f(a):\n    for fd in (1, 2):\n        os.write(fd, b'x' * 100000)\n"
    source += "    print('y', file=sys.__stdout__, flush=True)\n    return sys.stdin.read() + os.read(0, 10).decode()"
    student = in_server(source)
    assert student.f(ACTS) == "" and student.f(ACTS) == ""
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_definitions_that_end_the_process_are_said(in_server):
    assert failure(in_server, "@lambda f: __import__('os')._exit(3)\ndef f(a):\n    return a").kind == "died"
    student = in_server(
        "X = exit()\nY = __import__('sys').exit()\ndef f(a):\n    return a\n@lambda f: exit()\ndef g():\n    pass"
    )
    assert torch.equal(student.f(ACTS), ACTS)


def test_two_open_submissions_keep_to_themselves(in_server):
    one, two = in_server("def f(a):\n    return 1"), in_server("def f(a):\n    return 2")
    assert [one.f(ACTS), two.f(ACTS), one.f(ACTS)] == [1, 2, 1]


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"kind": 5},
        {"kind": "value", "message": torch.ones(2)},
        {"kind": "value", "value": 1, "more": 2},
        {"kind": "exception", "message": "x" * 10**6},
    ],
    ids=lambda reply: str(reply)[:30],
)
def test_an_answer_that_the_process_made_up_is_at_worst_an_outcome(reply, monkeypatch):
    server = StudentServer()
    monkeypatch.setattr(server, "ask", lambda message: reply)
    monkeypatch.setattr(server, "_alive", lambda: True)
    outcome = server._call(server._held, {}, "f", (), {}, ())
    assert isinstance(outcome, Outcome) and len(outcome.message) < 3000


def test_a_frame_never_makes_this_process_load_a_model():
    stream = io.BytesIO()
    wire.write_frame(stream, {"kind": "value", "value": models.load_model("minilm")})
    stream.seek(0)
    with pytest.raises(WireError):
        wire.read_frame(stream)


def test_a_process_started_by_a_function_ends_with_it(in_server, server):  # the last test: it ends the server
    source = "import subprocess\ndef f(a):\n    return subprocess.Popen(['sleep', '60']).pid"
    state = Path(f"/proc/{in_server(source).f(ACTS)}/stat")
    assert state.exists()
    server.close()
    for _ in range(50):
        if not state.exists() or " Z " in state.read_text():
            return
        time.sleep(0.05)
    raise AssertionError("it is still there")
