"""Heads that say how strange a sample is. The metrics need to be told which samples are: a label.

Shapes: N samples, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.ranking import auroc, auroc_parts, average_precision
from tasks.evaluation.scorer import Bools, Columns, Floats, Subject


def _where_both(columns: Columns, weight_RN: Floats) -> Floats:
    """R: average precision; NaN where nothing is strange or everything is, since then there is nothing to rank."""
    strange_N = columns["strange"] > 0
    found_R = average_precision(columns["score"], strange_N, weight_RN)
    return np.where((weight_RN @ ~strange_N) > 0, found_R, np.nan)


class Anomaly:
    """See `tasks.evaluation.scorer.Scorer`. Said is float64 N, true float64 N: 1 strange, 0 not, NaN not known."""

    by_subsets: ClassVar[bool] = True
    formulas: ClassVar[Mapping[str, Callable[[Columns], Any]]] = {}
    weighted: ClassVar[Mapping[str, Callable[[Columns, Floats], Floats]]] = {
        "auroc": lambda columns, weight_RN: auroc(columns["score"], columns["strange"] > 0, weight_RN),
        "average_precision": lambda columns, weight_RN: _where_both(columns, weight_RN),
    }
    parts: ClassVar[Mapping[str, Callable[[Columns], Floats]]] = {
        "auroc": lambda columns: auroc_parts(columns["score"], columns["strange"] > 0)
    }

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def said(self, predicted: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(predicted, dtype=np.float64).reshape(-1)

    def true(self, target: Any) -> NDArray[Any]:
        return np.asarray(target, dtype=np.float64)

    def known(self, true: NDArray[Any]) -> Bools:
        return np.asarray(np.isfinite(true))

    def columns(self, said: NDArray[Any], true: NDArray[Any]) -> dict[str, Floats]:
        return {"score": said, "strange": true}

    def tables(self, said: NDArray[Any], true: NDArray[Any]) -> dict[str, Any]:  # noqa: ARG002 - the signature of every scorer
        return {}

    def details(self, said: NDArray[Any], true: NDArray[Any], groups_N: NDArray[Any], bootstrap: Bootstrap) -> dict[str, Any]:  # noqa: ARG002
        return {"strange": int((true > 0).sum())}

    def translated(self, said: NDArray[Any], other: Anomaly) -> NDArray[Any]:  # noqa: ARG002 - only the order of scores counts
        return said

    def words(self, said: Any) -> str:
        return f"{float(said):.3g}"

    def true_words(self, true: Any) -> str:
        return "" if not np.isfinite(true) else "strange" if true > 0 else "normal"

    def stored(self, said: NDArray[Any]) -> Any:
        """Scores."""
        return pa.array(said, pa.float64())

    def stored_true(self, true: NDArray[Any]) -> Any:
        """1 strange, 0 not."""
        return pa.array(true, pa.float64(), from_pandas=True)
