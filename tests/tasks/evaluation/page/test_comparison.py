from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from tasks.evaluation.page.sides import changed_sides
from tests.tasks.evaluation.example import Example, comparison_of, example, page_of, report_of
from tests.tasks.evaluation.page.test_page import HOSTILE, NEIGHBOURS, read


@pytest.fixture(scope="module")
def made() -> Example:
    return example()


@pytest.fixture(scope="module")
def page(made: Example) -> str:
    return comparison_of(made, report_of(made))


def test_it_is_well_formed_and_has_every_section(page: str) -> None:
    reader = read(page)
    titles = re.findall(r"<h2>([^<]*)</h2>", page)
    assert titles == ["Who is right", "Slices", "How sure each is", "Won", "Lost", "Slices", "Nearer", "Farther", "Cost"]
    assert [element for element, _ in reader.elements].count("audio") >= 12
    text = " ".join(reader.text)
    assert "by voice" in text
    assert "by audio.size" in text
    assert "Candidate and baseline" not in text


def test_the_fourfold_table_counts_every_labelled_sample_once(made: Example, page: str) -> None:
    head = report_of(made)["heads"]["digit"]
    counts = head["mcnemar"]
    (table,) = re.findall(r'<table class="fourfold">.*?</table>', page)
    shown = [int(number) for number in re.findall(r"<b>(\d+)</b>", table)]
    assert shown == [counts[key] for key in ("both", "candidate_only", "baseline_only", "neither")]
    assert sum(shown) == head["samples"]
    assert (counts["both"] + counts["candidate_only"]) / head["samples"] == pytest.approx(head["accuracy"])
    assert (counts["both"] + counts["baseline_only"]) / head["samples"] == pytest.approx(head["baseline_accuracy"])


def test_cards_show_both_answers_and_only_those_that_changed_sides(page: str) -> None:
    won, lost = (re.findall(rf"<h2>{title}</h2>.*?</section>", page)[0] for title in ("Won", "Lost"))
    assert won.count('class="rival"') == lost.count('class="rival"') == 4
    assert 'class="card wrong"' not in won
    assert lost.count('class="card wrong"') == 4
    assert re.findall(r'rival">.*?word (\w+)', won) == ["bad"] * 4
    assert re.findall(r'rival">.*?word (\w+)', lost) == ["good"] * 4


def test_sides_are_counted_whole_and_shown_surest_first(made: Example) -> None:
    own, rival, labels = made.predictions.heads["digit"], made.baseline.heads["digit"], made.labels["digit"]
    full, other = "audio+image+text", rival.by_subset["audio+image+text"]
    sides = changed_sides(own, rival, other, labels, made.groups, 600)
    known = labels >= 0
    right, before = (own.by_subset[full] == labels) & known, (other == labels) & known
    assert set(sides.won) == set(np.flatnonzero(right & ~before & known))
    assert set(sides.lost) == set(np.flatnonzero(before & ~right))
    assert (sides.num_won, sides.num_lost) == (len(sides.won), len(sides.lost))
    few = changed_sides(own, rival, other, labels, made.groups, 3)
    assert len(few.won) == 3
    assert len({labels[at] for at in few.won}) == 3
    confidence = rival.probability.max(axis=1)
    assert confidence[few.won[0]] == max(confidence[at] for at in sides.won)


def test_numbers_that_came_nearer_and_farther(made: Example) -> None:
    own, rival, labels = made.predictions.heads["height"], made.baseline.heads["height"], made.labels["height"].copy()
    labels[5] = np.nan
    said, other = own.by_subset["audio+image+text"], rival.by_subset["audio+image+text"]
    sides = changed_sides(own, rival, other, labels, made.groups, 5)
    gain = np.abs(other - labels) - np.abs(said - labels)
    assert sides.num_won + sides.num_lost == 599
    assert gain[sides.won[0]] == np.nanmax(gain)
    assert gain[sides.lost[0]] == np.nanmin(gain)


def test_a_head_that_the_baseline_lacks_is_said_to_have_nothing_to_compare(made: Example) -> None:
    lonely = replace(made, baseline=replace(made.baseline, heads={"digit": made.baseline.heads["digit"]}))
    text = " ".join(read(comparison_of(lonely, report_of(lonely))).text)
    assert "The baseline has no head of this name to compare with." in text


def test_a_model_beside_itself_has_nothing_won_and_nothing_lost(made: Example) -> None:
    same = replace(made, baseline=made.predictions)
    page = comparison_of(same, report_of(same))
    assert page.count('<p class="lead">None.</p>') == 4
    assert "no clear difference" in page


def test_the_two_pages_lead_to_each_other_and_nowhere_else(made: Example, page: str) -> None:
    leading = {(name, value) for element, given in read(page).elements for name, value in given.items() if name in ("href", "src")}
    assert {pair for pair in leading if not str(pair[1]).startswith("data:")} == {("href", "report.html")}
    assert ("href", "comparison.html") in NEIGHBOURS
    assert 'href="comparison.html"' in page_of(made, report_of(made))
    alone = report_of(made, ("digit",), baseline=None)
    del alone["baseline_cost"]
    assert "comparison.html" not in page_of(made, alone)


def test_hostile_strings_stay_text_here_too() -> None:
    classes = (HOSTILE, "a" * 500, "ok")
    made = example(200, classes=classes)
    report = report_of(made)
    report["baseline"]["reference"] = HOSTILE
    report["slices"] = {HOSTILE: {HOSTILE: report["slices"]["voice"]["voice 0"]}}
    report["slicing"] = {HOSTILE: report["slicing"]["voice"]}
    for page in (comparison_of(made, report), page_of(made, report)):
        assert [element for element, _ in read(page).elements].count("script") == 1
        assert HOSTILE in "".join(read(page).text)
