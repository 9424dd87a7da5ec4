"""The tars of a shard set, the last used ones open.

In: names of tars. Out: ranges of their bytes, by `pread`, from many threads. Must not import ray or torch.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from tasks.errors import CorruptArtifact

MAX_OPEN_FILES = 256


class _Descriptor:
    """An open file that closes when nobody reads from it any more, so that evicting one never hurts a reader."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


class OpenTars:
    """Tars below a folder. One that is not open is opened when it is read from."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._names = names
        self._paths = [folder / name for name in names]
        self._open: OrderedDict[int, _Descriptor] = OrderedDict()
        self._lock = threading.Lock()

    def name(self, shard: int) -> str:
        return self._names[shard]

    def read(self, shard: int, offset: int, size: int) -> bytes:
        """Raises CorruptArtifact when the tar is missing or too short."""
        path = self._paths[shard]
        try:
            descriptor = self._descriptor(shard, path)
            data = os.pread(descriptor.number, size, offset)
            while len(data) < size:
                more = os.pread(descriptor.number, size - len(data), offset + len(data))
                if not more:
                    raise CorruptArtifact(f"{path} ends before byte {offset + size}; run the shard step anew")
                data += more
        except OSError as error:
            raise CorruptArtifact(f"{path} cannot be read: {error.strerror}") from error
        return data

    def _descriptor(self, shard: int, path: Path) -> _Descriptor:
        with self._lock:
            descriptor = self._open.get(shard)
            if descriptor is None:
                descriptor = self._open[shard] = _Descriptor(path)
                if len(self._open) > MAX_OPEN_FILES:
                    self._open.popitem(last=False)
            else:
                self._open.move_to_end(shard)
            return descriptor
