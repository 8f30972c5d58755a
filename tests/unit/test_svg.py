"""Drawings are whole SVGs that say in words what they show."""

import base64
import re
from xml.etree import ElementTree

import pytest

from utils import svg


def test_a_drawing_is_one_svg_with_its_size_and_its_words():
    drawing = svg.draw(30, 20.5, [svg.text(1, 2, "a < b", bold=True), svg.line(0, 0, 1, 1, "#000000")], 'as "it"\n is')
    root = ElementTree.fromstring(drawing)
    assert root.get("role") == "img" and root.get("aria-label") == 'as "it" is'
    assert root[0].text == "a < b" and root[0].get("font-weight") == "600"
    assert svg.size_of(drawing) == (30, 20.5)


def test_what_stands_beside_its_words_is_not_read_out():
    drawing = svg.draw(10, 10, [], "")
    assert ElementTree.fromstring(drawing).get("aria-hidden") == "true" and "role" not in drawing
    assert svg.as_img(drawing).startswith('<img alt="" src=')


@pytest.mark.parametrize("label", ["a & b", "board: 2 > 1"])
def test_an_image_holds_the_drawing_and_its_words(label):
    inner = '<circle aria-label="a mark on it"/>'
    image = svg.as_img(svg.draw(10, 10, [inner], label))
    alt, code = re.fullmatch(r'<img alt="(.*)" src="data:image/svg\+xml;base64,(.*)">', image).groups()
    assert alt == label.replace("&", "&amp;").replace(">", "&gt;") and inner in base64.b64decode(code).decode()


def test_a_path_goes_from_corner_to_corner_and_signs_stand_in_a_row():
    assert svg.path([(0, 1), (2.25, 3)]) == "M0.0 1.0L2.2 3.0"
    row = ElementTree.fromstring(svg.draw(1, 1, [svg.legend([("<circle/>", "one"), ("<rect/>", "two")], 5, 7)], ""))
    assert [group.get("transform") for group in row] == ["translate(5,7)", "translate(141,7)"]
    assert [group[1].text for group in row] == ["one", "two"]
