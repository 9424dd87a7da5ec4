"""Memory of batches that is used again once nobody holds the batch.

In: shapes. Out: arrays of undefined content. The operating system hands fresh memory out page by page and zeroed: for a batch of 64
pictures of 224 × 224 that is 0.5 ms as uint8 and 7 ms as float32, which would be taken and given back for each batch. Must not import
ray or torch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_SPARE = 4
"""Blocks that are kept for later; what comes back beyond is given to the operating system."""


class _Lent:
    """What an array, and so each view and tensor of it, holds as the owner of its memory; when the last of them goes, so does this.

    A view of the block could not be told from others: numpy lets views of views hold the block itself.
    """

    def __init__(self, block: npt.NDArray[np.uint8], back: Callable[[npt.NDArray[np.uint8]], None]) -> None:
        self.__array_interface__ = block.__array_interface__
        self._block, self._back = block, back

    def __del__(self) -> None:
        self._back(self._block)


class Reused:
    """Arrays whose memory comes back when the last view or tensor of it is gone. Thread-safe. Pickles as an empty one."""

    def __init__(self) -> None:
        self._spare: list[npt.NDArray[np.uint8]] = []
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Reused, ()

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """As `np.empty`; the block is the one that came back last, which is most likely in the processor's cache."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.asarray(_Lent(self._taken(size), self._back)).view(dtype).reshape(shape)

    # Garbage may be collected in the middle of either, and bring back another block in the same thread. So none counts on what it saw: at
    # worst such a block is not kept.

    def _taken(self, size: int) -> npt.NDArray[np.uint8]:
        with self._lock:
            fitting = [block for block in self._spare if block.nbytes == size]
            if not fitting:
                return np.empty(size, dtype=np.uint8)
            self._spare = [block for block in self._spare if block is not fitting[-1]]
            return fitting[-1]

    def _back(self, block: npt.NDArray[np.uint8]) -> None:
        with self._lock:
            self._spare = [*self._spare, block][-MAX_SPARE:]
