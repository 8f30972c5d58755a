"""The README's pictures are there, small enough, and of a kind that the script can draw again."""

import re

import pytest

from utils import ROOT
from utils.course import build, render
from utils.training import gallery
from utils.training.figures import FIGURE

FIGURES = ROOT / "solutions" / "figures"
MAX_BYTES_OF_ALL = 600_000


def test_every_picture_of_the_readme_is_there_and_can_be_drawn_again():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[[^\]]*\]\(solutions/figures/(\w+)\.png\)", readme)
    assert sorted(shown) == sorted(gallery.PICTURES)
    sizes = {name: (FIGURES / f"{name}.png").stat().st_size for name in shown}
    too_large = {name for name, size in sizes.items() if size > gallery.MAX_BYTES.get(name, render.MAX_IMAGE_BYTES)}
    assert not too_large and sum(sizes.values()) < MAX_BYTES_OF_ALL, sizes


def test_every_other_figure_stands_in_a_chapter():
    sources = [(ROOT / "solutions" / f"{name}.py").read_text(encoding="utf-8") for name in build.chapter_names()]
    named = {name for source in sources for name in FIGURE.findall(source)}
    assert {path.stem for path in FIGURES.glob("*.png")} == named | gallery.PICTURES.keys()


def test_the_figures_that_it_takes_from_chapters_are_there(monkeypatch: pytest.MonkeyPatch):
    class AskedError(Exception):
        pass

    def run_figures(chapter: str, *, last: str):
        raise AskedError(chapter, last)

    monkeypatch.setattr(gallery, "run_figures", run_figures)
    for draw in (gallery.believed_board, gallery.swatches, gallery.transfer):
        with pytest.raises(AskedError) as asked:
            draw()
        chapter, last = asked.value.args
        assert last in FIGURE.findall((ROOT / "solutions" / f"{chapter}.py").read_text(encoding="utf-8"))


def test_the_answers_that_are_checked_differ_by_one_line():
    wrong, right = (answer.splitlines() for answer in gallery.wrong_and_right())
    assert len(wrong) == len(right) and sum(a != b for a, b in zip(wrong, right, strict=True)) == 1
