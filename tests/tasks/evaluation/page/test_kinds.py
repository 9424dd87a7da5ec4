"""Cards and sections of heads whose answers are texts or sets."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.page.cards import cards_section, make_card
from tasks.evaluation.page.choose import NUM_RIGHT, choose
from tasks.evaluation.page.kinds import kind_sections
from tasks.evaluation.page.members import Budget
from tasks.evaluation.page.sides import changed_quality
from tasks.evaluation.predict import Predictions
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scorer import Subject
from tasks.evaluation.scorers.multi_label import MultiLabel
from tasks.evaluation.scorers.texts import Texts
from tasks.evaluation.scoring import compared, score_kind

SIZE = 30
TRUE = np.array([f"owl number {at}" for at in range(SIZE)], dtype=object)


def texts(wrong: int) -> HeadPredictions:
    """The first so many are said wrong, the more the earlier."""
    said = np.array([f"owl numb{'x' * (wrong - at)}" if at < wrong else TRUE[at] for at in range(SIZE)], dtype=object)
    scorer = Texts(Subject("caption", {"kind": "sequence"}, SimpleNamespace(), reader=SimpleNamespace(text=str, respelled=str)))  # type: ignore[arg-type]
    return HeadPredictions({"audio": TRUE, "image": said, "audio+image": said}, scorer=scorer, scored_as="captioning")


def predictions(own: HeadPredictions) -> Predictions:
    return Predictions([f"k{at}" for at in range(SIZE)], ("audio", "image"), np.ones((SIZE, 2), dtype=bool), {"caption": own})


def test_good_ones_come_first_and_then_the_worst() -> None:
    own = texts(6)
    given = compared(own, TRUE, None)
    chosen = choose(predictions(own), {"caption": TRUE}, np.arange(SIZE).astype(str), {"caption": given})
    assert all(at >= 6 for at in chosen[:NUM_RIGHT])
    assert chosen[NUM_RIGHT : NUM_RIGHT + 3] == [0, 1, 2], "those with the most wrong characters"


def test_a_card_has_the_true_text_below_a_wrong_one_and_single_modalities_only_where_they_differ() -> None:
    made = predictions(texts(6))
    wrong, right = (cards_section([make_card(at, {}, made, {"caption": TRUE})]) for at in (0, 20))
    assert "owl numbxxxxxx" in wrong
    assert "true: </span>owl number 0" in wrong
    assert "audio alone: </span>owl number 0" in wrong
    assert "image alone" not in wrong
    assert "right</span>" in right
    assert "true: " not in right


def test_samples_that_changed_are_told_by_how_much_better_they_are() -> None:
    sides = changed_quality(compared(texts(2), TRUE, texts(6)), np.arange(SIZE).astype(str), 3)
    assert (sides.num_won, sides.num_lost) == (6, 0)
    assert len(sides.won) == 3


def test_classes_have_a_table_and_names_are_escaped() -> None:
    scorer = MultiLabel(Subject("sets", {"kind": "set", "classes": ["<b>", "owl"]}, SimpleNamespace()))
    true = np.tile(np.array([[1, 0], [1, 1], [0, 1]], dtype=np.float32), (4, 1))
    own = HeadPredictions({"image": true * 0.8}, scorer=scorer, scored_as="multi_label")
    head = score_kind(compared(own, true, None), np.arange(12), Bootstrap(resamples=100))
    drawn = "".join(part or "" for part in kind_sections(head, (), Budget(0)))
    assert "&lt;b&gt;" in drawn
    assert "<b>" not in drawn.replace("<b>100", "")
    assert drawn.count("<h2") == 2
