"""What heads of every kind say, as values for programs and people."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tasks.models.answers import ANSWERS, Asked, HeadPrediction, answered
from tasks.models.heads import HEADS

CLASSES = ["bird", "cat", "dog"]
READER: Any = SimpleNamespace(text=lambda ids: "".join(chr(each) for each in ids if each > 3))


def said(kind: str, output: torch.Tensor, label: dict[str, Any], **config: Any) -> HeadPrediction:
    return answered(output, Asked(label, SimpleNamespace(kind=kind, **config), {"text": READER}))


def test_every_kind_of_head_has_a_way_to_answer() -> None:
    assert set(ANSWERS) == set(HEADS)


def test_several_labels_are_a_list_of_classes_beside_all_probabilities() -> None:
    found = said("multi_label", torch.tensor([[0.5, 0.1, 0.75], [0.0, 0.25, 0.0]]), {"kind": "set", "classes": CLASSES})
    assert found.values == [["bird", "dog"], []]
    assert found.probabilities == [[0.5, pytest.approx(0.1), 0.75], [0.0, 0.25, 0.0]]


def test_tags_leave_out_what_is_no_token() -> None:
    found = said("tagging", torch.tensor([[2, 0, -1], [-1, -1, -1]]), {"kind": "tags", "classes": CLASSES})
    assert found.values == [["dog", "bird"], []]


def test_spans_have_their_class_by_name() -> None:
    spans = torch.tensor([[[1.0, 0.5, 1.5, 0.75], [0.0, 0.1, 0.2, 0.25], [-1.0, -1.0, -1.0, -1.0]]])
    found = said("localisation", spans, {"kind": "spans", "classes": CLASSES}, score_threshold=0.5)
    assert found.values == [[{"class": "cat", "start": 0.5, "end": 1.5, "score": 0.75}]]


def test_texts_are_read_by_the_reader_of_what_the_head_says() -> None:
    found = said("captioning", torch.tensor([[111, 119, 108, 0], [0, 0, 0, 0]]), {"kind": "sequence", "modality": "text"})
    assert found == HeadPrediction(["owl", ""], [])


def test_embeddings_are_those_of_the_modalities_that_a_record_has() -> None:
    values = torch.tensor([[[0.6, 0.8], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
    found = said("retrieval", values, {"kind": "none"}, modalities=("image", "text"))
    assert list(found.values[0]) == ["image"]
    assert found.values[1] == {"image": [1.0, 0.0], "text": [0.0, 1.0]}


def test_a_head_of_the_users_own_is_read_by_its_shape() -> None:
    assert said("my:Mine", torch.tensor([[0.2, 0.5, 0.3]]), {"kind": "category", "classes": CLASSES}).values == ["cat"]
    assert said("my:Mine", torch.tensor([[0.25], [0.5]]), {"kind": "number"}).values == [0.25, 0.5]
    assert said("my:Mine", torch.tensor([[0.25, 0.5]]), {"kind": "none"}).values == [[0.25, 0.5]]
