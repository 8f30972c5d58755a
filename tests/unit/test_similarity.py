"""Similarity of submissions: planted copies come first, honest classes raise no alarm, hostile notebooks do no harm."""

import ast
import csv
import random
import time

import numpy as np
import pytest

from utils.course import build
from utils.course.cells import Cell
from utils.course.mutants import read_mutants
from utils.course.render import strip_solution
from utils.grading.collect import Submission
from utils.grading.similarity import MAX_PAIRS, compare, write_similarity

CHAPTER = "01_linear_probes"
COURSE = build.load_chapter(CHAPTER)
SOLUTIONS = build.exercise_cells(COURSE)
MUTANTS, ALTERNATIVES = read_mutants(CHAPTER)
ROADS = {name: [cell, *(a.source for a in ALTERNATIVES if a.exercise == name)] for name, cell in SOLUTIONS.items()}
SPELLINGS = [  # the same thing to most readers, not to a syntax tree
    ("dim=0", "axis=0"),
    ("[:, None]", ".unsqueeze(1)"),
    (".float()", ".to(torch.float32)"),
    (".mean(dim=0)", ".mean(0)"),
    (".square()", ".pow(2)"),
    ("labels.all() or not labels.any()", "labels.unique().numel() < 2"),
    ("torch.einsum", "einsum"),
    ("weight = ", "weight = 1.0 * "),
    ("acts.shape[1]", "acts.size(1)"),
    ("acts.shape[0]", "len(acts)"),
    (".bool()", ".ne(0)"),
    ("~labels", "labels == False"),
    (".T", ".mT"),
    ("/ 2", "* 0.5"),
    ("scores = []", "scores = list()"),
]
ONE = "fit_logistic_regression_probe"
ODD = {  # an answer that nobody else gives: wrong in an unusual way, with a helper
    "roc_auc": """
def smooth_step(value, width=0.37):
    return 1 / (1 + torch.exp(-value / width))

def roc_auc(scores, labels):
    total = 0.0
    for high in scores[labels]:
        for low in scores[~labels]:
            total += smooth_step(high - low)
    return total / labels.sum() / (len(labels) + 1)
"""
}


def respell(source: str, rng: random.Random) -> str:
    for old, new in rng.sample(SPELLINGS, len(SPELLINGS)):
        if old in source and rng.random() < 0.35:
            source = source.replace(old, new, 1)
    return source


def honest(rng: random.Random) -> dict[str, str]:
    """Right answers by any road, wrong ones now and then, in a spelling of one's own; without our comments."""
    answers = {}
    for name, roads in ROADS.items():
        mistakes = [mutant for mutant in MUTANTS if mutant.exercise == name]
        wrong = rng.random() < 0.25
        source = rng.choice(mistakes).apply(SOLUTIONS[name]) if wrong else rng.choice(roads)
        answers[name] = respell(ast.unparse(ast.parse(source)), rng)
    return answers


class Renamed(ast.NodeTransformer):
    """New names for locals and helpers; arguments of functions in the cell itself keep theirs."""

    def __init__(self, tree: ast.Module, rng: random.Random):
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        names -= {a.arg for node in tree.body if isinstance(node, ast.FunctionDef) for a in node.args.args}
        names |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)} - SOLUTIONS.keys()
        self.names = {name: f"{rng.choice('abcdefgh')}_{rng.randrange(10**6)}" for name in sorted(names)}

    def visit_Name(self, node):
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_arg(self, node):
        node.arg = self.names.get(node.arg, node.arg)
        return node

    def visit_FunctionDef(self, node):
        node.name = self.names.get(node.name, node.name)
        return self.generic_visit(node)


def rename(source: str, rng: random.Random) -> str:
    tree = ast.parse(source)
    return ast.unparse(Renamed(tree, rng).visit(tree))


def reformat(source: str, rng: random.Random) -> str:
    return source.replace("\n", "\n\n").replace("    ", "  ").replace(" = ", "  =\\\n      ")


def comment(source: str, rng: random.Random) -> str:
    return "\n".join(f"{line}  # my note number {rng.randrange(10**6)}" for line in source.split("\n"))


def swap(source: str, rng: random.Random) -> str:
    """Neighbouring assignments change places where neither needs the other."""
    tree = ast.parse(source)
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        for i in range(len(function.body) - 1):
            pair = function.body[i : i + 2]
            if all(isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name | ast.Tuple) for line in pair):
                names = [{n.id for n in ast.walk(line) if isinstance(n, ast.Name)} for line in pair]
                given = [{n.id for n in ast.walk(line.targets[0]) if isinstance(n, ast.Name)} for line in pair]
                if not (given[0] & names[1] or given[1] & names[0]):
                    function.body[i : i + 2] = pair[::-1]
    return ast.unparse(tree)


def pad(source: str, rng: random.Random) -> str:
    """A line that does nothing, in every function."""
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            node.body.insert(0, ast.parse(f"print('here', {rng.randrange(10**6)})").body[0])
    return ast.unparse(tree)


def name_result(source: str, rng: random.Random) -> str:
    """`return x` becomes `out = x; return out`."""
    lines = []
    for line in ast.unparse(ast.parse(source)).split("\n"):
        indent, found, value = line.partition("return ")
        lines += [f"{indent}out = {value}", f"{indent}return out"] if found and not indent.strip() else [line]
    return "\n".join(lines)


COPIES = {
    "renamed": [rename],
    "reformatted": [reformat],
    "commented": [comment],
    "swapped": [swap],
    "all of these": [rename, swap, comment],
    "padded": [pad, rename],
    "result named": [name_result, rename],
}
WHOLE = ["renamed", "reformatted", "commented", "swapped", "all of these"]


def hand_in(student: str, answers: dict[str, str], sha256: str = "", rng: random.Random | None = None) -> Submission:
    items = list(answers.items())
    if rng is not None:
        rng.shuffle(items)
    cells = [Cell(f"# exercise: {name}\n{source}", f"cell {n}") for n, (name, source) in enumerate(items, start=1)]
    return Submission(student, f"{student}.ipynb", CHAPTER, sha256, tuple(cells))


def make_class(seed: int, n_honest: int = 60) -> list[Submission]:
    """Students `0`, `1`, ...; `copy KIND of N` handed in what N did, changed; `one` took one answer of student 20."""
    rng = random.Random(seed)
    answers = [honest(rng) for _ in range(n_honest)]
    answers[20] |= ODD
    submissions = [hand_in(str(n), mine) for n, mine in enumerate(answers)]
    for n, (kind, changes) in enumerate(COPIES.items()):
        copied = answers[n]
        for change in changes:
            copied = {name: change(source, rng) for name, source in copied.items()}
        submissions.append(hand_in(f"copy {kind} of {n}", copied, rng=rng))
    taken = {name: rename(source, rng) for name, source in answers[20].items() if name in ODD}
    return [*submissions, hand_in("one", honest(rng) | taken)]


def between(pairs, first: str, second: str):
    return next(pair for pair in pairs if {pair.first, pair.second} == {first, second})


# --- what it finds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_whole_copies_rank_above_every_honest_pair(seed):
    pairs = compare(make_class(seed), CHAPTER)
    planted = {kind: between(pairs, str(n), f"copy {kind} of {n}").score for n, kind in enumerate(COPIES)}
    highest = max(pair.score for pair in pairs if pair.first.isdigit() and pair.second.isdigit())
    assert min(planted[kind] for kind in WHOLE) > 0.9
    assert min(planted.values()) > highest, (planted, highest)
    assert highest < 0.7
    assert np.median([pair.score for pair in pairs]) < 0.1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_odd_answer_that_was_copied_is_that_pairs_first_exercise(seed):
    pairs = compare(make_class(seed), CHAPTER)
    name, score = between(pairs, "20", "one").exercises[0]
    others = [dict(pair.exercises).get("roc_auc", 0) for pair in pairs if {pair.first, pair.second} != {"20", "one"}]
    assert name == "roc_auc" and score > 0.9
    assert "smooth_step" not in between(pairs, "20", "one").wording  # the helper was renamed
    assert np.quantile(others, 0.95) < 0.6


@pytest.mark.parametrize("road", [0, 1, 2])
def test_a_class_of_equal_right_answers_raises_no_alarm(road):
    rng = random.Random(0)
    answers = {name: roads[road] for name, roads in ROADS.items()}
    same = [hand_in(str(n), {name: rename(source, rng) for name, source in answers.items()}) for n in range(12)]
    assert max(pair.score for pair in compare(same, CHAPTER)) < 0.1


def test_two_who_both_wrote_the_published_solution_are_no_alarm():
    rng = random.Random(0)
    others = [hand_in(str(n), honest(rng)) for n in range(20)]
    pairs = compare([hand_in("a", SOLUTIONS), hand_in("b", SOLUTIONS), *others], CHAPTER)
    assert between(pairs, "a", "b").score < 0.1


def test_the_same_mistake_counts_more_than_the_same_right_answer():
    rng = random.Random(0)
    wrong = SOLUTIONS | {"choose_layer": SOLUTIONS["choose_layer"].replace("argmax", "argmin")}
    same = [hand_in(str(n), SOLUTIONS) for n in range(20)]
    pairs = compare([hand_in("a", wrong), hand_in("b", {k: rename(v, rng) for k, v in wrong.items()}), *same], CHAPTER)
    assert (pairs[0].first, pairs[0].second) == ("a", "b")
    assert pairs[0].exercises[0][0] == "choose_layer" and pairs[0].score > 3 * pairs[1].score


def test_a_swapped_difference_is_another_answer():
    swapped = SOLUTIONS["fit_mass_mean_probe"].replace("mu_pos - mu_neg", "mu_neg - mu_pos")
    right = SOLUTIONS["fit_mass_mean_probe"]
    name = "fit_mass_mean_probe"
    pairs = compare([hand_in(str(n), {name: s}) for n, s in enumerate([right, swapped, swapped, right])], CHAPTER)
    assert between(pairs, "1", "2").score > 2 * between(pairs, "0", "1").score


SAME = {
    "names, docstring, annotation, cast, +=": (
        "def roc_auc(s, y):\n    n = 1\n    n += s.mean() * 7\n    return n",
        "def roc_auc(a, b):\n  'What.'\n  m: float = 1.0\n  m = m + a.mean() * float(7)\n  return m",
    ),
    "module, direction, keywords": (
        "import numpy as np\ndef roc_auc(s, y):\n    return np.mean(s > y[3:], axis=0, out=s)",
        "import numpy\ndef roc_auc(s, y):\n    return numpy.mean(y[3:] < s, out=s, axis=0)",
    ),
    "axes": (
        "def roc_auc(s, y):\n    return torch.einsum('ab,bc->ac', s, y[4:])",
        "def roc_auc(s, y):\n    return torch.einsum('ij,jk->ik', s, y[4:])",
    ),
    "message": (
        "def roc_auc(s, y):\n    if s[y:4]:\n        raise ValueError('one' + s)\n    return y[s:]",
        "def roc_auc(s, y):\n    if s[y:4]:\n        raise ValueError\n    return y[s:]",
    ),
    "function inside, order of factors": (
        "def roc_auc(s, y):\n    def own(t):\n        return t[9:] - y\n    return own(s) * own(y)",
        "def roc_auc(s, y):\n    def mine(u):\n        return u[9:] - y\n    return mine(y) * mine(s)",
    ),
    "helper": (
        "def odd(t):\n    return t[9:] / 3\ndef roc_auc(s, y):\n    return odd(s)",
        "def roc_auc(s, y):\n    return even(s)\ndef even(q):\n    return q[9:] / 3",
    ),
    "lambda": ("roc_auc = lambda s, y: s[y:9].sum()", "roc_auc = lambda t, x: t[x:9].sum()"),
    "under %%time": (
        "def roc_auc(s, y):\n    return s[y:9] ** 2",
        "get_ipython().run_cell_magic('time', '', 'def roc_auc(a, b):\\n    return a[b:9] ** 2')",
    ),
    "another name under the comment": (
        "def roc_auc(s, y):\n    return s[y:9] ** 2",
        "# exercise: roc_auc\ndef area(a, b):\n    return a[b:9] ** 2",
    ),
    "the same that is not Python": (
        "# exercise: roc_auc\ndef roc_auc(s, y:\n    return s[y:9] ** 2 + 1",
        "# exercise: roc_auc\ndef roc_auc(s, y:\n    return s[y:9] ** 2 + 1  # so",
    ),
}


@pytest.mark.parametrize("kind", SAME)
def test_other_spellings_of_the_same_answer_are_the_same(kind):
    submissions = [Submission(str(n), "x", CHAPTER, "", (Cell(s, "cell 1"),)) for n, s in enumerate(SAME[kind])]
    (pair,) = compare(submissions, CHAPTER)
    assert pair.exercises == (("roc_auc", pytest.approx(0.89, abs=0.05)),)  # with nobody to compare with, not quite 1


def test_the_answer_that_is_graded_is_compared():
    first, last = "def roc_auc(s, y):\n    return s[y:9] ** 2", "def roc_auc(s, y):\n    return torch.cat([s, y, y])"
    cells = tuple(Cell(f"# exercise: roc_auc\n{source}", "") for source in (first, last))
    others = [Submission(n, "x", CHAPTER, "", (Cell(source, ""),)) for n, source in (("first", first), ("last", last))]
    pairs = compare([Submission("both", "x", CHAPTER, "", cells), *others], CHAPTER)
    assert between(pairs, "both", "last").score > 0.5 > between(pairs, "both", "first").score


def test_rare_wording_of_exactly_two_is_listed_and_takes_the_score_up():
    rng = random.Random(0)
    answers = [honest(rng) for _ in range(12)]
    odd = 'wibble_count = 3  # the wombat said so yesterday\nprint("it is a wombat after all")'
    known = "mu_pos = 1  # [d_model] each"
    plain = [hand_in(str(n), mine | {"x": known}) for n, mine in enumerate(answers)]
    worded = [hand_in(str(n), mine | {"x": odd if n < 2 else known}) for n, mine in enumerate(answers)]
    pair = between(compare(worded, CHAPTER), "0", "1")
    assert pair.wording == ("# the wombat said so yesterday", '"it is a wombat after all"', "wibble_count")
    assert pair.score > between(compare(plain, CHAPTER), "0", "1").score + 0.1


# --- what is left out ------------------------------------------------------------------------------------------------


def test_stubs_and_cells_that_were_handed_out_are_not_compared():
    notebook = [
        Cell(strip_solution(cell.source, cell.exercise) if cell.exercise else cell.source, f"cell {n}")
        for n, cell in enumerate(COURSE.cells)
        if cell.kind == "code" and not cell.tags
    ]
    submissions = [Submission(str(n), "x", CHAPTER, "same", tuple(notebook)) for n in range(3)]
    for pair in compare(submissions, CHAPTER):
        assert (pair.score, pair.exercises, pair.wording) == (0.0, (), ())


def test_other_chapters_and_unreadable_submissions_are_left_out():
    mine = hand_in("a", SOLUTIONS)
    other = Submission("b", "x", "02_trusting_probes", "", mine.cells)
    broken = Submission("c", "x", CHAPTER, "", (), (), "is not JSON")
    assert compare([mine, other, broken], CHAPTER) == []


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_compare_gives_no_pairs(count, tmp_path):
    pairs = compare([hand_in("a", SOLUTIONS)] * count, CHAPTER)
    write_similarity(pairs, tmp_path)
    assert pairs == [] and "No two submissions" in (tmp_path / "similarity.html").read_text()


def test_identical_files_are_said_so_and_one_student_is_no_pair():
    rng = random.Random(0)
    mine, other = honest(rng), honest(rng)
    pairs = compare(
        [hand_in("a", mine, "1"), hand_in("b", mine, "1"), hand_in("a", mine, "2"), hand_in("c", other, "3")], CHAPTER
    )
    assert pairs[0].identical and pairs[0].score == 1.0 and {pairs[0].first, pairs[0].second} == {"a", "b"}
    assert all(pair.first != pair.second for pair in pairs)
    assert sum(pair.identical for pair in pairs) == 1


def test_the_outcome_does_not_depend_on_the_order_of_submissions():
    submissions = make_class(0, n_honest=25)
    scores = [
        {frozenset((pair.first, pair.second)): pair.score for pair in compare(order, CHAPTER)}
        for order in (submissions, submissions[::-1])
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.0015)


# --- what may come ---------------------------------------------------------------------------------------------------

HOSTILE = {
    "does not parse": "# exercise: roc_auc\ndef roc_auc(:",
    "100,000 nodes": "def roc_auc(s, y):\n    return [" + "s+y," * 20_000 + "]",
    "deep brackets": "def roc_auc(s, y):\n    return " + "(" * 5_000 + ")" * 5_000,
    "long sum": "def roc_auc(s, y):\n    return " + "+".join(["s"] * 20_000),
    "long chain": "def roc_auc(s, y):\n    return s" + ".a" * 30_000,
    "many signs": "def roc_auc(s, y):\n    return " + "-" * 40_000 + "s",
    "deep blocks": "def roc_auc(s, y):\n" + "".join(" " * n + "if s:\n" for n in range(1, 90)) + " " * 90 + "return 1",
    "deep targets": "def roc_auc(s, y):\n    " + "[" * 80 + "a" + "]" * 80 + " = s\n    return a",
    "huge numbers": "def roc_auc(s, y):\n    return 0x" + "f" * 50_000 + " + 1e999 + 9j + (1 << 9)",
    "NUL": "def roc_auc(s, y):\n    return '\0'",
    "half a surrogate pair": "# exercise: roc_auc\nx\ud800 = '\ud800'\ndef roc_auc(s, y):\n    return x\ud800",
    "escaped surrogate": "def roc_auc(s, y):\n    return '\\ud800 and more'",
    "blank lines": "# exercise: roc_auc\n" + "\n" * 90_000 + "def roc_auc(s, y): return s",
    "too long": "def roc_auc(s, y):\n    return s" + " + s" * 100_000,
    "calls in a circle": "def a(x): return b(x)\ndef b(x): return a(x)\ndef roc_auc(s, y): return roc_auc(a(s), b(y))",
    "many helpers": "".join(f"def f{n}(x): return f{n + 1}(x) + f{n // 2}(x)\n" for n in range(2_000))
    + "def roc_auc(s, y): return f0(s)",
    "a name with many values": "def roc_auc(s, y):\n" + "".join(f"    a = a + {n}\n" for n in range(4_000)),
    "many names": "def roc_auc(s, y):\n    return [" + ", ".join(f"n{n} := {n}" for n in range(6_000)) + "]",
    "open string": "# exercise: roc_auc\n'''" + "x " * 20_000,
    "all kinds of nodes": """
async def roc_auc(s, /, y=1, *a, k: int = 2, **m):
    global g
    async with s as (p, *q): pass
    async for z in s: await z
    try:
        del p
    except (A, B) as e: raise e from None
    else: yield
    finally: assert s, 'no way'
    match s:
        case {'a': [1, *r], **t} | C(x=t): return (u := t)
        case str() as v if v: pass
    return f'{s!r:>{y}}', {**m}, {1: 2}, {*a}, [i async for i in s], lambda *x: x
""",
    "empty class": "class roc_auc: pass",
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_notebook_is_compared_or_left_out_in_little_time(kind):
    cells = (Cell(HOSTILE[kind], "cell 1"),)
    others = [hand_in(str(n), SOLUTIONS) for n in range(2)]
    start = time.process_time()
    pairs = compare([Submission(n, "x", CHAPTER, "", cells) for n in ("a", "b")] + others, CHAPTER)
    assert time.process_time() - start < 10
    assert len(pairs) == 6 and all(0 <= pair.score <= 1 for pair in pairs)


def test_thousands_of_cells_and_comments_are_read_within_bounds():
    cells = tuple(Cell(f"name_{n} = 'some text {n}'  # remark number {n}\n" * 100, "") for n in range(3000))
    start = time.process_time()
    compare([Submission(n, "x", CHAPTER, "", cells) for n in "ab"] + [hand_in("c", SOLUTIONS)], CHAPTER)
    assert time.process_time() - start < 20


def test_three_hundred_students_take_well_under_a_minute():
    rng = random.Random(0)
    submissions = [hand_in(str(n), honest(rng)) for n in range(300)]
    start = time.process_time()
    pairs = compare(submissions, CHAPTER)
    assert len(pairs) == 300 * 299 // 2 <= MAX_PAIRS
    assert time.process_time() - start < 45


def test_every_chapter_can_be_compared():
    for chapter in build.chapter_names():
        cells = build.exercise_cells(build.load_chapter(chapter))
        notebook = tuple(Cell(source, "") for source in cells.values())
        pairs = compare([Submission(n, "x", chapter, "", notebook) for n in "ab"], chapter)
        assert len(pairs[0].exercises) == len(cells)


# --- what is written -------------------------------------------------------------------------------------------------


def test_pages_and_tables_hold_what_students_wrote_as_harmless_text(tmp_path):
    nasty = "<script>alert(1)</script>"
    source = f'def roc_auc(s, y):\n    """{nasty}"""\n    return s[y:9] ** 2  # {nasty} </pre> {{{{ 7 * 7 }}}} \u202e'
    submissions = [Submission(n, "x", CHAPTER, "s", (Cell(source, ""),)) for n in (f"=cmd()\n{nasty}", "@b\u202e")]
    write_similarity(compare(submissions, CHAPTER), tmp_path)
    page = (tmp_path / "similarity.html").read_text()
    assert "never a proof" in page and "identical" in page
    assert "<script" not in page and "\u202e" not in page and "{{ 7 * 7 }}" in page
    assert not any(word in page for word in ("http://", "https://", "src=", "onclick", "javascript"))
    with (tmp_path / "similarity.csv").open(encoding="utf-8-sig", newline="") as file:
        head, row = csv.reader(file)
    assert head[:4] == ["first", "second", "chapter", "score"]
    assert row[0].startswith("'=") and row[1].startswith("'@") and row[4] == "identical" and float(row[3]) == 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["similarity.csv", "similarity.html"]


def test_a_failed_write_leaves_the_older_table(tmp_path, monkeypatch):
    pairs = compare([hand_in(n, SOLUTIONS) for n in "ab"], CHAPTER)
    write_similarity([], tmp_path)
    before = (tmp_path / "similarity.csv").read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_similarity(pairs, tmp_path)
    assert (tmp_path / "similarity.csv").read_bytes() == before


def test_the_page_stays_small_however_long_the_answers_are(tmp_path):
    long = {name: source + "\n    # " + "x" * 90_000 for name, source in SOLUTIONS.items()}
    rng = random.Random(0)
    submissions = [hand_in(str(n), {k: v + long[k][-90_000:] for k, v in honest(rng).items()}) for n in range(12)]
    write_similarity(compare(submissions, CHAPTER), tmp_path)
    assert (tmp_path / "similarity.html").stat().st_size < 3_000_000
