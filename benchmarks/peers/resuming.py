"""How torchdata's StatefulDataLoader resumes over a webdataset pipeline.

In: a shard set and a step. Out: seconds until the first batch is there after `load_state_dict`, with workers as its documentation starts
them (two processes; starting them is in the time, since they can't be kept over a load). webdataset has no state of its own, so the loader
reads, decodes and drops what was seen. Runs in a process without threads, since the loader forks:

    python -m benchmarks.peers.resuming SHARDS BATCH_SIZE STEP   # prints the seconds
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.peers import loading
from tasks.shards.read import ShardSet


def torchdata(shards: Path, batch_size: int, step: int) -> float:
    """RuntimeError with the end of the output when it fails."""
    command = [sys.executable, "-m", __name__, str(shards), str(batch_size), str(step)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode:
        raise RuntimeError(f"torchdata failed:\n{outcome.stderr[-2000:]}")
    return float(outcome.stdout.splitlines()[-1])


def _loader(shards: ShardSet, decode: loading.Decode, batch_size: int) -> Any:
    from torchdata.stateful_dataloader import StatefulDataLoader

    return StatefulDataLoader(loading.pipeline(shards, decode, batch_size), batch_size=None, num_workers=2)


def main() -> None:
    from benchmarks.loader import CONFIG
    from tasks.contracts import Fit
    from tasks.modalities.image_reader import ImageReader

    shards, decode = ShardSet.open(Path(sys.argv[1])), ImageReader.build(CONFIG, Fit()).read
    batch_size, step = int(sys.argv[2]), int(sys.argv[3])
    loader = _loader(shards, decode, batch_size)
    batches = iter(loader)
    for _ in range(step):
        next(batches)
    state = loader.state_dict()
    del batches
    begun = time.perf_counter()
    loader = _loader(shards, decode, batch_size)
    loader.load_state_dict(state)
    next(iter(loader))
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    main()
