"""What a learner sees: chapter 01 in a real JupyterLab, in headless Chromium, from the first cell to the first figure.

The tests tell one story and run in their order. Screenshots go to $SCREENSHOTS, or to pytest's temporary folder.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest

from tests.copies import copy_course
from utils.course import build
from utils.course.chapter import BEGIN, END
from utils.training.lab import PATIENCE, Lab, serve_lab

CHAPTER, EXERCISE = "01_linear_probes", "cache_resid_post"
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 700, "height": 900}


class WatchedLab(Lab):
    """Keeps every address that the page asks for, and takes screenshots."""

    def __init__(self, page, screenshots: Path) -> None:
        super().__init__(page)
        self.screenshots = screenshots
        self.requests: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))

    def shoot(self, name: str, text: str) -> None:
        """Take a wide and a narrow picture that starts at the first cell that holds a text."""
        for kind, size in [("narrow", NARROW), ("wide", WIDE)]:
            self.page.set_viewport_size(size)
            self.page.wait_for_timeout(500)  # JupyterLab lays the notebook out anew
            self.go_to(text)
            self.page.wait_for_timeout(500)
            self.page.screenshot(path=self.screenshots / f"{name}_{kind}.png", timeout=PATIENCE * 1000)


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedLab]:
    """JupyterLab with the chapter open and its kernel ready, in a copy of the course."""
    screenshots = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    screenshots.mkdir(parents=True, exist_ok=True)
    lab = WatchedLab(browser.new_page(viewport=WIDE), screenshots)
    with serve_lab(copy_course(tmp_path_factory.mktemp("copy")), f"chapters/{CHAPTER}.ipynb") as address:
        lab.open(address)
        yield lab


@pytest.fixture(scope="module")
def answer() -> str:
    """The solution's cell, without the markers."""
    cell = build.exercise_cells(build.load_chapter(CHAPTER))[EXERCISE]
    return "\n".join(line for line in cell.splitlines() if line.strip() not in (BEGIN, END))


@pytest.fixture(scope="module")
def score() -> str:
    """How the card of an exercise with all points says so."""
    points = build.load_chapter(CHAPTER).exercises[EXERCISE].points
    return f"{points} of {points} points"


def test_the_chapter_opens_with_its_picture_and_with_closed_hints(lab: WatchedLab):
    badge, picture = (lab.go_to("# 01").locator(".jp-RenderedMarkdown img").nth(i) for i in range(2))
    picture.wait_for()
    assert badge.get_attribute("alt") == "Open in Colab" and badge.evaluate("image => image.naturalWidth") == 112
    assert picture.get_attribute("src").startswith("data:image/png;base64,")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    lab.shoot("top", "# 01")
    lab.shoot("exercise", "### Exercise 1.1")
    hints = lab.go_to("Hint 1").locator("details")
    assert hints.count() == 4  # three hints, and what you should see
    assert not any(hint.evaluate("hint => hint.open") for hint in hints.all())
    assert not hints.nth(2).locator("pre").is_visible()
    for hint in hints.all():
        hint.locator("summary").click()
    assert hints.nth(2).locator("pre").is_visible()
    lab.shoot("hints", "Hint 1")


def test_running_all_cells_stops_at_the_first_unwritten_exercise(lab: WatchedLab):
    lab.command("notebook:run-all-cells")
    card = lab.card(f"check({EXERCISE})")
    assert "is not written yet" in card and "0 of" in card
    assert "Traceback" not in lab.go_to(f"check({EXERCISE})").inner_text()
    assert not re.search(r"\d", lab.go_to("sentences = [").locator(".jp-InputPrompt").inner_text())  # it has not run
    lab.shoot("unwritten", "# exercise: cache_resid_post")


def test_a_wrong_answer_is_told_which_mistake_it_is(lab: WatchedLab, answer: str):
    assert "hook_resid_post" in answer
    lab.write(f"# exercise: {EXERCISE}", answer.replace("hook_resid_post", "hook_resid_pre"))
    lab.run(f"# exercise: {EXERCISE}")
    lab.run(f"check({EXERCISE})")
    card = lab.card(f"check({EXERCISE})")
    assert "the stream before block" in card and "✗" in card
    lab.shoot("wrong", f"check({EXERCISE})")
    lab.run(f"check({EXERCISE})")  # the second attempt brings the first hint
    assert "Hint 1" in lab.card(f"check({EXERCISE})")
    lab.shoot("wrong_again", f"check({EXERCISE})")


def test_a_right_answer_earns_all_points(lab: WatchedLab, answer: str, score: str):
    lab.write(f"# exercise: {EXERCISE}", answer)
    lab.run(f"# exercise: {EXERCISE}")
    lab.run(f"check({EXERCISE})")
    card = lab.card(f"check({EXERCISE})")
    assert score in card and "✗" not in card
    lab.shoot("right", f"# exercise: {EXERCISE}")


def test_the_first_figure_is_drawn_without_a_network(lab: WatchedLab):
    lab.run("sentences = [")
    cell = lab.run("plots.plot_lines_by_layer")
    figure = cell.locator(".jp-OutputArea-output .main-svg").first
    figure.wait_for()
    lines = cell.locator(".scatterlayer .js-line")
    assert lines.count() == 2
    assert all(line.is_visible() and line.bounding_box()["width"] > 200 for line in lines.all())
    assert cell.locator(".xtick").first.text_content() == "embed"
    assert not re.search(r"renderer|Figure\(", cell.inner_text())
    lab.shoot("figure", "same_sense = ")  # narrow, then wide again: the figure is laid out anew each time
    legend, title = (cell.locator(part).bounding_box() for part in (".legend", ".xtitle"))
    assert legend["y"] >= title["y"] + title["height"], "the legend lies on the title of the axis"


def test_a_prediction_is_written_down_and_settled(lab: WatchedLab):
    cell = lab.run('predict(\n    "spring"')
    button = cell.get_by_role("button", name="Write it down")
    button.wait_for()
    assert button.is_disabled() and not cell.locator(".course-instead").is_visible()
    cell.get_by_label("about 1", exact=True).click()
    readout = cell.locator(".widget-readout")
    readout.click()
    lab.page.keyboard.press("ControlOrMeta+A")
    lab.page.keyboard.insert_text("90")
    lab.page.keyboard.press("Enter")
    lab.page.wait_for_function("button => !button.disabled", arg=button.element_handle())
    lab.shoot("prediction", 'predict(\n    "spring"')
    button.click()
    change = cell.get_by_role("button", name="Change it")
    change.wait_for()
    assert lab.card('predict(\n    "spring"') == "You said about 1, 90 % sure."
    lab.run('settle("spring"')
    assert "and so it came out" in lab.card('settle("spring"')
    lab.shoot("settled", 'settle("spring"')


def test_the_panel_of_layers_follows_its_slider(lab: WatchedLab):
    source = "\n".join(
        [
            "import torch",
            "from utils.widgets.layers import ItemSet, explore_layers",
            "acts = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(0))",
            "show = lambda layer, item: (f'says {layer}', 'truth')",
            "items = ItemSet(list('abcdefgh'), acts, torch.tensor([1, 3]), show, example='b')",
            "explore_layers({'letter': items}, ['embed', 0])",
        ]
    )
    lab.write("MY_CURVE = ", source)
    cell = lab.run("from utils.widgets.layers import ItemSet")
    panel = cell.locator(".course-explorer .course-panel")
    panel.wait_for()
    assert "says 0" in panel.inner_text() and not cell.locator(".course-static").is_visible()
    cell.locator(".noUi-handle").focus()
    lab.page.keyboard.press("ArrowRight")
    lab.page.wait_for_function("panel => panel.innerText.includes('says 1')", arg=cell.element_handle())
    lab.shoot("panel", "from utils.widgets.layers import ItemSet")


GAME = """
import torch
from utils.widgets.edits import EditExample, EditResult, edit_board
from utils.widgets.games import GameView, explore_games
from utils.othello import legal_moves, random_games, replay_games
moves = random_games(1, 6, seed=0)[0]
states = replay_games(moves[None], 6)
boards, legal = states.boards[0].long(), states.legal[0]
believed = boards[None].clone()
believed[:, 9] = boards[8]  # wrong after move 10
chances = legal / legal.sum(dim=1, keepdim=True).clamp(min=1)
illegal = (boards[9] == 0) & ~legal[9]
chances[9] = illegal / illegal.sum()
"""


def test_the_panel_of_games_jumps_to_an_illegal_favourite_and_reveals_the_belief(lab: WatchedLab):
    view = "view = GameView(moves=moves, boards=boards, legal=legal, believed=believed, probabilities=chances)"
    lab.write("from utils.widgets.layers import ItemSet", f"{GAME}{view}\nexplore_games({{'game 1': view}}, [0])")
    cell = lab.run("from utils.widgets.edits import")
    panel = cell.locator(".course-explorer")
    panel.wait_for()
    assert "Move 1 was" in panel.inner_text() and not cell.locator(".course-static").is_visible()
    panel.get_by_role("button", name="next illegal favourite").click()
    lab.page.wait_for_function("panel => panel.innerText.includes('Move 10 was')", arg=panel.element_handle())
    assert "not legal" in panel.inner_text() and "squares wrong" not in panel.inner_text()
    panel.get_by_label("show the believed board").check()
    lab.page.wait_for_function("panel => panel.innerText.includes('squares wrong')", arg=panel.element_handle())
    assert panel.locator("svg[role=img]").count() >= 2
    lab.shoot("games", "from utils.widgets.edits import")


def test_a_click_or_a_key_on_a_square_edits_the_board(lab: WatchedLab):
    edit = """
def edit(name, square, state, strength):
    after = boards[9].clone()
    after[square] = state
    return EditResult(chances[9], chances[9], after, legal_moves(after), 3, square)
square = int((boards[9] == 1).nonzero()[0])
edit_board({"game 1": EditExample(boards[9], square, 2)}, edit, [1.0, 2.0], strength=1.0)
"""
    lab.write("from utils.widgets.edits import", GAME + edit)
    cell = lab.run("from utils.widgets.edits import")
    panel = cell.locator(".course-explorer")
    panel.wait_for()
    assert "3 errors before" in panel.inner_text() and "mine → yours" in panel.inner_text()
    panel.locator(".course-clickable button").nth(34).click()
    lab.page.wait_for_function("panel => panel.innerText.includes('34 errors after')", arg=panel.element_handle())
    lab.page.keyboard.press("Tab")
    lab.page.keyboard.press("Enter")
    lab.page.wait_for_function("panel => panel.innerText.includes('35 errors after')", arg=panel.element_handle())
    assert "f6:" in panel.inner_text() and panel.get_by_title("f6: ").count() == 1
    lab.shoot("edit", "from utils.widgets.edits import")


TRUTH = """
import torch
from utils.widgets.statements import PcaView, SteerResult, explore_pca, steer_statement
from utils.widgets.thresholds import drag_threshold
spread = torch.linspace(0, 1, 100)
"""


def test_a_dot_says_its_statement_and_the_plane_follows_the_layer(lab: WatchedLab):
    view = """
points = torch.stack([torch.stack([spread, 1 - spread], dim=1), torch.stack([spread, spread], dim=1)])
shares = torch.tensor([[0.5, 0.25], [0.75, 0.125]])
view = PcaView(points, shares, [f"statement {i}" for i in range(100)], spread > 0.5, spread > 0.75)
explore_pca({"match": view}, [0, 1])
"""
    lab.write("from utils.widgets.edits import", TRUTH + view)
    cell = lab.run("from utils.widgets.statements import")
    panel = cell.locator(".course-explorer")
    panel.wait_for()
    assert not cell.locator(".course-static").is_visible() and panel.locator(".course-hint").is_visible()
    panel.locator(".course-dot").last.hover()
    assert panel.locator(".course-tip:visible").all_text_contents() == ["true · statement 99"]
    assert not panel.locator(".course-hint").is_visible()
    panel.locator(".noUi-handle").focus()
    lab.page.keyboard.press("ArrowRight")
    lab.page.wait_for_function("panel => panel.textContent.includes('PC1 · 75 %')", arg=panel.element_handle())
    panel.get_by_label("affirmed", exact=True).uncheck()
    lab.page.wait_for_function(
        "panel => panel.querySelectorAll('.course-dot').length == 25", arg=panel.element_handle()
    )
    lab.shoot("components", "from utils.widgets.statements import")


def test_a_dose_changes_the_answer(lab: WatchedLab):
    steer = """
def steer(statement, place, dose):
    return SteerResult(0.5 + dose / 8, 0.5 - dose / 8, [("That", 0.75), ("Money", 0.25)])
steer_statement(["Lyon is in France ."], steer, ["object, layer 0", "full stop, layer 2"])
"""
    lab.write("from utils.widgets.statements import", TRUTH + steer)
    cell = lab.run("from utils.widgets.statements import")
    panel = cell.locator(".course-explorer")
    panel.wait_for()
    assert "P(correct) 0.50 → 0.50" in panel.inner_text() and not cell.locator(".course-static").is_visible()
    panel.locator(".noUi-handle").focus()
    lab.page.keyboard.press("ArrowRight")
    lab.page.wait_for_function("panel => panel.innerText.includes('dose +0.25')", arg=panel.element_handle())
    assert "P(correct) 0.50 → 0.53" in panel.inner_text()
    lab.shoot("steer", "from utils.widgets.statements import")


def test_the_button_sets_the_threshold_and_the_slider_keeps_it(lab: WatchedLab):
    lab.write(
        "from utils.widgets.statements import",
        f'{TRUTH}drag_threshold({{"mean": (spread, spread + 0.5)}}, unrelated={{"mean": spread * 1.1}})',
    )
    cell = lab.run("from utils.widgets.statements import")
    panel = cell.locator(".course-explorer")
    panel.wait_for()
    assert not cell.locator(".course-static").is_visible()
    panel.get_by_role("button", name="1 % of unrelated texts").click()
    lab.page.wait_for_function("panel => panel.innerText.includes('1 of 100')", arg=panel.element_handle())
    tiles = panel.locator(".course-tile").all_inner_texts()
    assert [" ".join(tile.split()) for tile in tiles] == [
        "TPR 0.410 41 of 100",
        "FPR, honest 0.000 0 of 100",
        "FPR, unrelated 0.010 1 of 100",
        "precision 1.00 if 1 in 100 lies",
    ]
    assert panel.locator(".widget-readout").inner_text() == "1.09"
    lab.shoot("threshold", "from utils.widgets.statements import")


LATENTS = """
import torch
from utils.widgets.latent_views import LatentView
from utils.widgets.latents import explore_latents
from utils.othello import random_games, replay_games, token_squares
moves = random_games(4, 6, seed=0)
boards = replay_games(moves, 6).boards.flatten(0, 1).long()
last = torch.where(moves > 0, token_squares(6)[(moves - 1).clamp(min=0)], -1).flatten()
latents = torch.zeros(len(boards), 3)
latents[:, 0] = torch.arange(len(boards)).float()
latents[:, 1] = (boards[:, 14] == 1) * 2.0
cosines = {"mine − yours": torch.linspace(-0.5, 0.5, 108).view(3, 36), "empty": torch.zeros(3, 36)}
board_view = LatentView(latents, boards=boards, last_moves=last, cosines=cosines)
words = "Lyon is in France .".split()
truth = {"truth": torch.tensor([0.25, -0.5]), "negated": torch.tensor([0.1, 0.0])}
text_view = LatentView(torch.eye(5)[:, 2:4], texts=[words] * 5, positions=range(5), cosines=truth)
explore_latents({"Othello, topk": board_view, "facts, topk": text_view}, latent=1)
"""


def test_the_panel_of_latents_is_worked_by_keyboard(lab: WatchedLab):
    lab.write("from utils.widgets.statements import", LATENTS)
    cell = lab.run("from utils.widgets.latents import")
    panel = cell.locator(".course-explorer")
    panel.wait_for()

    def wait(text: str) -> None:
        lab.page.wait_for_function(
            "([panel, text]) => panel.innerText.includes(text)", arg=[panel.element_handle(), text]
        )

    wait("Othello, topk, latent 1")
    assert not cell.locator(".course-static").is_visible() and panel.locator("svg[role=img]").count() == 3 + 8
    first = panel.get_by_label("board, value 2", exact=True).first.bounding_box()
    assert first["width"] > 100, f"the boards are {first['width']:.0f} pixels wide"
    panel.get_by_label("latent", exact=True).click()
    lab.page.keyboard.press("ControlOrMeta+A")
    lab.page.keyboard.insert_text("2")
    lab.page.keyboard.press("Enter")
    wait("on in none of these vectors")
    panel.get_by_label("order", exact=True).select_option("most often on first")
    wait("latent 0")
    assert panel.get_by_role("button", name="previous").is_disabled()
    panel.get_by_role("button", name="next").focus()
    lab.page.keyboard.press("Enter")
    wait("latent 1")
    lab.shoot("latents", "from utils.widgets.latents import")
    panel.get_by_label("SAE", exact=True).select_option("facts, topk")
    wait("facts, topk, latent 0")
    assert panel.locator("mark").all_text_contents() == ["in"]
    lab.shoot("latents_of_text", "from utils.widgets.latents import")


PENTAGON = """
import torch
from utils.sae_plots import plot_superposition
angles = torch.arange(5) * 2 * torch.pi / 5
pentagon = torch.stack([angles.cos(), angles.sin()], dim=1)
early = pentagon * torch.tensor([1, 1, 0, 0, 0])[:, None]
plot_superposition([("step 0", early), ("step 9", pentagon)], title="Five features in two dimensions")
"""


def test_the_features_of_a_toy_model_are_played_from_the_first_frame_to_the_last(lab: WatchedLab):
    lab.write("from utils.widgets.latents import", PENTAGON)
    cell = lab.run("from utils.sae_plots import")
    figure = cell.locator(".js-plotly-plot")
    figure.wait_for()
    shown = "figure => [...figure.querySelectorAll('.scatterlayer text')].map(text => text.textContent).join(' ')"

    def wait(text: str) -> None:
        lab.page.wait_for_function(
            f"([figure, text]) => ({shown})(figure) === text", arg=[figure.element_handle(), text]
        )

    wait("0 1 2 3 4")
    lab.shoot("superposition", "from utils.sae_plots import")
    figure.locator(".slider-rail-touch-rect").click(position={"x": 2, "y": 5}, force=True)  # scrolls there, too
    wait("0 1 near 0: 2, 3, 4")
    figure.locator(".updatemenu-button").first.click()
    wait("0 1 2 3 4")


def test_the_calibration_curve_is_drawn_from_the_ledger(lab: WatchedLab):
    lab.write("from utils.sae_plots import", "from utils.course.predict import calibration\ncalibration()")
    cell = lab.run("import calibration")
    cell.locator(".jp-OutputArea-output .main-svg").first.wait_for()
    cell.get_by_text("1 settled prediction, 1 right (100 %); you were 90 % sure.").wait_for()
    assert "1 of 1" in cell.locator(".annotation").all_text_contents()
    lab.shoot("calibration", "import calibration")


def test_the_dark_theme_is_readable(lab: WatchedLab):
    lab.command("apputils:change-theme", theme="JupyterLab Dark")
    lab.page.wait_for_selector("body[data-jp-theme-light=false]", state="attached")
    card = lab.go_to(f"check({EXERCISE})").locator(".course-card")
    text = card.evaluate("card => getComputedStyle(card).color")
    assert min(map(int, re.findall(r"\d+", text)[:3])) > 180, f"the card's text is {text} on a dark page"
    lab.shoot("dark", f"# exercise: {EXERCISE}")
    lab.shoot("dark_figure", "same_sense = ")
    lab.command("apputils:change-theme", theme="JupyterLab Light")
    lab.page.wait_for_selector("body[data-jp-theme-light=true]", state="attached")


def test_progress_survives_a_restart_of_the_kernel(lab: WatchedLab, score: str):
    lab.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    lab.command("notebook:clear-all-cell-outputs")
    lab.run("# setup: ")
    lab.run("start_chapter(")
    points = score.split()[0]
    exercises = len(build.load_chapter("01_linear_probes").exercises)
    assert f"{points} of" in lab.card("start_chapter(")
    assert f"1 of {exercises} exercises done" in lab.card("start_chapter(")
    lab.run("progress()")
    lab.shoot("progress", "progress()")
    last = lab.page.locator(".jp-Notebook .jp-Cell").last.locator(".course-card")
    assert f"{points}/{points}" in last.inner_text()


def test_nothing_is_fetched_from_another_machine(lab: WatchedLab):
    addresses = [urlparse(url) for url in lab.requests]
    assert len(addresses) > 50
    elsewhere = {a.geturl()[:200] for a in addresses if a.scheme not in ("data", "blob") and a.hostname != "127.0.0.1"}
    assert not elsewhere
