"""Lists of names as columns of `predictions.parquet`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def class_lists(chosen_NK: NDArray[np.bool_], known_N: NDArray[np.bool_], classes: Sequence[str]) -> Any:
    """For each sample the names of its classes, in their order; null where nothing is known."""
    rows = [
        [classes[at] for at in np.flatnonzero(chosen_K).tolist()] if known else None
        for chosen_K, known in zip(chosen_NK, known_N, strict=True)
    ]
    return pa.array(rows, pa.list_(pa.string()))


def token_lists(index_NT: NDArray[np.int64], known_N: NDArray[np.bool_], classes: Sequence[str]) -> Any:
    """For each sample the class of each of its tokens, without padding."""
    rows = [
        [classes[at] for at in index_T if at >= 0] if known else None for index_T, known in zip(index_NT.tolist(), known_N, strict=True)
    ]
    return pa.array(rows, pa.list_(pa.string()))
