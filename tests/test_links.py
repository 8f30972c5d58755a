"""Links, pictures and citations, in README, in the pages and notebooks that learners open, and in docstrings."""

import json
import re
from collections import defaultdict
from pathlib import Path
from urllib.parse import unquote

import pytest

from utils import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "chapters").glob("*.md"))]
NOTEBOOKS = sorted(path for folder in ("chapters", "solutions") for path in (ROOT / folder).glob("*.ipynb"))
CITING = [*PAGES, *sorted((ROOT / "solutions").glob("*.py")), *sorted((ROOT / "utils").rglob("*.py"))]

FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(rf"{FENCED.pattern}|`[^`\n]*`", FENCED.flags)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
ARXIV = re.compile(r"(?:arxiv\.org/\w+/|arXiv:)([\w./-]+)")
NAME = r"[A-ZÀ-Ž][\w-]+"
AUTHORS = rf"({NAME} et al\.|{NAME}(?:, {NAME})* & {NAME}|{NAME})"
CITATIONS = (
    re.compile(rf"\[{AUTHORS} (\d{{4}})[^\]]*\]\(https://arxiv\.org/abs/([\d.]+)\)"),
    re.compile(rf"{AUTHORS} (\d{{4}}),(?: [A-Z][\w ]+,)? arXiv:([\d.]*\d)"),
)


def read_markdown(path: Path) -> str:
    """The prose of a page, or of a notebook's markdown cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def anchors(markdown: str) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", markdown), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(markdown: str, folder: Path) -> list[str]:
    """The links within the course that lead nowhere, from a page in `folder`."""
    broken = []
    for _, _, target in LINK.findall(CODE.sub("", markdown)):
        if re.match(r"https?:|data:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (folder / path).resolve()
        there = file.exists() and file.is_relative_to(ROOT)
        if there and anchor:  # in a notebook, JupyterLab and GitHub give headings different names
            target_page = file.read_text(encoding="utf-8") if path else markdown
            there = file.suffix != ".ipynb" and anchor in anchors(target_page)
        if not there:
            broken.append(target)
    return broken


def poor_texts(markdown: str) -> list[str]:
    """The texts of pictures that are too short to say what is seen."""
    return [text for image, text, _ in LINK.findall(CODE.sub("", markdown)) if image and len(text.split()) < 3]


def bad_numbers(text: str) -> list[str]:
    """The arXiv numbers that cannot be. Since 2015 they are year and month, a dot and five digits."""
    numbers = [number.rstrip(".") for number in ARXIV.findall(text)]
    return [number for number in numbers if not re.fullmatch(r"\d\d(0[1-9]|1[0-2])\.\d{5}", number)]


def citations(text: str) -> list[tuple[str, str, str]]:
    """(authors, year, arXiv number) wherever all three stand together."""
    text = re.sub(r"\s+#?\s*", " ", text)  # a citation may be broken over two lines of a comment
    return [found for pattern in CITATIONS for found in pattern.findall(text)]


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere_and_pictures_say_what_is_seen(path: Path):
    markdown = read_markdown(path)
    assert broken_links(markdown, path.parent) == []
    assert poor_texts(markdown) == []


@pytest.mark.parametrize(
    "link",
    ["[a](no_such.md)", "[a](chapters/README.md)", "[a](#no-such)", "[a](../outside.md)", "![a b c](figures/no.png)"],
)
def test_a_broken_link_is_found(link: str):
    page = f"# Some heading\n[fine](README.md), [too](#some-heading), `[not](a link)`, {link}"
    assert broken_links(page, ROOT) == [LINK.search(link)[3]]


def test_a_picture_without_a_text_is_found():
    assert poor_texts("![figure](a.png) ![](b.png) ![two hills apart](c.png) [link](d.md)") == ["figure", ""]


def test_arxiv_numbers_are_well_formed():
    for path in CITING:
        assert bad_numbers(path.read_text(encoding="utf-8")) == [], path
    wrong = "arXiv:2013.01234, arXiv:2310.0682; not https://arxiv.org/abs/1610.01644."
    assert bad_numbers(wrong) == ["2013.01234", "2310.0682"]


def test_a_paper_is_cited_in_one_way():
    found = defaultdict(set)
    for path in CITING:
        for authors, year, number in citations(path.read_text(encoding="utf-8")):
            found[number].add(f"{authors} {year}")
    assert len(found) > 30, "the patterns no longer find the citations"
    assert {number: names for number, names in found.items() if len(names) > 1} == {}
    late = {number: name for number, (name,) in found.items() if not 0 <= int(name[-4:]) - 2000 - int(number[:2]) <= 2}
    assert late == {}, "cited with a year that does not go with its number"
