from __future__ import annotations

import re
from dataclasses import replace

from tasks.drift.compare import compare
from tasks.drift.words import headline, notes_of, sentence, sentences, size
from tests.tasks.drift.corpora import toy


def test_the_headline_names_what_moved_and_what_did_not() -> None:
    assert headline(compare(toy(200, 0), toy(200, 1))) == "Nothing moved"
    assert headline(compare(toy(200, 0), toy(200, 1, image_a=1.0))) == "Image moved; text and labels did not"
    assert headline(compare(toy(200, 0), toy(200, 1, image_a=1.0, text_a=3.0))) == "Text and image moved; labels did not"


def test_a_sentence_says_from_what_to_what_and_how_sure_it_is() -> None:
    told = sentence(compare(toy(500, 0), toy(500, 1, image_a=2.0)), "image")
    assert re.match(r"Image moved \(large\): a rose from −?0\.0\d+ to [12]\.\d+ \(medians\) \(PSI \d\.\d+, p < 0\.0001\)", told)


def test_what_did_not_move_says_how_many_tests_there_were() -> None:
    assert re.fullmatch(r"Image did not move \(4 tests, smallest corrected p = 1\)\.", sentence(compare(toy(90, 0), toy(90, 1)), "image"))


def test_those_that_moved_most_come_first() -> None:
    told = sentences(compare(toy(300, 0), toy(300, 1, image_a=1.0, text_a=3.0)))
    assert [line.split()[0] for line in told] == ["Text", "Image", "Labels"]


def test_words_for_sizes_are_the_usual_ones() -> None:
    assert [size(effect) for effect in (0.05, 0.1, 0.2, 0.25, 7.0)] == ["small", "moderate", "moderate", "large", "large"]


def test_unusable_members_are_noted_with_an_example() -> None:
    facts = {**replace(toy(40, 0)).facts, "unusable": 2, "examples": ["k1: image: it is cut off"]}
    assert notes_of([("the new data", facts), ("the reference", toy(40, 1).facts)]) == [
        "the new data: 2 of the chosen samples have a member that cannot be used, such as k1: image: it is cut off"
    ]
