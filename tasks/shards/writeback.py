"""Telling the kernel to begin with a long file's way to the disk while it is still being written.

In: an open file. Out: nothing: no promise that anything is on the disk, which only the fsync of publishing gives, and no error, which that
fsync reports. It then has little left to wait for: 8 ms instead of 20 for 30 MB, on the disk it was measured on. Where the system has no
`sync_file_range(2)`, nothing happens. Must not import ray or torch.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import BinaryIO

EVERY_BYTES = 4 << 20
"""How much is worth a call."""
_SYNC_FILE_RANGE_WRITE = 2


def begin_writing(file: BinaryIO) -> None:
    """Start, without waiting, to write what the file has handed to the kernel. Costs microseconds."""
    call = _system_call()
    if call is not None:
        call(file.fileno(), 0, 0, _SYNC_FILE_RANGE_WRITE)


@functools.cache
def _system_call() -> Callable[[int, int, int, int], int] | None:
    function = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if function is None:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    call: Callable[[int, int, int, int], int] = function
    return call
