from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tasks.evaluation import texts
from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.measures import MEASURED
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scorer import Subject
from tasks.evaluation.scorers.texts import Texts
from tasks.evaluation.scoring import compared, score_kind, value_of_columns
from tasks.modalities.config import TextFit, TextRead
from tasks.modalities.text import Text
from tasks.modalities.text_reader import TextReader

TEXTS = ["an owl eats a red mouse at night"] * 5


def scorer(tokenizer: str = "word", max_tokens: int = 16) -> Texts:
    fit = Text().fit(TextFit(tokenizer=tokenizer), {"count": len(TEXTS)}, lambda: (text.encode() for text in TEXTS))
    reader = TextReader.build(TextRead(max_tokens=max_tokens), fit)
    return Texts(Subject("caption", {"kind": "sequence", "modality": "text"}, SimpleNamespace(), reader=reader))


def test_what_is_true_is_the_stored_text_as_far_as_it_is_read_and_a_sample_without_it_does_not_count() -> None:
    stored = [b"an extraordinary owl, or two", None]
    for tokenizer, expected in {"word": "an extraordinary owl , or two", "byte": "an extraordinary owl, or two"}.items():
        own = scorer(tokenizer, max_tokens=64)
        assert own.true(stored).tolist() == [expected, None]
        assert own.known(own.true(stored)).tolist() == [True, False]
    assert scorer(max_tokens=3).true(stored).tolist() == ["an extraordinary owl", None]
    assert scorer("byte", max_tokens=6).true(stored).tolist() == ["an ext", None]
    assert scorer().true([b""]).tolist() == [""]


def test_token_ids_become_texts() -> None:
    own = scorer()
    ids_T = own._reader.read(b"an owl eats")
    assert own.said(np.array([[*ids_T, 0, 0]])).tolist() == ["an owl eats"]


def test_who_knows_fewer_words_is_not_better_for_it() -> None:
    """A candidate that says `unknown` for each word it lacks, beside a baseline that says the text to the letter."""
    own, other = scorer(), scorer("byte", max_tokens=64)
    true = own.true([b"extraordinary weather, an owl"])
    unknown = own.said(own._reader.read(b"extraordinary weather, an owl")[None])
    assert own.columns(unknown, true)["exact"] == [0]
    right = own.translated(other.said(other._reader.read(b"extraordinary weather, an owl")[None]), other)
    assert own.columns(right, true)["exact"] == [1]


def test_rates_and_bleu_are_those_of_the_sums() -> None:
    true = np.array(["an owl eats a red mouse at night", "a red owl", "night"], dtype=object)
    said = np.array(["an owl eats a mouse at night", "a red owl", ""], dtype=object)
    sums = texts.TextSums.of_columns(np.stack(texts.TextSums.columns(list(true), list(said))).sum(axis=1))
    for kind in ("ctc", "captioning"):
        given = compared(HeadPredictions({"image": said}, scorer=scorer(), scored_as=kind), true, None)
        head = score_kind(given, np.arange(3), Bootstrap(resamples=200))
        assert head["character_error_rate"] == pytest.approx(float(texts.character_error_rate(sums)))
        assert head["word_error_rate"] == pytest.approx(float(texts.word_error_rate(sums)))
        assert head["exact_match"] == pytest.approx(1 / 3)
    assert head["bleu"] == pytest.approx(float(texts.bleu(sums)) / 100)
    assert head["metric"] == "bleu"


def test_of_an_error_rate_the_smallest_is_the_best_single_modality() -> None:
    true = np.array(["an owl", "a mouse"], dtype=object)
    worse = np.array(["an", ""], dtype=object)
    own = HeadPredictions({"audio": true, "image": worse, "audio+image": true}, scorer=scorer(), scored_as="ctc")
    head = score_kind(compared(own, true, None), np.arange(2), Bootstrap(resamples=100))
    assert head["best_single"]["modalities"] == "audio"
    assert head["by_modalities"]["image"]["difference"]["value"] < 0, "the full set errs less"


def test_two_models_are_compared_by_what_they_say_whatever_their_tokens_are() -> None:
    true, said = (np.array([text], dtype=object) for text in ("an owl", "an owl eats"))
    given = compared(
        HeadPredictions({"image": true}, scorer=scorer(), scored_as="ctc"),
        true,
        HeadPredictions({"audio": said}, scorer=scorer(), scored_as="ctc"),
    )
    assert given.rival is not None
    assert value_of_columns("ctc", MEASURED["ctc"].primary, given.rival.columns) == pytest.approx(5 / 6)
