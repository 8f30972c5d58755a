"""Which submissions of a class are alike in ways that others are not: a reason to read both, never a proof.

Every exercise's function, with the notebook's own functions that it calls, is cut into the subtrees of its syntax
tree. Each is kept as a hash that stays the same when somebody renames, reformats, comments or swaps lines:

- arguments count by their place, helpers and locals have no name; a second hash knows each local by the values that
  it gets, so that a - b stays apart from b - a;
- lines of a block, keywords, and the sides of + * & | == and, or have no order; a > b is b < a; x += 1 is x = x + 1;
  1 is 1.0 and float(1); axes in einsum patterns are numbered; a module is what was imported, not its short name;
- comments, docstrings, annotations, messages of errors, imports, stubs and the cells that were handed out are left out.

Hashes of pieces that stand for a program are the idea of winnowing (Schleimer, Wilkerson & Aiken 2003, "Winnowing:
local algorithms for document fingerprinting"); here the pieces are subtrees, not runs of characters, and all are
kept. An exercise has few right answers, so a piece is worth what it tells: minus the logarithm of the share of the
*other* students who have it, taken as a half at least if the published solution has it. For two students, over the
exercises that both wrote:

    agreement = worth of the pieces of both / worth of the pieces of either
    evidence  = worth above log 2 of the pieces of both / number of pieces of either, summed over exercises
    score     = agreement * (1 - exp(-evidence))

and the same for each exercise alone. A piece that only one student has counts in "either" as an average one: it is
easily put into a copy. The evidence is an average over pieces because subtrees nest and tell the same thing many times;
what half of a class has is none, so that a class of equal right answers scores 0. An odd helper or the same mistake in
two notebooks weighs most. Names, comments and strings in any code cell that two students share, nobody else has and
the course's text does not hold take the score nearer to 1; different wording never lowers it.

In classes of 60, put together at random from right and wrong answers of chapter 01 in slightly different spellings,
half of the honest pairs score below .05 and the highest up to .5. A copy with other names, comments and order scores
above .95, one with a line added to every function about .8, one where every result gets a name first about .7, and
one that also changes a third of the spellings .4 to .6: among the highest honest pairs.

What it cannot tell: who had it from whom; copying from work in pairs, a common tutor, forum or language model; a copy
that was thought through anew from independent work. Two who took an answer from the same outside place look like
copies of each other. In a class of fewer than ten nobody knows what is rare: the score is little more than the
agreement. One copied exercise of many hardly moves the score of a pair: see its `exercises`.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from utils.course import build
from utils.course.cells import Cell
from utils.grading.answers import EXCERPT, all_pieces, read_answers
from utils.grading.collect import Submission
from utils.grading.pages import template
from utils.grading.report import csv_text, write_whole
from utils.grading.wording import shared_wording

COMMON = 0.5  # share of students: what this many have, or may have from the published solution, is no evidence
MIN_CLASS = 10  # other students, in thought: two alone do not make everything common
WORDING_SCALE = 40.0  # words
MAX_PAIRS = 50_000  # all pairs of 316 students
TOP_PAIRS, TOP_EXERCISES = 40, 3  # pairs on the page, exercises of each with their code


@dataclass(frozen=True)
class Pair:
    """Two students' submissions for one chapter. What students wrote is as they wrote it: escape it."""

    first: str
    second: str
    chapter: str
    score: float  # 0..1, see the module's docstring
    exercises: tuple[tuple[str, float], ...]  # each that both wrote and its similarity, highest first
    wording: tuple[str, ...]  # names, comments and strings that both share and nobody else has, longest first
    identical: bool = False  # whether the two files are the same, byte for byte
    code: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # both answers, in the order of `exercises`


def compare(submissions: Sequence[Submission], chapter: str) -> list[Pair]:
    """Compare all submissions for one chapter with each other. Nothing of them is run.

    Args:
        submissions: of `collect`; those for other chapters and those that could not be read are left out.
        chapter: such as "01_linear_probes".

    Returns:
        All pairs of different students, the highest score first; of many, the first MAX_PAIRS.

    Raises:
        SourceError, OSError: If the course has no such chapter, as for build.read_chapter.
    """
    course = build.load_chapter(chapter)
    cells = [cell for cell in course.cells if cell.kind == "code"]
    given = {cell.source.strip() for cell in cells if not cell.exercise and not cell.tags}
    handed_out = read_answers([Cell(source, "") for source in sorted(given)], course.exercises)
    ignored = all_pieces(handed_out)
    solution = read_answers([Cell(cell.source, "") for cell in cells], course.exercises, given)
    read = [submission for submission in submissions if submission.chapter == chapter and not submission.reason]
    notebooks = [read_answers(submission.cells, course.exercises, given) for submission in read]
    names = [name for name in course.exercises if any(name in notebook.answers for notebook in notebooks)]
    if len(read) < 2 or not names:
        return []
    answers = [[notebook.answers.get(name) for notebook in notebooks] for name in names]  # [exercise student]
    pieces = [[answer.pieces - ignored if answer else frozenset() for answer in row] for row in answers]
    sums = [_compare_pieces(row, solution.answers[name].pieces) for row, name in zip(pieces, names, strict=True)]
    by_exercise = np.array([_score(*each) for each in sums])  # [exercise student student]
    scores = _score(*np.sum(sums, axis=0))  # [student student]
    text = "\n".join(cell.source for cell in course.cells)
    wording = shared_wording([notebook.wording for notebook in notebooks], text)
    for (i, j), texts in wording.items():
        n_words = sum(len(text.split()) for text in texts)
        scores[i, j] = 1 - (1 - scores[i, j]) * np.exp(-n_words / WORDING_SCALE)
    rows, columns = np.triu_indices(len(read), k=1)
    identical = {(i, j) for i, j in zip(rows.tolist(), columns.tolist(), strict=True) if _is_same(read[i], read[j])}
    for i, j in identical:
        if notebooks[i].answers:
            scores[i, j] = 1.0
    pairs: list[Pair] = []
    for k in np.argsort(-scores[rows, columns], kind="stable"):
        i, j = int(rows[k]), int(columns[k])
        if len(pairs) < MAX_PAIRS and read[i].student != read[j].student:
            both = [e for e, row in enumerate(answers) if row[i] and row[j]]
            both.sort(key=lambda e: (-by_exercise[e, i, j], e))
            pair = Pair(
                first=read[i].student,
                second=read[j].student,
                chapter=chapter,
                score=round(float(scores[i, j]), 3),
                exercises=tuple((names[e], round(float(by_exercise[e, i, j]), 3)) for e in both),
                wording=tuple(wording.get((i, j), ())),
                identical=(i, j) in identical,
                code=tuple((answers[e][i].source, answers[e][j].source) for e in both),
            )
            pairs.append(pair)
    return pairs


def write_similarity(pairs: Sequence[Pair], out: Path) -> None:
    """Write similarity.csv, all pairs, and similarity.html, the highest with their code, whole or not at all.

    Args:
        out: folder, made if it is not there.

    Raises:
        OSError: If the folder cannot be written to.
    """
    pairs = sorted(pairs, key=lambda pair: -pair.score)
    lines: list[list] = [["first", "second", "chapter", "score", "identical files", "exercises", "shared wording"]]
    for pair in pairs:
        alike = ", ".join(f"{name} {score:.2f}" for name, score in pair.exercises)
        same = "identical" if pair.identical else ""
        lines.append([pair.first, pair.second, pair.chapter, pair.score, same, alike, ", ".join(pair.wording)])
    top = [pair for pair in pairs if pair.score > 0][:TOP_PAIRS]
    shares = np.quantile([pair.score for pair in pairs], [0.5, 0.95]).tolist() if pairs else []
    page = template("similarity.html")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "similarity.csv", "\ufeff" + csv_text(lines))  # spreadsheets look for the mark
    html = page.render(pairs=top, n_pairs=len(pairs), shares=shares, n_exercises=TOP_EXERCISES, excerpt=EXCERPT)
    write_whole(out / "similarity.html", html)


def _is_same(first: Submission, second: Submission) -> bool:
    return first.sha256 == second.sha256 != ""


def _compare_pieces(pieces: Sequence[frozenset[int]], known: frozenset[int]) -> np.ndarray:
    """The worth of the pieces of both and of either, and the evidence, of every two students, [3 student student].

    In nats; 0 where one of the two has no pieces.
    """
    columns: dict[int, int] = {}
    rows = [[columns.setdefault(piece, len(columns)) for piece in mine] for mine in pieces]
    lengths = np.array([len(row) for row in rows])
    indices = np.fromiter(itertools.chain.from_iterable(rows), np.int64, lengths.sum())
    starts = np.concatenate([[0], lengths.cumsum()])
    has = csr_array((np.ones(len(indices), np.float32), indices, starts), shape=(len(rows), len(columns)))
    n_owners = has.sum(axis=0)
    # the share of others than the two, as if one more had it with probability 1/2: never 0 or 1
    share = (np.maximum(n_owners - 2, 0) + 0.5) / max(len(rows) - 1, MIN_CLASS)
    is_known = np.fromiter((piece in known for piece in columns), bool, len(columns))
    worth = -np.log(np.where(is_known, np.maximum(share, COMMON), share))
    excess = np.maximum(worth + np.log(COMMON), 0)
    if (n_owners > 1).any():
        worth[n_owners == 1] = worth[n_owners > 1].mean()
    shared, n_shared, rare = (((has * weight) @ has.T).toarray() for weight in (worth, np.ones(1), excess))
    mine, both_wrote = has @ worth, (lengths > 0) & (lengths > 0)[:, None]
    either, n_either = mine + mine[:, None] - shared, lengths + lengths[:, None] - n_shared
    sums = [shared, either, np.divide(rare, n_either, out=np.zeros_like(rare), where=both_wrote)]
    return (np.stack(sums) * both_wrote).astype(np.float32)


def _score(shared: np.ndarray, either: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    agreement = np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)
    return agreement * (1 - np.exp(-evidence))
