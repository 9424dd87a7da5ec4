"""What a scorer can do: turn what a head of its kind says, and what is true, into columns of one number a sample.

Everything about samples is an array whose first dimension is N, so that the same code cuts, compares and resamples all kinds. Which columns
make which metric is said by `tasks.evaluation.measures` where it is a ratio of sums, else by the scorer itself.

Shapes: N samples, K classes, R resamples.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.contracts import Json, Reader
from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.intervals import Floats as Floats
from tasks.evaluation.measures import MEASURED

Bools = NDArray[np.bool_]
Columns = Mapping[str, Any]
"""Name → N numbers, or NK of a metric that looks at classes; as sums, one number, or one for each resample."""


@dataclass(frozen=True)
class Subject:
    """What a scorer is built for: a head of a loaded model."""

    head: str
    info: Mapping[str, Json]
    """What the head learns from, as `tasks.models.targets.described` says."""
    config: Any
    """The head's."""
    modalities: tuple[str, ...] = ()
    """The model's."""
    reader: Reader | None = None
    """Of the modality that the head learns to say."""


class Scorer(Protocol):
    """Built as `Class(subject)`."""

    by_subsets: ClassVar[bool]
    """Whether it says something of a model that sees only some modalities."""
    formulas: ClassVar[Mapping[str, Callable[[Columns], Any]]]
    """Metric → what it is of sums of `columns`, where it is no plain ratio."""
    weighted: ClassVar[Mapping[str, Callable[[Columns, Floats], Floats]]]
    """Metric → R values of `columns` and `tables` with each sample weighted, RN, where it is no function of sums."""
    parts: ClassVar[Mapping[str, Callable[[Columns], Floats]]]
    """Metric of `weighted` → N numbers whose mean it is, for the gate."""

    def said(self, predicted: NDArray[Any]) -> NDArray[Any]:
        """What the head predicts for a batch, as it is kept."""

    def true(self, target: Any) -> NDArray[Any]:
        """What the labels or the shards say of each sample, as it is kept."""

    def known(self, true: NDArray[Any]) -> Bools:
        """N: the samples that count."""

    def columns(self, said: NDArray[Any], true: NDArray[Any]) -> dict[str, Floats]:
        """Of samples that count; each N."""

    def tables(self, said: NDArray[Any], true: NDArray[Any]) -> dict[str, Any]:
        """What `weighted` needs beside; each NK."""

    def details(self, said: NDArray[Any], true: NDArray[Any], groups_N: NDArray[Any], bootstrap: Bootstrap) -> dict[str, Any]:
        """What a kind's report has beside metrics."""

    def translated(self, said: NDArray[Any], other: Any) -> NDArray[Any] | None:
        """What another model's scorer of this kind kept, in this one's terms; None where it cannot be compared."""

    def words(self, said: Any) -> str:
        """One sample's answer for a person."""

    def true_words(self, true: Any) -> str:
        """What is true of one sample, for a person; empty where nothing is known."""

    def stored(self, said: NDArray[Any]) -> Any:
        """The answers as a column of `predictions.parquet`, a pyarrow array."""

    def stored_true(self, true: NDArray[Any]) -> Any: ...


def scorer_class(kind: str) -> Any:
    """The class of a kind in a report that has one."""
    module, _, name = MEASURED[kind].scorer.partition(":")
    return getattr(importlib.import_module(module), name)
