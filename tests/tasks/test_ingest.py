"""`tasks.ingest`: from a source to the two files of a corpus."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tasks.contracts import Locator
from tasks.errors import InputError, LabelError, SourceError, Stopped
from tasks.ingest import IngestConfig, SplitConfig, estimate, identity, ingest
from tasks.sources.corpus import split_of
from tasks.sources.digest import digest
from tests.tasks.sources.toys import Sink, Stop, context, write_files

OWN = """
from pathlib import Path
from tasks.contracts import Locator, SourceRecord
from tasks.registry import Config

class Mine:
    class Config(Config):
        format: str
        count: int = 3

    def __init__(self, config, base_dir):
        self.config, self.base_dir = config, base_dir

    def snapshot(self):
        return {"digest": str(self.config.count)}

    def records(self, output_dir):
        (output_dir / "media.bin").write_bytes(bytes(range(self.config.count * 2)))
        for number in range(self.config.count):
            yield SourceRecord(f"n{number}", {"audio": Locator("media.bin", offset=2 * number, length=2)}, {"size": number})
"""


def table(folder: Path, rows: list[dict[str, Any]], **options: Any) -> IngestConfig:
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = {
        "format": "table",
        "path": "t.jsonl",
        "columns": {"text": {"column": "text", "inline": True}},
        "key": "key",
        **options.pop("source", {}),
    }
    return IngestConfig(source=source, **options)


def run(
    config: IngestConfig, folder: Path, name: str = "corpus", **changes: Any
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """Summary, rows and corpus.json."""
    output = folder / name
    output.mkdir()
    summary = ingest(config, {}, output, context(folder, **changes))
    json.dumps(summary)
    return summary, pq.read_table(output / "records.parquet").to_pylist(), json.loads((output / "corpus.json").read_text())


def folder_config(**options: Any) -> IngestConfig:
    return IngestConfig(source={"format": "folder", "path": "data"}, **options)


def test_a_folder_becomes_sorted_rows_with_digests_and_locators(tmp_path: Path) -> None:
    files = {"dog/2.txt": b"wau", "cat/1.png": b"png", "cat/1.txt": b"miau", "x.pdf": b""}
    root = write_files(tmp_path / "data", files)
    sink = Sink()
    summary, rows, facts = run(folder_config(), tmp_path, sink=sink)
    assert [(row["key"], row["split"], row["partition"], row["group"], row["label.label"]) for row in rows] == [
        ("cat/1", "train", "default", "cat/1", "cat"),
        ("dog/2", "train", "default", "dog/2", "dog"),
    ]
    text, status = rows[0], (root / "cat/1.txt").stat()
    assert {name: text[f"text.{name}"] for name in ("uri", "offset", "length", "inline", "size", "mtime_ns", "sha256")} == {
        "uri": str(root / "cat/1.txt"),
        "offset": None,
        "length": None,
        "inline": None,
        "size": 4,
        "mtime_ns": status.st_mtime_ns,
        "sha256": hashlib.sha256(b"miau").hexdigest(),
    }
    assert {value for name, value in rows[1].items() if name.startswith("image.")} == {None}, "an absent modality is all null"
    assert facts == {
        "format": 1,
        "modalities": ["image", "text"],
        "labels": {"label": {"kind": "category", "values": ["cat", "dog"]}},
        "splits": {"train": 2},
        "unreadable": [],
    }
    assert summary == {
        "records": 2,
        "bytes": 10,
        "splits": {"train": 2},
        "modalities": {"image": 1, "text": 2},
        "labels": {"label": {"cat": 1, "dog": 1}},
        "groups": 2,
        "ignored": {"pdf": 1},
    }
    assert sink.notes == ["files of unknown kind were left out: 1 x .pdf"]
    assert sink.progressed[-1] == (2, 2)


def test_files_that_a_source_left_out_for_a_reason_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = OWN.replace("str(self.config.count)}", 'str(self.config.count), "left_out": {"a sketch": 2, "a note": 1}}')
    (tmp_path / "my_accounts.py").write_text(told)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "corpus").mkdir()
    sink = Sink()
    summary = ingest(IngestConfig(source={"format": "my_accounts:Mine"}), {}, tmp_path / "corpus", context(tmp_path, sink=sink))
    assert summary["left_out"] == {"a sketch": 2, "a note": 1}
    assert sink.notes == ["3 files are in no record: 2 x a sketch, 1 x a note"]


def test_the_bytes_do_not_depend_on_the_order_of_the_source(tmp_path: Path) -> None:
    rows = [{"key": f"k{number}", "text": str(number), "price": number / 2} for number in range(700)]
    options = {"source": {"labels": {"price": {"column": "price", "kind": "number"}}}, "split": SplitConfig(test=0.2)}
    run(table(tmp_path, rows, **options), tmp_path, "one")
    run(table(tmp_path, rows[::-1], **options), tmp_path, "two")
    for name in ("records.parquet", "corpus.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_users_own_source_makes_media_below_the_output_and_is_keyed_by_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_corpus_for_ingest.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    config = IngestConfig(source={"format": "own_corpus_for_ingest:Mine", "count": 2})
    summary, rows, facts = run(config, tmp_path)
    assert [(row["audio.uri"], row["audio.offset"], row["audio.length"], row["audio.size"]) for row in rows] == [
        ("media.bin", 0, 2, 4),
        ("media.bin", 2, 2, 4),
    ]
    assert rows[1]["audio.sha256"] == hashlib.sha256(b"\x02\x03").hexdigest()
    run(config, tmp_path, "again")
    assert (tmp_path / "again/records.parquet").read_bytes() == (tmp_path / "corpus/records.parquet").read_bytes()
    assert facts["labels"] == {"size": {"kind": "number"}}
    assert summary["labels"] == {"size": {"min": 0.0, "max": 1.0}}
    assert summary["bytes"] == 4
    first = identity(config, tmp_path)
    assert first["snapshot"] == "2"
    (tmp_path / "own_corpus_for_ingest.py").write_text(OWN + "# changed\n")
    assert identity(config, tmp_path)["source"] != first["source"]
    assert estimate(config, tmp_path, {}) == {}
    del sys.modules["own_corpus_for_ingest"]


def test_a_users_own_source_needs_a_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_corpus_without_digest.py").write_text(OWN.replace('{"digest":', '{"size":'))
    monkeypatch.syspath_prepend(tmp_path)
    config = IngestConfig(source={"format": "own_corpus_without_digest:Mine"})
    with pytest.raises(SourceError, match=r"gives size and no `digest`; add a string"):
        identity(config, tmp_path)


def test_a_users_own_config_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_corpus_for_config.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValidationError, match="number"):
        IngestConfig(source={"format": "own_corpus_for_config:Mine", "number": 2})
    del sys.modules["own_corpus_for_config"]


# ---- splits -----------------------------------------------------------------------------------------------------------


def test_splits_follow_the_hash_in_the_asked_proportions_and_never_part_a_group(tmp_path: Path) -> None:
    rows = [{"key": f"k{number}", "text": "x", "who": f"g{number // 4}"} for number in range(4000)]
    config = table(tmp_path, rows, source={"group": "who"}, split={"test": 0.2, "val": 0.1})
    summary, found, _ = run(config, tmp_path)
    of_group: dict[str, set[str]] = {}
    for row in found:
        of_group.setdefault(row["group"], set()).add(row["split"])
    assert {len(splits) for splits in of_group.values()} == {1}
    assert summary["groups"] == 1000
    assert 0.15 < summary["splits"]["test"] / 4000 < 0.25
    assert 0.06 < summary["splits"]["val"] / 4000 < 0.14


def test_new_data_and_another_val_never_move_an_old_test_record(tmp_path: Path) -> None:
    rows = [{"key": f"k{number}", "text": "x"} for number in range(300)]
    _, before, _ = run(table(tmp_path, rows[:200], split={"test": 0.3}), tmp_path, "before")
    _, after, _ = run(table(tmp_path, rows, split={"test": 0.3, "val": 0.2}), tmp_path, "after")
    old = {row["key"]: row["split"] for row in before}
    new = {row["key"]: row["split"] for row in after if row["key"] in old}
    assert {key for key, split in old.items() if split == "test"} == {key for key, split in new.items() if split == "test"}


def test_the_salt_gives_another_split() -> None:
    groups = [f"g{number}" for number in range(100)]
    assert [split_of(group, 0, 0.5, "") for group in groups] != [split_of(group, 0, 0.5, "salt") for group in groups]


def test_the_split_of_the_source_wins_for_its_whole_group(tmp_path: Path) -> None:
    rows = [{"key": f"k{number}", "text": "x", "who": "g", "part": "test" if number == 3 else None} for number in range(5)]
    _, found, _ = run(table(tmp_path, rows, source={"group": "who", "split": "part"}), tmp_path)
    assert [row["split"] for row in found] == ["test"] * 5


def test_a_group_in_two_splits_is_refused_with_names(tmp_path: Path) -> None:
    rows = [{"key": key, "text": "x", "who": "ann", "part": part} for key, part in (("a", "train"), ("b", "test"))]
    with pytest.raises(SourceError, match=r"the group 'ann' is in two splits: train \(record 'a'\) and test \(record 'b'\)"):
        run(table(tmp_path, rows, source={"group": "who", "split": "part"}), tmp_path)


def test_fractions_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(ValidationError, match="leave nothing to train on"):
        SplitConfig(val=0.5, test=0.5)


# ---- limit ------------------------------------------------------------------------------------------------------------


def test_a_limit_takes_a_representative_part_and_a_larger_one_keeps_it(tmp_path: Path) -> None:
    rows = [{"key": f"k{number:04d}", "text": "x", "digit": str(number // 100)} for number in range(1000)]
    config = {"source": {"labels": ["digit"]}}
    few = {row["key"] for row in run(table(tmp_path, rows, limit=100, **config), tmp_path, "few")[1]}
    summary, more, _ = run(table(tmp_path, rows, limit=200, **config), tmp_path, "more")
    assert len(few) == 100
    assert few < {row["key"] for row in more}
    assert len(summary["labels"]["digit"]) == 10
    assert estimate(table(tmp_path, rows, limit=100), tmp_path, {})["records"] == 100


# ---- bad input --------------------------------------------------------------------------------------------------------


def test_an_empty_folder_ends_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for call in (lambda: identity(folder_config(), tmp_path), lambda: run(folder_config(), tmp_path)):
        with pytest.raises(InputError, match="it is empty"):
            call()


def test_keys_that_become_equal_are_refused_and_both_are_named(tmp_path: Path) -> None:
    write_files(tmp_path / "data", {"a/x.1.txt": b"1", "a/x_1.txt": b"2"})
    with pytest.raises(SourceError, match=r"two records have the key 'a/x_1': 'a/x\.1' \(.*x\.1\.txt\) and 'a/x_1' \(.*x_1\.txt\)"):
        run(folder_config(), tmp_path)


def test_duplicate_keys_are_refused_and_counted(tmp_path: Path) -> None:
    rows = [{"key": "a", "text": "x"}, {"key": "a", "text": "y"}, {"key": "a", "text": "z"}, {"key": "b", "text": "x"}]
    with pytest.raises(SourceError, match=r"two records have the key 'a'.*\(1 more such pairs\)"):
        run(table(tmp_path, rows), tmp_path)


def test_a_label_that_is_a_text_here_and_a_number_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_corpus_for_labels.py").write_text(OWN.replace('"size": number', '"size": number or "none"'))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(LabelError, match=r"the label 'size' is a text for 'n0' and 1\.0 for 'n1'"):
        run(IngestConfig(source={"format": "own_corpus_for_labels:Mine"}), tmp_path)
    del sys.modules["own_corpus_for_labels"]


def test_a_source_without_records_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_corpus_of_nothing.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SourceError, match="gave no records"):
        run(IngestConfig(source={"format": "own_corpus_of_nothing:Mine", "count": 0}), tmp_path)
    del sys.modules["own_corpus_of_nothing"]


def test_a_row_without_any_modality_stays_a_record(tmp_path: Path) -> None:
    summary, rows, _ = run(table(tmp_path, [{"key": "a", "text": "x"}, {"key": "b", "text": None}]), tmp_path)
    assert summary["records"] == 2
    assert rows[1]["key"] == "b"
    assert {rows[1][f"text.{name}"] for name in ("uri", "inline", "sha256")} == {None}


def test_files_that_cannot_be_read_keep_their_rows_without_a_digest(tmp_path: Path) -> None:
    root = write_files(tmp_path / "data", {"a/1.txt": b"x", "b/2.txt": b"y"})
    (root / "a" / "gone.txt").symlink_to(tmp_path / "nowhere.txt")
    summary, rows, facts = run(folder_config(), tmp_path)
    assert [row["text.sha256"] is None for row in rows] == [False, True, False]
    assert rows[1]["text.uri"] == str(root / "a/gone.txt")
    expected = {"key": "a/gone", "modality": "text", "uri": str(root / "a/gone.txt"), "reason": "No such file or directory"}
    assert facts["unreadable"] == [expected]
    assert summary["unreadable"] == 1


def test_a_pipe_that_a_table_names_is_unreadable_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    rows = [{"key": "a", "sound": "pipe.wav"}, {"key": "b", "sound": "folder.wav"}]
    _, _, facts = run(table(tmp_path, rows, source={"columns": {"audio": "sound"}}), tmp_path)
    assert [entry["reason"] for entry in facts["unreadable"]] == ["is not a file", "Is a directory"]


def test_a_byte_range_beyond_the_end_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    found = [digest(Locator("x", offset=start, length=3), tmp_path, Stop()) for start in (2, 3)]
    assert found[0].sha256 == hashlib.sha256(b"345").hexdigest()
    assert (found[1].sha256, found[1].why) == (None, "ends after 2 of 3 bytes")


def test_a_stop_ends_between_files(tmp_path: Path) -> None:
    write_files(tmp_path / "data", {f"a/{number}.txt": b"x" for number in range(20)})
    with pytest.raises(Stopped, match="nothing of it is kept"):
        run(folder_config(), tmp_path, stop=Stop(after=5))


def test_a_stop_ends_within_a_large_file(tmp_path: Path) -> None:
    write_files(tmp_path / "data", {"a/1.txt": bytes(3 << 20)})
    with pytest.raises(Stopped):
        run(folder_config(), tmp_path, stop=Stop(after=2))


# ---- identity ---------------------------------------------------------------------------------------------------------


def test_identity_follows_the_source_unless_it_is_never_refreshed(tmp_path: Path) -> None:
    root = write_files(tmp_path / "data", {"a/1.txt": b"x"})
    before = identity(folder_config(), tmp_path)
    never = identity(folder_config(refresh="never"), tmp_path)
    (root / "a/2.txt").write_bytes(b"y")
    assert identity(folder_config(), tmp_path) != before
    assert identity(folder_config(refresh="never"), tmp_path) == never
    assert estimate(folder_config(), tmp_path, {}) == {"records": 2, "bytes": 2}
