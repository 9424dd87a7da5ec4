"""Measures of texts: each against a formula written down again or worked out by hand, and from sums of parts as from the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from torchaudio.functional import edit_distance

from tasks.evaluation.intervals import Bootstrap, resampled_sums
from tasks.evaluation.texts import TextSums, bleu, character_error_rate, exact_match, word_error_rate, words_and_signs

TRUE = ["An owl.", "the cat is on the mat", "Deux pommes, et une poire.", "сова", "two birds sing in a tree"]
SAID = ["An owl.", "the the the cat mat on", "Deux pommes et poires.", "", "two birds sing in one tree now"]


def sums(true: list[str], said: list[str]) -> TextSums:
    return TextSums.of_columns(np.stack([column.sum() for column in TextSums.columns(true, said)]))


def test_error_rates_are_edits_over_what_is_true() -> None:
    measured = sums(TRUE, SAID)
    pairs = list(zip(TRUE, SAID, strict=True))
    assert character_error_rate(measured) == sum(edit_distance(t, s) for t, s in pairs) / sum(len(t) for t in TRUE)
    assert word_error_rate(measured) == sum(edit_distance(t.split(), s.split()) for t, s in pairs) / sum(len(t.split()) for t in TRUE)
    assert exact_match(measured) == 1 / 5


def test_an_error_rate_may_exceed_one_and_nothing_said_is_exactly_one() -> None:
    assert character_error_rate(sums(["ab"], ["cdefg"])) == 2.5
    assert character_error_rate(sums(TRUE, [""] * 5)) == word_error_rate(sums(TRUE, [""] * 5)) == 1.0
    assert bleu(sums(TRUE, [""] * 5)) == 0


def test_bleu_of_the_papers_example_is_worked_out_by_hand() -> None:
    # said: the the the the the the the; true: the cat is on the mat → 2 of 7 unigrams, 0 of 6, 5 and 4: half, quarter and eighth
    expected = 100 * math.exp((math.log(2 / 7) + math.log(0.5 / 6) + math.log(0.25 / 5) + math.log(0.125 / 4)) / 4)
    assert bleu(sums(["the cat is on the mat"], ["the the the the the the the"])) == pytest.approx(expected, abs=1e-9)
    # one word short of true: brevity exp(1 - 6/5); 5 of 5, 4 of 4, 3 of 3, 2 of 2
    assert bleu(sums(["the cat is on the mat"], ["the cat is on the"])) == pytest.approx(100 * math.exp(1 - 6 / 5), abs=1e-9)


def test_bleu_of_a_corpus_adds_up_its_ngrams_before_it_divides() -> None:
    found = bleu(sums(["two birds sing in a tree", "An owl."], ["two birds sing in one tree now", "An owl."]))
    # 7 + 3 said and 6 + 3 true; hits: 5 + 3 of 7 + 3, 3 + 2 of 6 + 2, 2 + 1 of 5 + 1, 1 + 0 of 4 + 0
    expected = 100 * math.exp((math.log(8 / 10) + math.log(5 / 8) + math.log(3 / 6) + math.log(1 / 4)) / 4)
    assert found == pytest.approx(expected, abs=1e-9)
    assert bleu(sums(["a b c d"], ["a b c d"])) == pytest.approx(100)
    assert bleu(sums(["a b c"], ["a b c"])) == 0  # no four words in a row anywhere, as sacrebleu has it
    assert bleu(sums(["a b c d"], ["e f g h"])) == 0


def test_all_resamples_are_scored_at_once_as_one_by_one() -> None:
    columns = np.stack(TextSums.columns(TRUE, SAID), axis=1)
    groups, bootstrap = np.array(["a", "b", "b", "c", "d"]), Bootstrap(resamples=20)
    drawn = resampled_sums(columns, groups, bootstrap)
    for measure in (character_error_rate, word_error_rate, exact_match, bleu):
        at_once = measure(TextSums.of_columns(drawn))
        np.testing.assert_allclose(at_once, [measure(TextSums.of_columns(row)) for row in drawn])
        assert at_once.shape == (20,)


def test_marks_belong_to_the_letters_they_stand_on() -> None:
    assert words_and_signs("हिन्दी में, cafe\u0301 x_1 5 €!") == ["हिन्दी", "में", ",", "café", "x_1", "5", "€", "!"]
    assert words_and_signs("\u0301 a") == ["\u0301", "a"]
    one_wrong = float(bleu(sums(["यह एक लाल उल्लू का चित्र"], ["यह एक लाल चूहा का चित्र"])))
    assert one_wrong == pytest.approx(float(bleu(sums(["a b c d e f"], ["a b c x e f"]))))


def test_no_sample_at_all_gives_zeros() -> None:
    measured = TextSums.of_columns(np.stack([column.sum() for column in TextSums.columns([], [])]))
    assert [float(m(measured)) for m in (character_error_rate, word_error_rate, exact_match, bleu)] == [0, 0, 0, 0]
