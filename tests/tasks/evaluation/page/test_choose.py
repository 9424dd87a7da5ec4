from __future__ import annotations

import numpy as np

from tasks.evaluation.page.choose import NUM_RIGHT, NUM_WRONG, choose
from tasks.evaluation.predict import Predictions
from tests.tasks.evaluation.example import example

FULL = "audio+image+text"


def test_right_ones_come_first_and_then_errors() -> None:
    made = example(600)
    chosen = choose(made.predictions, made.labels, made.groups)
    is_right = [made.predictions.heads["digit"].by_subset[FULL][at] == made.labels["digit"][at] for at in chosen]
    assert is_right == [True] * NUM_RIGHT + [False] * NUM_WRONG
    assert len(set(chosen)) == len(chosen)


def test_classes_and_groups_are_spread() -> None:
    made = example(600)
    chosen = choose(made.predictions, made.labels, made.groups)
    assert len({made.labels["digit"][at] for at in chosen[:NUM_RIGHT]}) == NUM_RIGHT
    assert len({made.groups[at] for at in chosen[NUM_RIGHT:]}) == NUM_WRONG


def test_the_first_error_is_the_most_confident_one() -> None:
    made = example(600)
    head = made.predictions.heads["digit"]
    wrong = (head.by_subset[FULL] != made.labels["digit"]) & (made.labels["digit"] >= 0)
    assert head.probability is not None
    confidence = np.where(wrong, head.probability.max(axis=1), 0)
    assert choose(made.predictions, made.labels, made.groups)[NUM_RIGHT] == int(confidence.argmax())


def test_samples_without_a_label_are_not_chosen() -> None:
    made = example(600)
    assert all(made.labels["digit"][at] >= 0 for at in choose(made.predictions, made.labels, made.groups))


def test_a_small_split_gives_what_it_has() -> None:
    made = example(5)
    assert len(choose(made.predictions, made.labels, made.groups)) == 4


def test_for_numbers_the_largest_errors_come_last() -> None:
    made = example(300)
    only = Predictions(
        made.predictions.keys, made.predictions.modalities, made.predictions.present, {"height": made.predictions.heads["height"]}
    )
    chosen = choose(only, made.labels, made.groups)
    error = np.abs(only.heads["height"].by_subset[FULL] - made.labels["height"])
    assert len(chosen) == NUM_RIGHT + NUM_WRONG
    assert chosen[NUM_RIGHT] == int(error.argmax())
    assert min(error[chosen[NUM_RIGHT:]]) > max(error[chosen[:NUM_RIGHT]])
