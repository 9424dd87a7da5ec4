"""MLflow is told what a served model gives, for every kind of head."""

from __future__ import annotations

import pandas as pd
import pytest
from mlflow.models.signature import infer_signature
from mlflow.types.schema import Array, DataType

from tasks.models.answers import HeadPrediction
from tasks.models.heads import HEADS
from tasks.tracking.answer_types import answer_types
from tests.tasks.tracking.mlflow_fixtures import QUIET

pytestmark = QUIET

SPAN = {"class": "bell", "start": 0.5, "end": 1.0, "score": 0.9}
SAID = {
    "classification": HeadPrediction(["bird"], [[0.5, 0.5]]),
    "question_answering": HeadPrediction(["bird"], [[0.5, 0.5]]),
    "regression": HeadPrediction([1.5]),
    "anomaly": HeadPrediction([1.5]),
    "multi_label": HeadPrediction([["bird", "cat"]], [[0.5, 0.5]]),
    "tagging": HeadPrediction([["bird", "cat"]]),
    "localisation": HeadPrediction([[SPAN]]),
    "ctc": HeadPrediction(["an owl"]),
    "captioning": HeadPrediction(["an owl"]),
    "retrieval": HeadPrediction([{"image": [0.6, 0.8], "text": [1.0, 0.0]}]),
}
"""One record's answer of each kind, as `tasks.models.answers` gives it."""


def test_every_kind_of_head_has_an_example() -> None:
    assert set(SAID) == set(HEADS)


@pytest.mark.parametrize("kind", [kind for kind in SAID if kind != "retrieval"])
def test_the_type_is_what_mlflow_itself_finds_in_an_answer(kind: str) -> None:
    value, has_probabilities = answer_types({"kind": kind}, {"kind": "category"})
    assert value == infer_signature(pd.DataFrame({"answer": SAID[kind].values})).inputs.inputs[0].type
    assert has_probabilities is bool(SAID[kind].probabilities)


def test_embeddings_of_a_modality_may_be_missing() -> None:
    """What MLflow finds in one answer says nothing of others, so it takes both for required."""
    value, _ = answer_types({"kind": "retrieval", "between": ["text", "image"]}, {"kind": "none"})
    assert [(each.name, each.required, each.dtype) for each in value.properties] == [
        ("image", False, Array(DataType.double)),
        ("text", False, Array(DataType.double)),
    ]


def test_a_head_of_the_users_own_is_taken_by_its_label() -> None:
    assert answer_types({"kind": "my:Mine"}, {"kind": "category"}) == (DataType.string, True)
    assert answer_types({"kind": "my:Mine"}, {"kind": "none"}) == (None, False)
