"""Megatron-Energon's own loader on our tars: every sample, every member, byte for byte, absent ones absent.

In: the folder that `foreign_shards` made; runs in the peers' environment. `energon prepare` indexes a copy of the tars, which are read as
crude samples and not decoded. Exit code 0: what it gave is what was expected, for validation (in order) and for training (each once).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from megatron.energon import (
    Cooker,
    DefaultTaskEncoder,
    WorkerConfig,
    basic_sample_keys,
    edataclass,
    get_loader,
    get_train_dataset,
    get_val_dataset,
    stateless,
)
from megatron.energon.flavors import Sample

MEMBERS = ("png", "txt", "wav")
SPLITS = ("train", "val")


@edataclass
class Members(Sample):
    """One sample as it lies in the tar."""

    digests: dict[str, str]


@stateless
def cook(sample: dict[str, Any]) -> Members:
    return Members(
        **basic_sample_keys(sample), digests={name: hashlib.sha256(sample[name]).hexdigest() for name in MEMBERS if name in sample}
    )


class AsTheyAre(DefaultTaskEncoder):
    """Nothing is decoded or put into batches."""

    decoder = None
    cookers = [Cooker(cook)]  # noqa: RUF012


def main(folder: Path) -> int:
    copy = folder / "energon"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder / "shards", copy)
    parts = [part for split in SPLITS for part in ("--split-parts", f"{split}:{split}-.*\\.tar")]
    energon = Path(sys.executable).with_name("energon")
    subprocess.run(
        [energon, "prepare", copy, "--non-interactive", *parts, "--sample-type", "CrudeWebdataset", "--num-workers", "1"], check=True
    )
    expected = json.loads((folder / "expected.json").read_text())
    worker = WorkerConfig(rank=0, world_size=1, num_workers=0)
    validation = get_val_dataset(copy, worker_config=worker, batch_size=None, task_encoder=AsTheyAre())
    training = get_train_dataset(
        copy, worker_config=worker, batch_size=None, shuffle_buffer_size=None, max_samples_per_sequence=None, task_encoder=AsTheyAre()
    )
    found = {"val": list(get_loader(validation)), "train": list(itertools.islice(get_loader(training), len(expected["train"])))}
    wrong = 0
    for split in SPLITS:
        wanted = {sample.pop("__key__"): sample for sample in expected[split]}
        keys = [sample.__key__.rpartition(".tar/")[2] for sample in found[split]]
        fine = {key: sample.digests for key, sample in zip(keys, found[split], strict=True)} == wanted and len(keys) == len(wanted)
        fine = fine and (split == "train" or keys == list(wanted))
        wrong += not fine
        print(f"energon {split}: {len(keys)} samples of {len(wanted)}, {'the same' if fine else 'NOT the same'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
