"""Does sharding ten times as many pictures take more memory in a worker, or spill the object store?

The shard step over Ray with two workers, on N pictures and on 10 N; the kernel's own peak of resident memory (`VmHWM`) of every worker
process, read until it ends, and Ray's count of spilled bytes. Goals: the larger run's peak at most 1.10 of the smaller one's, nothing
spilled. One pair a round: a peak needs no more than a few.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import measure, sides
from benchmarks.pictures import make_media, write_corpus
from tasks.shard import ShardConfig

SMALL = 1_200
TIMES = 10
ROUNDS = 3
CONFIG = ShardConfig.model_validate(
    {"prepare": {"image": {"size": [224, 224]}, "text": {}}, "sizes": {"min_records": 150, "max_records": 300}}
)
POLL_S = 0.1


def run(rounds: int, small: int = SMALL) -> dict[str, Any]:
    """The ratio of peaks, the peaks in MB, and spilled bytes."""
    with tempfile.TemporaryDirectory(prefix="medley-memory-") as name, sides.processes() as pool:
        folder = Path(name)
        rows = make_media(folder / "media", small * TIMES, pool)
        corpora = {count: write_corpus(folder / f"corpus-{count}", folder / "media", rows[:count]) for count in (small, small * TIMES)}
        ways = {f"of_{count}": lambda corpus=corpus: _peak_mb(folder, corpus) for count, corpus in corpora.items()}
        peaks = measure.interleave(min(rounds, ROUNDS), ways)
        spilled = _spilled_bytes()
    few, many = peaks.values()
    ratios = {
        "growth": measure.median([large / little for little, large in zip(few, many, strict=True)], goal=1.10),
        "spilled_bytes": measure.metric(spilled, spilled, spilled, goal=0),
        **{f"worker_peak_mb_{name}": measure.median(values) for name, values in peaks.items()},
    }
    return {"name": "memory", "ok": all(entry["ok"] for entry in ratios.values()), "ratios": ratios}


def _peak_mb(folder: Path, corpus: Any) -> float:
    with _watched() as peaks:
        sides.medley(folder, corpus, CONFIG)
    if not peaks:
        raise RuntimeError("no worker process was seen")
    return max(peaks.values()) / 1e3


@contextlib.contextmanager
def _watched() -> Iterator[dict[int, int]]:
    """Process → its peak in kB, of the workers that build shards, for the length of a block."""
    peaks: dict[int, int] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_S):
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError, ValueError):
                    if b"UnitBuilder" in (process / "cmdline").read_bytes():
                        status = (process / "status").read_text()
                        peaks[int(process.name)] = int(status.split("VmHWM:")[1].split()[0])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


def _spilled_bytes() -> float:
    import ray
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    state = get_state_from_address(ray.get_runtime_context().gcs_address)
    return float(get_memory_info_reply(state).store_stats.spilled_bytes_total)
