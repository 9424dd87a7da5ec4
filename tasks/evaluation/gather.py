"""What one head says, batch after batch, put together for a whole split.

In: what a head makes of a batch, for each subset of modalities. Out: `HeadPredictions`. Which form it has depends on the kind of head: a
class and its probabilities, a number, what the kind's scorer keeps, or for a head of the user's own that fits none of these its loss alone.

Shapes: N samples, B batch, K classes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.contracts import Batch
from tasks.evaluation.measures import MEASURED, UNMEASURED, kind_of
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scorer import Scorer, Subject, scorer_class

if TYPE_CHECKING:
    from tasks.models.load import LoadedModel


@dataclass
class Gathering:
    """Fills up while batches come."""

    name: str
    head_kind: str
    kind: str
    """In the report; empty = of the user's own, and seen from its first answer."""
    classes: tuple[str, ...]
    scorer: Scorer | None
    said: dict[str, list[NDArray[Any]]] = field(default_factory=lambda: defaultdict(list))
    probability: list[NDArray[np.float32]] = field(default_factory=list)
    loss: float = 0.0
    weight: float = 0.0

    def add(self, subset: str, predicted: torch.Tensor, kept_B: NDArray[np.bool_], *, is_full: bool) -> None:
        """What the head predicts for a batch."""
        self.kind = self.kind or _seen(predicted, kept_B.size, self.classes)
        if self.kind == UNMEASURED or (self.scorer is not None and not self.scorer.by_subsets and not is_full):
            return
        if self.scorer is not None:
            self.said[subset].append(self.scorer.said(predicted.cpu().numpy()[kept_B]))
            return
        values, probability = _values(predicted, self.kind == "category")
        self.said[subset].append(values[kept_B])
        if is_full and probability is not None:
            self.probability.append(probability[kept_B])

    def add_loss(self, model: Any, output: Any, batch: Batch) -> None:
        """Of a head that has no metrics here, where the batch has what it learns from."""
        if self.kind == UNMEASURED and (model.learns_from[self.name] != "label" or self.name in batch.labels):
            found = model.head(self.name).loss(output, model.target(self.name, batch), batch.weight)
            self.loss += float(found.total)
            self.weight += float(found.weight)

    def finished(self) -> HeadPredictions:
        return HeadPredictions(
            {name: stacked(parts) for name, parts in self.said.items()},
            self.classes if self.kind == "category" else (),
            np.concatenate(self.probability) if self.probability else None,
            self.scorer,
            self.kind,
            self.loss / self.weight if self.weight else None,
            self.head_kind,
        )


def gathering(loaded: LoadedModel, head: str) -> Gathering:
    """An empty one for a head of a model."""
    info, config = loaded.labels[head], loaded.config.heads[head]
    kind = kind_of(config.kind)
    scorer = scorer_of(loaded, head) if kind in MEASURED and MEASURED[kind].scorer else None
    classes = tuple(info.get("classes", ())) if info["kind"] == "category" else ()
    return Gathering(head, config.kind, "" if kind == UNMEASURED else kind, classes, scorer)


def scorer_of(loaded: LoadedModel, head: str) -> Scorer:
    """The scorer of a head whose kind has one."""
    info, config = loaded.labels[head], loaded.config.heads[head]
    reader = loaded.readers.get(info.get("modality", ""))
    built: Scorer = scorer_class(kind_of(config.kind))(Subject(head, info, config, loaded.modalities, reader))
    return built


def stacked(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Batches to one array; where their second dimension differs, rows are filled up with -1."""
    width = max((part.shape[1] for part in parts if part.ndim > 1), default=0)
    return np.concatenate([_wide(part, width) for part in parts])


def _wide(part: NDArray[Any], width: int) -> NDArray[Any]:
    if part.ndim < 2 or part.shape[1] == width:
        return part
    return np.pad(part, [(0, 0), (0, width - part.shape[1]), *[(0, 0)] * (part.ndim - 2)], constant_values=-1)


def _seen(predicted: Any, size: int, classes: Sequence[str]) -> str:
    """What an answer of a head of the user's own can be measured as."""
    if not isinstance(predicted, torch.Tensor) or predicted.shape[:1] != (size,):
        return UNMEASURED
    if classes and predicted.shape == (size, len(classes)):
        return "category"
    return "number" if not classes and predicted.numel() == size else UNMEASURED


def _values(predicted: torch.Tensor, is_category: bool) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """The predicted class and its probabilities, or the number."""
    if not is_category:
        return predicted.reshape(-1).double().cpu().numpy(), None
    probability_BK = predicted.float().cpu()
    return probability_BK.argmax(dim=1).numpy(), probability_BK.numpy()
