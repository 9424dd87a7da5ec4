"""Readers that give the same bits in whichever thread they run. Must not import ray or mlflow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from tasks.contracts import ModalityBatch, Reader


class SteadyReader:
    """A reader whose threads take over torch's number of threads before they compute.

    A thread that is new starts with as many as the machine has CPUs, until torch is first asked for the number there; a sound read
    before that moment has other last bits than one read after it (16 of 40 sounds of a test, 2 CPUs against 1 thread).
    """

    def __init__(self, inner: Reader) -> None:
        self.inner = inner
        self.shape = inner.shape

    def read(self, data: bytes) -> Any:
        torch.get_num_threads()  # asking is what makes a thread take the number over
        return self.inner.read(data)

    def collate(self, values: Iterable[Any | None]) -> ModalityBatch:
        return self.inner.collate(values)
