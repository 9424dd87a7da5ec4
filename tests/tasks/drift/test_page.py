from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from tasks.drift.compare import compare
from tasks.drift.page import write_page
from tasks.drift.plots import histogram
from tasks.drift.sketch import Sketch
from tests.tasks.drift.corpora import toy


def written(folder: Path, reference: Sketch, new: Sketch, name: str = "new") -> str:
    path = folder / "drift.html"
    write_page(path, compare(reference, new), (reference, new), "digits@champion", name, ["two members cannot be used"])
    return path.read_text(encoding="utf-8")


def test_the_page_says_what_moved_and_draws_every_number_and_class(tmp_path: Path) -> None:
    page = written(tmp_path, toy(200, 0), toy(200, 1, image_a=2.0))
    assert "<h1>Image moved; text and labels did not</h1>" in page
    assert page.count("<figure>") == 6, "two numbers of each medium, the language, the label"
    assert "two members cannot be used" in page
    assert len(re.findall(r"word bad\">moved</span>", page)) >= 2


def test_the_page_needs_nothing_but_itself_and_shows_no_markup_of_others(tmp_path: Path) -> None:
    new = toy(200, 1)
    hostile = "<script>alert(1)</script>"
    new = replace(new, classes={**new.classes, "label.digit": np.full(200, hostile)})
    page = written(tmp_path, toy(200, 0), new, name=hostile)
    assert 'http-equiv="Content-Security-Policy"' in page
    assert hostile not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_a_page_of_nothing_that_moved_is_a_page(tmp_path: Path) -> None:
    page = written(tmp_path, toy(200, 0), toy(200, 1))
    assert "<h1>Nothing moved</h1>" in page
    assert "word bad" not in page.partition("<style>")[0] + page.partition("</style>")[2]


@pytest.mark.parametrize(("first", "second"), [([0.0] * 40, [0.0] * 40), ([5.0] * 40, [7.0] * 40), ([1e9, 2e9] * 20, [1e-9] * 40)])
def test_a_histogram_of_odd_values_is_drawn_within_its_frame(first: list[float], second: list[float]) -> None:
    svg = ET.fromstring(str(histogram("image.a", np.array(first), np.array(second))))
    shares = [element for element in svg.iter("rect") if element.get("class") == "share"]
    assert shares
    assert all(0 <= float(element.get("x", -1)) <= 460 and float(element.get("height", -1)) >= 0 for element in shares)
