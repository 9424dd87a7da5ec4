"""One line of the registry of media."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from tasks.contracts import Modality
from tasks.registry import Config, Entry, load


@dataclass(frozen=True)
class ModalityEntry:
    """Configs, implementation and file extensions of one medium."""

    prepare: type[Config]
    fit: type[Config]
    read: type[Config]
    target: str
    """`module:Class`, a `tasks.contracts.Modality` that is made without arguments."""
    version: int
    """Raised whenever the same bytes and the same `prepare` give other bytes."""
    extensions: tuple[str, ...]
    """File extensions of sources, lower case, without the dot."""
    augment: Entry | None = None
    """How reading is varied in training: config, and a `tasks.contracts.Augmenter` made as `Mine(config, reader)`. None = it is not."""

    def load(self) -> Modality:
        """The implementation; imports its libraries. Stateless, so that one serves all threads."""
        return cast(Modality, load(self.target)())
