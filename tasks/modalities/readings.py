"""What a loader passes to a reader's `collate`: samples that are read when they are taken.

In: nothing of ours. Out: the protocol. A reader that knows it can lay out the batch first and decode into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol


class Readings(Protocol):
    """What a reader makes of each of B samples, in order, when it is taken; None = the sample lacks the modality."""

    def __len__(self) -> int:
        """B, known before the first is read, so that a batch can be laid out for them."""

    def __iter__(self) -> Iterator[Any | None]: ...

    def into(self, slots: Sequence[Any]) -> Iterator[Any | None]:
        """The same, for a reader whose `read` takes a second argument: the next of `slots`, which it may fill and return.

        `slots` are as many as B; a sample that lacks the modality takes none.
        """
