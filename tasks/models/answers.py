"""What a head predicts, as values that a program or a person can use: strings, lists, numbers.

In: the tensor of a head's `predict` for B records. Out: a value for each record, and the probabilities where there are some. `ANSWERS` is
the table: kind of head → how its tensor becomes values; a head of the user's own is read by its shape. Must not import ray or mlflow.

Shapes: B records, K classes, T tokens, S spans, M modalities, E numbers of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor

from tasks.contracts import Json, Reader

SAID_FROM = 0.5
"""Least probability at which a class of many is said."""


@dataclass(frozen=True)
class HeadPrediction:
    """What one head says of B records."""

    values: list[Any]
    """A class; a number in the label's own unit, or how strange a record is; a text; the classes that are there, or one for each token;
    spans, each with `class`, `start`, `end` and `score`; or modality → embedding, of those that the record has.
    """
    probabilities: list[list[float]] = field(default_factory=list)
    """B × K in the order of the label's classes; empty for other answers."""


@dataclass(frozen=True)
class Asked:
    """The head that predicted."""

    label: Mapping[str, Json]
    """What it learns from, as model.json says."""
    config: Any
    readers: Mapping[str, Reader]

    @property
    def classes(self) -> list[str]:
        return list(self.label.get("classes", ()))


def texts(ids_BT: Tensor, reader: Reader) -> list[str]:
    """What a head that says a modality says of B samples, by that modality's reader."""
    return [cast(Any, reader).text(ids) for ids in ids_BT.tolist()]


def answered(output: Tensor, asked: Asked) -> HeadPrediction:
    """By the kind of head."""
    return ANSWERS.get(asked.config.kind, _by_shape)(output.cpu(), asked)


def _class(probability_BK: Tensor, asked: Asked) -> HeadPrediction:
    classes = asked.classes
    return HeadPrediction([classes[index] for index in probability_BK.argmax(dim=1).tolist()], probability_BK.tolist())


def _number(output_B: Tensor, asked: Asked) -> HeadPrediction:  # noqa: ARG001 - the signature of every kind
    return HeadPrediction([float(value) for value in output_B.reshape(-1)])


def _set(probability_BK: Tensor, asked: Asked) -> HeadPrediction:
    rows = probability_BK.tolist()
    values = [[name for name, chance in zip(asked.classes, row, strict=True) if chance >= SAID_FROM] for row in rows]
    return HeadPrediction(values, rows)


def _tags(class_BT: Tensor, asked: Asked) -> HeadPrediction:
    classes = asked.classes
    return HeadPrediction([[classes[index] for index in row if index >= 0] for row in class_BT.tolist()])


def _spans(span_BS4: Tensor, asked: Asked) -> HeadPrediction:
    classes, least = asked.classes, asked.config.score_threshold

    def read(rows: Iterable[list[float]]) -> list[dict[str, Any]]:
        return [
            {"class": classes[int(number)], "start": start, "end": end, "score": score}
            for number, start, end, score in rows
            if number >= 0 and score >= least
        ]

    return HeadPrediction([read(rows) for rows in span_BS4.tolist()])


def _text(ids_BT: Tensor, asked: Asked) -> HeadPrediction:
    return HeadPrediction(texts(ids_BT, asked.readers[asked.label["modality"]]))


def _embeddings(values_BME: Tensor, asked: Asked) -> HeadPrediction:
    modalities = asked.config.modalities
    return HeadPrediction([{name: row for name, row in zip(modalities, rows, strict=True) if any(row)} for rows in values_BME.tolist()])


def _by_shape(output: Tensor, asked: Asked) -> HeadPrediction:
    """Of a head of the user's own: a class where it gives a number for each, a number, or whatever it is as lists."""
    if asked.label["kind"] == "category" and output.shape[1:] == (len(asked.classes),):
        return _class(output, asked)
    return _number(output, asked) if output.numel() == len(output) else HeadPrediction(output.tolist())


ANSWERS: dict[str, Callable[[Tensor, Asked], HeadPrediction]] = {
    "classification": _class,
    "question_answering": _class,
    "regression": _number,
    "multi_label": _set,
    "tagging": _tags,
    "localisation": _spans,
    "anomaly": _number,
    "ctc": _text,
    "captioning": _text,
    "retrieval": _embeddings,
}
