"""Shards for the readers of other people: pictures, words and sounds, any of which may be absent, and what each sample holds.

In: an empty folder; runs in Medley's own environment. Out: below it `shards/`, copies of the tars, and `expected.json`: split → samples in
the order of the index, each with its key and extension → SHA-256 of the member. `python -m benchmarks.peers.foreign_shards FOLDER`.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.medley import medley
from tasks.shards.read import ShardSet

NUM_SAMPLES = 210
SPLITS = ("train", "val")
RECIPE = """\
name: readers
store: store
steps:
  corpus: {task: ingest, source: {format: folder, path: data}, split: {by: group, val: 0.3}}
  shards: {task: shard, corpus: corpus, prepare: {image: {}, text: {}, audio: {}}, sizes: {min_records: 60, max_records: 110}}
"""


def main(folder: Path) -> None:
    """Make the media, run the recipe, lay the tars bare."""
    folder.mkdir(parents=True)
    for number in range(NUM_SAMPLES):
        write_sample(folder / "data" / f"class{number % 3}", number)
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE)
    subprocess.run([medley(), "run", recipe], check=True)
    plan = json.loads(subprocess.run([medley(), "plan", recipe, "--json"], check=True, capture_output=True).stdout)
    artifact = ShardSet.open(Path(plan["steps"]["shards"]["artifact"]))
    (folder / "shards").mkdir()
    for shard in artifact.meta["shards"]:
        shutil.copyfile(artifact.path / shard["name"], folder / "shards" / Path(shard["name"]).name)
    (folder / "expected.json").write_text(json.dumps({split: expected(artifact, split) for split in SPLITS}, indent=1))


def expected(artifact: ShardSet, split: str) -> list[dict[str, str]]:
    """What the samples of a split hold, as our own reader sees it."""
    extensions = {"image": "png", "text": "txt", "audio": "wav"}
    samples = artifact.samples(split, range(artifact.num_samples(split)))
    return [
        {"__key__": sample.key} | {extensions[name]: hashlib.sha256(data).hexdigest() for name, data in sample.members.items()}
        for sample in samples
    ]


def write_sample(folder: Path, number: int) -> None:
    """Every subset of the three media but the empty one, in turn; two in seven have all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(number)
    present = min(number % 7 + 1, 7) if number % 14 else 7
    if present & 1:
        Image.fromarray(chance.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(folder / f"n{number:03d}.png")
    if present & 2:
        (folder / f"n{number:03d}.txt").write_text(f"Number {number}, größer als {number - 1}", encoding="utf-8")
    if present & 4:
        (folder / f"n{number:03d}.wav").write_bytes(sound(chance.integers(-9000, 9000, 800 + number, dtype=np.int16)))


def sound(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
