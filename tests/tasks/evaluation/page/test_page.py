from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from tasks.evaluation.page.cards import make_card
from tests.tasks.evaluation.example import Example, cards_of, example, page_of, report_of

VOID = {"meta", "link", "br", "img", "wbr"}
NEIGHBOURS = {("href", "comparison.html"), ("href", "report.html")}
"""The pages of a report name each other; they lie in one folder."""
HOSTILE = "<script>document.title='pwned'</script>"


class Reader(HTMLParser):
    """Collects elements, and checks that every one is closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, element: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((element, dict(attrs)))
        if element not in VOID:
            self.open.append(element)

    def handle_endtag(self, element: str) -> None:
        assert self.open.pop() == element

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def made() -> Example:
    return example()


@pytest.fixture(scope="module")
def page(made: Example) -> str:
    return page_of(made, report_of(made))


def test_it_is_well_formed_and_has_every_section(page: str) -> None:
    reader = read(page)
    text = " ".join(reader.text)
    for title in (
        "What each modality brings",
        "Where it errs",
        "How sure it is",
        "Cost",
        "Predictions",
        "Samples",
        "Training",
        "Data",
        "Origin",
        "Make it again",
    ):
        assert title in text
    counted = [element for element, _ in reader.elements]
    assert counted.count("audio") >= 8
    assert counted.count("img") >= 8
    assert counted.count("h1") == 1
    assert counted.count("li") >= 12


def test_it_shows_the_numbers_of_the_report(made: Example, page: str) -> None:
    head = report_of(made)["heads"]["digit"]
    text = " ".join(read(page).text)
    assert f"{100 * head['accuracy']:.1f}\u202f%" in text
    assert f"+{100 * head['difference']['value']:.1f}" in text
    assert "models:/digits/3" in text
    assert "clearly better" in text
    assert "image/truncated" in text
    assert "medley run digits.yaml --until report" in text


def test_nothing_on_it_leads_outside(page: str) -> None:
    for element, attributes in read(page).elements:
        for name in ("src", "href", "xlink:href", "action", "srcset", "style", "onclick", "onerror"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:") or (name, value) in NEIGHBOURS, f"{element} {name}={value}"
    assert not re.search(r"https?://", page)
    assert "@import" not in page
    assert "url(" not in page


def test_the_policy_names_the_digests_of_the_only_style_and_script(page: str) -> None:
    policy = next(attributes["content"] for element, attributes in read(page).elements if attributes.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for element in ("style", "script"):
        (block,) = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy


def test_hostile_strings_stay_text() -> None:
    classes = (HOSTILE, '"><img src=x onerror=alert(1)>', "\u202ereversed", "a" * 500, "ok")
    made = example(200, classes=classes)
    report = report_of(made)
    report["notes"] = [HOSTILE]
    report["lineage"] |= {"recipe": HOSTILE, "run": HOSTILE, "code_revision": "'; rm -rf / #", "libraries": {HOSTILE: HOSTILE}}
    report["lineage"]["steps"][0] |= {"name": HOSTILE, "task": HOSTILE, "inputs": {"x": f"models:/{HOSTILE}@a"}}
    report["baseline"]["reference"] = f"models:/{HOSTILE}/1"
    report["data"]["left_out"] = {"quarantined": {HOSTILE: 3}}
    made.predictions.keys[:] = [f"{HOSTILE}{at}" for at in range(200)]
    cards = [make_card(at, {"text": HOSTILE.encode(), HOSTILE: b"\xff"}, made.predictions, made.labels) for at in range(3)]
    assert cards[0].previews[0].text == HOSTILE
    page = page_of(made, report, recipe_text=HOSTILE, cards=cards)
    reader = read(page)
    assert [element for element, _ in reader.elements].count("script") == 1
    assert not [attributes for _, attributes in reader.elements if "onerror" in attributes]
    assert HOSTILE in "".join(reader.text)
    assert "&#x27;; rm -rf" in page


def test_a_thousand_classes_and_large_media_stay_below_three_megabytes() -> None:
    classes = tuple(f"class number {number}" for number in range(1000))
    made = example(4000, classes=classes)
    report = report_of(made, ("digit",))
    noise = np.random.default_rng(0)
    cards = cards_of(made)
    big = [make_card(at, {"text": b"x", "image": large_picture(noise)}, made.predictions, made.labels) for at in range(60)]
    page = page_of(made, report, cards=cards + big)
    assert len(page.encode()) < 3_000_000
    assert "left out to keep this page small" in page
    assert "The most frequent confusions" in page


def test_a_matrix_of_many_classes_takes_the_whole_width_with_upright_headings(page: str) -> None:
    many = example(400, tuple(f"category {number}" for number in range(16)))
    drawn = page_of(many, report_of(many))
    assert '<div class="pair stacked">' in drawn
    assert '<table class="matrix upright">' in drawn
    assert '<div class="pair stacked">' not in page


def test_the_samples_say_which_head_chose_them_and_their_keys_break_behind_slashes(made: Example, page: str) -> None:
    assert "First samples whose digit it got right, drawn at random" in page
    assert "digits/<wbr>pair_" in page
    alone = {"digit": made.predictions.heads["digit"]}
    single = page_of(replace(made, predictions=replace(made.predictions, heads=alone)), report_of(made, ("digit",)))
    assert "First samples that it got right, drawn at random" in single


def test_without_baseline_cards_curves_or_lineage_it_still_stands(made: Example) -> None:
    report = report_of(made, ("digit",), baseline=None, notes=[])
    report["heads"]["digit"] = {key: value for key, value in report["heads"]["digit"].items() if "baseline" not in key and key != "mcnemar"}
    report["lineage"] |= {"steps": [], "recipe": "", "libraries": {}, "code_revision": ""}
    del report["baseline_cost"]
    page = page_of(made, report, recipe_text="", cards=[], lines=[])
    reader = read(page)
    text = " ".join(reader.text)
    assert "Samples" not in re.findall(r"<h2>([^<]*)</h2>", page)
    assert "baseline" not in text.partition("evaluation report")[2].lower()


def test_without_intervals_it_says_that_nothing_is_known(made: Example) -> None:
    report = report_of(made, ("digit",))
    head = report["heads"]["digit"]
    for entry in (head, head["best_single"], *head["by_modalities"].values()):
        entry["interval"] = None
        if "difference" in entry:
            entry["difference"] = {"value": 0.1, "interval": None}
    assert "not known" in " ".join(read(page_of(made, report)).text)


def test_tables_have_headings_and_charts_have_names(page: str) -> None:
    for element, attributes in read(page).elements:
        if element == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
        if element in ("img", "audio"):
            assert attributes.get("alt") or attributes.get("aria-label")
        if element == "th":
            assert attributes.get("scope") in ("col", "row")


def large_picture(noise: np.random.Generator) -> bytes:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(noise.integers(0, 256, (400, 400, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()
