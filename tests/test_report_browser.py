"""The report's pages in headless Chromium, with students who try everything: nothing runs, loads or overflows.

Screenshots and PDFs go to $SCREENSHOTS, or to pytest's temporary folder.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from utils.grading.report import write_report
from utils.grading.results import CheckRow, ExerciseRow, Report, Settings, SubmissionRow

PATIENCE = 60_000  # milliseconds, for one step on a busy machine
PAGES = ("index", "student", "hostile")
FLAG = "this is for the instructor"
LONG = "W" * 10_000  # no line can be broken in it, and few letters are wider
HOSTILE = [
    "<script>alert('name'); document.title = 'taken'</script>",
    "<img src=x onerror=alert(1)><svg onload=alert(2)>",
    "<a href='javascript:alert(3)'>a link</a><base href='https://example.org/'>",
    "</style></title><style>@import 'https://example.org/x.css'; * { background: url(https://example.org/y) }</style>",
    "<meta http-equiv=refresh content='0;url=https://example.org'><iframe src=https://example.org></iframe>",
    "`<script>alert(4)</script>` ```\n<script>alert(5)</script>``` \0 \1",
    "\u202etxt.exe \u2066 \u0627\u0644\u0639\u0644\u064a",
    "{{ self.__init__.__globals__ }} {% include '/etc/passwd' %}",
    LONG,
]


@dataclass
class Watched:
    """A page, and everything that it must not do."""

    page: object
    done: list[str] = field(default_factory=list)


def _report() -> Report:
    rows = []
    for i, text in enumerate([*HOSTILE, "Sofía Hernández", "شهد العلي"]):
        exercises = []
        for number in range(1, 10):
            passed = (i + number) % 3 > 0
            checks = [CheckRow(name="test_returns_one_row_for_each_text", points=2, passed=True)]
            message = "" if passed else f"expected `shape (2, 3)`, got {text} {LONG if i == 5 else ''}"
            checks.append(CheckRow(name="test_more_padding_changes_nothing", points=3, passed=passed, message=message))
            name = f"fit_logistic_regression_probe_{number}"
            exercises.append(ExerciseRow(name=name, number=f"1.{number}", optional=number > 6, checks=tuple(checks)))
        texts = {"notes": (text,), "problems": (text,), "flags": (text, FLAG)}
        where = {"file": text, "chapter": "01_linear_probes", "sha256": "0" * 64}
        rows.append(SubmissionRow(student=text, exercises=tuple(exercises), **where, **texts))
        rows.append(SubmissionRow(student=f"{text} too", file=text, chapter=None, reason=text))
    layers = {"network": "active", "files": "the kernel has no landlock (Linux 5.13 or newer has)"}
    made = {"created": "2026-11-21T19:40:12+00:00", "settings": Settings(), "versions": {"torch": "2.13.0"}}
    return Report(layers=layers, submissions=tuple(rows), **made)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages by what they show."""
    out = tmp_path_factory.mktemp("report")
    write_report(_report(), out)
    found = {
        name: next((out / "students").glob(pattern)) for name, pattern in [("student", "sofia*"), ("hostile", "w*")]
    }
    return found | {"index": out / "index.html"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures go."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def watched(browser) -> Iterator[Watched]:
    """A page whose dialogs, requests, errors and pop-ups are written down."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    watched = Watched(page)
    page.on("dialog", lambda dialog: (watched.done.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: watched.done.append(f"request {request.url}"))
    page.on("console", lambda message: watched.done.append(f"console {message.text}"))
    page.on("pageerror", lambda error: watched.done.append(f"error {error}"))
    page.on("popup", lambda _: watched.done.append("popup"))
    yield watched
    page.close()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (400, "light")])
def test_a_page_runs_nothing_loads_nothing_and_fits_its_window(watched, files, folder, name, width, scheme):
    page = watched.page
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.goto(files[name].as_uri())
    assert watched.done == [f"request {files[name].as_uri()}"]
    assert page.locator("script, img, svg, iframe, base, link, object, embed, form, [onclick], [onload]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    right = page.evaluate("document.body.getBoundingClientRect().right")
    boxes = page.locator("td, li, p, h1, h2, dd, footer").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect().right)"
    )
    assert max(boxes) <= right + 1
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    page.screenshot(path=folder / f"report_{name}_{width}_{scheme}.png", full_page=True, timeout=PATIENCE)


def test_every_link_leads_to_the_page_of_that_student(watched, files):
    page = watched.page
    page.goto(files["index"].as_uri())
    links = page.locator("table a").all()
    assert len(links) == len(_report().submissions)
    shown = [(link.inner_text(), link.get_attribute("href")) for link in links]
    for name, href in shown:
        page.goto((files["index"].parent / href).as_uri())
        assert page.locator("h1").inner_text() == name


def test_names_are_shown_as_text(watched, files):
    watched.page.goto(files["index"].as_uri())
    names = watched.page.locator("td.name").all_inner_texts()
    assert "<img src=x onerror=alert(1)><svg onload=alert(2)>" in names
    assert any(name.startswith("\\u202etxt.exe") for name in names)
    assert all(len(name) <= 80 for name in names)


def test_flags_are_on_the_instructors_page_only(watched, files):
    for name in PAGES:
        watched.page.goto(files[name].as_uri())
        text = watched.page.inner_text("body")
        assert ("⚑" in text, FLAG in text) == ((True, True) if name == "index" else (False, False))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_printed_on_a4(watched, files, folder, name):
    page = watched.page
    page.goto(files[name].as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    path = folder / f"report_{name}.pdf"
    page.pdf(path=path, prefer_css_page_size=True)
    printed = path.read_bytes()
    assert printed.startswith(b"%PDF") and len(printed) > 5000
    page.set_viewport_size({"width": 680, "height": 900})  # what A4 has between its margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
