"""What one head of a model says of the samples of a split, for each subset of modalities. Filled by `tasks.evaluation.gather`.

Shapes: N samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.scorer import Scorer


@dataclass(frozen=True)
class HeadPredictions:
    """One head's word on N samples."""

    by_subset: dict[str, NDArray[Any]]
    """Subset → class indices int64 N, numbers float64 N in the label's unit, or what the scorer keeps. The full set is the last."""
    classes: tuple[str, ...] = ()
    """Of a category; else empty."""
    probability: NDArray[np.float32] | None = None
    """Of a category, with the full set of modalities."""
    scorer: Scorer | None = None
    """Of the other kinds in `MEASURED`."""
    scored_as: str = ""
    """The kind in a report; empty = a category where there are classes, else a number."""
    loss: float | None = None
    """Of a head that is measured by nothing else; mean over the samples it counts."""
    head_kind: str = ""
    """As the model's config has it."""

    @property
    def kind(self) -> str:
        return self.scored_as or ("category" if self.classes else "number")

    @property
    def full(self) -> NDArray[Any]:
        """With all modalities."""
        return list(self.by_subset.values())[-1]

    def rows(self, chosen_N: NDArray[np.bool_]) -> HeadPredictions:
        """The samples where `chosen_N` is true."""
        probability = None if self.probability is None else self.probability[chosen_N]
        by_subset = {name: values[chosen_N] for name, values in self.by_subset.items()}
        return HeadPredictions(by_subset, self.classes, probability, self.scorer, self.scored_as, self.loss, self.head_kind)
