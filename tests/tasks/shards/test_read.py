"""Indexed reading, beside the webdataset library and Ray as references."""

from __future__ import annotations

import gc
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.errors import CorruptArtifact, InputError
from tasks.shards import open_tars, read
from tasks.shards.foreign import as_webdataset
from tasks.shards.read import ShardSet
from tests.tasks.shards.corpora import picture

LEAVES_FILES_OPEN = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore:Exception ignored in.*FileIO:pytest.PytestUnraisableExceptionWarning"
)
"""The webdataset library leaves closing its files to the garbage collector."""

EXTENSIONS = {"image": "png", "text": "txt"}


def as_others_see_it(path: Path, split: str) -> list[dict[str, Any]]:
    """Our own reading in the words of WebDataset."""
    shards = ShardSet.open(path)
    samples = shards.samples(split, range(shards.num_samples(split)))
    return [{"__key__": sample.key, **{EXTENSIONS[name]: data for name, data in sample.members.items()}} for sample in samples]


def test_a_sample_has_the_bytes_of_its_record(made: Path) -> None:
    shards = ShardSet.open(made)
    for split, count in (("train", 90), ("val", 10), ("test", 10)):
        assert shards.num_samples(split) == count
        for sample in shards.samples(split, range(count)):
            number = int(sample.key[1:])
            assert sample.members["text"] == f"Text number {number}".encode()
            assert sample.members.get("image") == (picture(number) if number % 3 == 0 else None)


def test_members_with_the_same_bytes_have_the_same_number_and_no_others_do(made: Path) -> None:
    shards = ShardSet.open(made)
    for split in shards.splits:
        numbers = shards.contents(split)
        for modality in shards.modalities:
            members = [sample.members.get(modality) for sample in shards.samples(split, range(shards.num_samples(split)))]
            first = dict(zip(reversed(members), reversed(numbers[modality].tolist()), strict=True))
            assert [first[data] for data in members] == numbers[modality].tolist()
            assert len(set(first.values())) == len(first)
            assert first.get(None, -1) == -1
    assert len(set(shards.contents("train")["image"].tolist())) < shards.num_samples("train")


def test_positions_may_come_in_any_order_and_modalities_may_be_chosen(made: Path) -> None:
    shards = ShardSet.open(made)
    keys = shards.keys("train")
    wanted = [40, 3, 3, 89]
    samples = shards.samples("train", wanted, modalities=("image",))
    assert [sample.key for sample in samples] == [keys[position] for position in wanted]
    assert {name for sample in samples for name in sample.members} <= {"image"}


@pytest.mark.parametrize("at_once", [1, 7, 1024])
@pytest.mark.parametrize("gap_bytes", [0, 1 << 14])
def test_a_stream_has_the_same_samples_however_much_is_read_at_once(
    made: Path, at_once: int, gap_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = ShardSet.open(made)
    wanted = [*range(90), 5, 4, 3, 3, 88, 0]
    expected = [shards.samples("train", [position])[0] for position in wanted]
    assert shards.keys("train", np.array(wanted)) == [sample.key for sample in expected]
    monkeypatch.setattr(read, "LOOKED_UP_AT_ONCE", at_once)
    monkeypatch.setattr(read, "MAX_GAP_BYTES", gap_bytes)
    assert list(shards.stream("train", wanted)) == expected
    for chosen in (("image",), ("text",), ()):
        found = list(shards.stream("train", wanted, modalities=chosen))
        assert [sample.members for sample in found] == [
            {name: one.members[name] for name in chosen if name in one.members} for one in expected
        ]


def test_a_stream_gives_what_lies_before_the_damage(own: Path) -> None:
    shards = ShardSet.open(own)
    expected = shards.samples("val", range(10))
    path = next((own / "shards").glob("val-*"))
    path.write_bytes(path.read_bytes().replace(expected[6].members["text"], b"X" * len(expected[6].members["text"])))
    stream = shards.stream("val", range(10))
    assert [next(stream) for _ in range(6)] == expected[:6]
    with pytest.raises(CorruptArtifact, match=f"the text of '{expected[6].key}' is damaged"):
        next(stream)
    assert len(list(shards.stream("val", range(10), check=False))) == 10


def test_labels_groups_and_presence_stand_in_the_order_of_the_index(made: Path) -> None:
    shards = ShardSet.open(made)
    numbers = [int(key[1:]) for key in shards.keys("val")]
    assert list(shards.labels("val")["digit"]) == [None if number % 7 == 0 else str(number % 10) for number in numbers]
    assert shards.groups("val") == [f"g{number // 10}" for number in numbers]
    assert list(shards.present("val")["image"]) == [number % 3 == 0 for number in numbers]
    assert shards.present("val")["text"].all()


def test_the_fit_comes_with_its_files(made: Path) -> None:
    fit = ShardSet.open(made).fit("text")
    assert set(fit.files) == {"tokenizer.json"}
    assert fit.values
    assert ShardSet.open(made).fit("audio").values == {}


def test_many_threads_read_the_same_while_files_are_evicted(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_tars, "MAX_OPEN_FILES", 1)
    shards = ShardSet.open(made)
    assert len(shards.meta["shards"]) >= 4
    expected = {split: [sample.members for sample in shards.samples(split, range(10))] for split in shards.splits}
    with ThreadPoolExecutor(8) as pool:
        jobs = [(split, pool.submit(shards.samples, split, range(10))) for _ in range(60) for split in shards.splits]
        assert all([sample.members for sample in job.result()] == expected[split] for split, job in jobs)


def test_files_close_with_the_shard_set(made: Path) -> None:
    def open_tars() -> int:
        return sum(str(made) in str(Path(f"/proc/self/fd/{number}").resolve()) for number in os.listdir("/proc/self/fd"))

    shards = ShardSet.open(made)
    shards.samples("train", range(90))
    assert open_tars() > 0
    del shards
    assert open_tars() == 0


def test_a_shard_set_pickles_as_its_path(made: Path) -> None:
    shards = pickle.loads(pickle.dumps(ShardSet.open(made)))
    assert shards.samples("val", [0])[0].key == ShardSet.open(made).keys("val")[0]


def test_damage_is_noticed_when_a_sample_is_read(own: Path) -> None:
    path = next((own / "shards").glob("val-*"))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"Text number 8", b"Text nXmber 8"))
    shards = ShardSet.open(own)
    with pytest.raises(CorruptArtifact, match=r"shards/val-000000.tar: the text of 't0008\d' is damaged"):
        shards.samples("val", range(10))
    path.write_bytes(whole[:2000])
    with pytest.raises(CorruptArtifact, match="ends before byte"):
        shards.samples("val", range(10))
    path.unlink()
    with pytest.raises(CorruptArtifact, match="No such file"):
        ShardSet.open(own).samples("val", range(10))


def test_what_is_not_there_is_said(made: Path, tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifact, match="not a whole shards artifact"):
        ShardSet.open(tmp_path)
    with pytest.raises(InputError, match=r"no samples of split 'training'; it has train, val, test"):
        ShardSet.open(made).keys("training")


def test_a_newer_format_is_refused(own: Path) -> None:
    path = own / "shards.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(InputError, match="shards format 2, this Medley reads up to 1"):
        ShardSet.open(own)


@LEAVES_FILES_OPEN
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_webdataset_library_reads_the_same_samples(made: Path, split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WDS_SECURE", "1")
    found = [
        {name: value for name, value in sample.items() if name not in ("__url__", "__local_path__")}
        for sample in as_webdataset(made, split)
    ]
    assert found == as_others_see_it(made, split)
    gc.collect()


@LEAVES_FILES_OPEN
def test_the_urls_file_is_all_the_webdataset_library_needs(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import webdataset

    monkeypatch.chdir(made)
    urls = (made / "urls-train.txt").read_text().split()
    keys = [sample["__key__"] for sample in webdataset.WebDataset(urls, shardshuffle=False)]
    assert keys == ShardSet.open(made).keys("train")
    gc.collect()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
def test_ray_reads_the_same_samples(made: Path) -> None:
    import ray

    paths = [str(made / name) for name in (made / "urls-train.txt").read_text().split()]
    rows = ray.data.read_webdataset(paths, decoder=None, override_num_blocks=1).take_all()
    found = {row["__key__"]: {name: row[name] for name in EXTENSIONS.values() if isinstance(row.get(name), bytes)} for row in rows}
    assert found == {row.pop("__key__"): row for row in as_others_see_it(made, "train")}


def test_index_and_labels_are_plain_columns(made: Path) -> None:
    import pyarrow.parquet as pq

    index, labels = pq.read_table(made / "index.parquet"), pq.read_table(made / "labels.parquet")
    assert [str(index.schema.field(name).type) for name in ("shard", "image.offset", "image.size", "image.ext")] == [
        "int32",
        "int64",
        "int32",
        "string",
    ]
    assert labels.column_names == ["key", "group", "partition", "digit"]
    shards = ShardSet.open(made)
    for row in index.slice(0, 20).to_pylist():
        with (made / shards.meta["shards"][row["shard"]]["name"]).open("rb") as file:
            assert os.pread(file.fileno(), row["text.size"], row["text.offset"]) == f"Text number {int(row['key'][1:])}".encode()
    assert np.diff(index["shard"].to_numpy()).min() >= 0
