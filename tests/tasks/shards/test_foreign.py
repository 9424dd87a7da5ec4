"""Samples of pictures, words and sounds, any of which may be absent, as other people's readers see them: the same, sample for sample."""

from __future__ import annotations

import gc
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipeline.store import LocalStore
from tasks.shards.foreign import as_webdataset
from tasks.shards.read import ShardSet
from tests.tasks.shards.corpora import Record, make_shards, picture, write_corpus
from tests.tasks.shards.test_read import LEAVES_FILES_OPEN

EXTENSIONS = {"audio": "flac", "image": "png", "text": "txt"}
SPLITS = ("train", "val", "test")


def sound(seed: int) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, 400 + 10 * seed).astype(np.float32)
    soundfile.write(buffer, noise, 8000, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def members(number: int) -> dict[str, bytes | None]:
    """Every subset of the three but the empty one, in turn."""
    whole = {"audio": sound(number), "image": picture(number), "text": f"Number {number}, größer als {number - 1}\n".encode()}
    return {name: data for place, (name, data) in enumerate(whole.items()) if (number % 7 + 1) >> place & 1}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    records = [Record(f"a/n{number:03d}", members(number), SPLITS[max(0, number % 10 - 7)]) for number in range(84)]
    corpus = write_corpus(folder / "corpus", records)
    prepare: dict[str, Any] = {"audio": {}, "image": {}, "text": {}}
    make_shards(folder / "out", corpus, LocalStore.open(folder / "store"), prepare=prepare, sizes={"min_records": 30, "max_records": 58})
    return folder / "out"


def written(path: Path, split: str) -> list[dict[str, Any]]:
    """Our own reading in the words of WebDataset, in the order of the index."""
    own = ShardSet.open(path)
    samples = own.samples(split, range(own.num_samples(split)))
    return [{"__key__": sample.key, **{EXTENSIONS[name]: data for name, data in sample.members.items()}} for sample in samples]


def test_the_shards_hold_every_combination_of_members(shards: Path) -> None:
    assert len([name for name in (shards / "shards").iterdir() if name.name.startswith("train")]) == 2
    assert len({frozenset(sample) for sample in written(shards, "train")}) == 7
    assert sum(len(written(shards, split)) for split in SPLITS) == 84


@LEAVES_FILES_OPEN
@pytest.mark.parametrize("split", SPLITS)
def test_the_webdataset_library_reads_them_sample_for_sample(shards: Path, split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WDS_SECURE", "1")
    wanted = ("__key__", *EXTENSIONS.values())
    found = [{name: sample[name] for name in wanted if name in sample} for sample in as_webdataset(shards, split)]
    assert found == written(shards, split)
    gc.collect()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
@pytest.mark.parametrize("split", ["train", "val"])
def test_ray_reads_them_sample_for_sample(shards: Path, split: str) -> None:
    import ray

    paths = [str(shards / name) for name in (shards / f"urls-{split}.txt").read_text().split()]
    rows = ray.data.read_webdataset(paths, decoder=None).take_all()
    members = [{name: row.get(name) for name in EXTENSIONS.values()} for row in rows]
    absent = {str(value) for each in members for value in each.values() if not isinstance(value, bytes)}
    assert absent <= {"None", "nan"}, "what Ray puts in the place of an absent member, by the rows that it has put into a block"
    held = [{name: value for name, value in each.items() if isinstance(value, bytes)} for each in members]
    found = [{"__key__": row["__key__"], **each} for row, each in zip(rows, held, strict=True)]
    assert sorted(found, key=lambda row: row["__key__"]) == sorted(written(shards, split), key=lambda row: row["__key__"])
