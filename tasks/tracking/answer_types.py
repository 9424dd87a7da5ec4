"""The types of what a served model gives, in MLflow's words, by the kind of head; `tasks.models.answers` says what the values are.

In: a head as model.json has it, and what it learns from. Out: the type of its values, None where only the head itself knows, and whether it
has probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlflow.types.schema import Array, DataType, Object, Property

Head = Mapping[str, Any]


def answer_types(head: Head, label: Head) -> tuple[Any, bool]:
    """`head`: its config."""
    known = _TYPES.get(head.get("kind", ""))
    if known is None:  # one of the user's own, whose label says what it is most likely to give
        return {"category": DataType.string, "number": DataType.double}.get(label["kind"]), label["kind"] == "category"
    return known(head), head["kind"] in _WITH_PROBABILITIES


def _string(head: Head) -> Any:  # noqa: ARG001 - the signature of every kind
    return DataType.string


def _double(head: Head) -> Any:  # noqa: ARG001
    return DataType.double


def _strings(head: Head) -> Any:  # noqa: ARG001
    return Array(DataType.string)


def _spans(head: Head) -> Any:  # noqa: ARG001
    return Array(Object([Property("class", DataType.string), *(Property(name, DataType.double) for name in ("start", "end", "score"))]))


def _embeddings(head: Head) -> Any:
    return Object([Property(name, Array(DataType.double), required=False) for name in sorted(head["between"])])


_TYPES: dict[str, Callable[[Head], Any]] = {
    "classification": _string,
    "question_answering": _string,
    "regression": _double,
    "multi_label": _strings,
    "tagging": _strings,
    "localisation": _spans,
    "anomaly": _double,
    "ctc": _string,
    "captioning": _string,
    "retrieval": _embeddings,
}
_WITH_PROBABILITIES = {"classification", "question_answering", "multi_label"}
