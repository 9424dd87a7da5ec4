from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tasks.evaluation import texts
from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.measures import MEASURED
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scorer import Subject
from tasks.evaluation.scorers.texts import Texts
from tasks.evaluation.scoring import compared, score_kind, value_of_columns
from tasks.models.contracts import Sequence

WORDS = ("", "", "", "", "an", "owl", "eats", "a", "red", "mouse", "at", "night")


def scorer() -> Texts:
    reader = SimpleNamespace(text=lambda ids: " ".join(WORDS[int(each)] for each in ids if int(each) > 3))
    return Texts(Subject("caption", {"kind": "sequence", "modality": "text"}, SimpleNamespace(), reader=reader))  # type: ignore[arg-type]


def test_token_ids_become_texts_and_a_sample_without_the_target_does_not_count() -> None:
    own = scorer()
    target = Sequence(torch.tensor([[2, 4, 5, 3], [4, 0, 0, 0]]), torch.tensor([4, 1]), torch.tensor([True, False]))
    assert own.true(target).tolist() == ["an owl", None]
    assert own.known(own.true(target)).tolist() == [True, False]
    assert own.said(np.array([[4, 5, 6, 0, 0]])).tolist() == ["an owl eats"]


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
