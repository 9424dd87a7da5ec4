"""What spdl's tar reader needs for the same tars, on one core, every byte checksummed.

In: tars. Out: seconds. As a file is the default of its documentation's example; whole is the other form it gives, from a tar that is read
at once, whose members are views. Both call the floor's CRC-32 on every member, since the library checks nothing itself.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from pathlib import Path


def spdl(tars: Sequence[Path]) -> float:
    from spdl.io import iter_tarfile

    begun = time.perf_counter()
    for tar in tars:
        with tar.open("rb") as file:
            for _, data in iter_tarfile(file):
                zlib.crc32(data)
    return time.perf_counter() - begun


def spdl_whole(tars: Sequence[Path]) -> float:
    from spdl.io import iter_tarfile

    begun = time.perf_counter()
    for tar in tars:
        for _, data in iter_tarfile(tar.read_bytes()):
            zlib.crc32(data)
    return time.perf_counter() - begun
