"""The plan: which record goes into which shard, as a pure function of the corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import LabelError
from tasks.shard import Sizes
from tasks.shards.corpus import Corpus
from tasks.shards.identity import Codec, Verdict
from tasks.shards.plan import Identities, Unit, cuts, identify, order_hash, plan_units
from tasks.shards.screen import check_labels, find_duplicates
from tests.tasks.shards.corpora import Record, texts, write_corpus

THOROUGHLY = settings(max_examples=60, deadline=None, derandomize=True, database=None)
SIZES = Sizes(min_records=8, max_records=40, max_bytes=1 << 20)


def codec(**changes: Any) -> Codec:
    return Codec(**{"modality": "text", "version": 1, "prepare": {}, "fingerprint": "f", **changes})


def planned(folder: Path, records: Sequence[Record], sizes: Sizes = SIZES, **settings: Any) -> tuple[Corpus, list[Unit]]:
    corpus = Corpus.open(write_corpus(folder, records).path)
    identities = identify(corpus, {"text": settings.pop("codec", codec())}, embed_labels=settings.pop("embed_labels", False))
    chosen = {"salt": "s", "options": {}, "verdicts": {}} | settings
    return corpus, plan_units(corpus, range(corpus.num_records), identities, sizes, **chosen)


@THOROUGHLY
@given(
    st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 400)), min_size=1, max_size=200),
    st.integers(1, 20),
    st.integers(0, 30),
)
def test_cuts_hold_their_bounds(records: list[tuple[bytes, int]], least: int, more: int) -> None:
    sizes = Sizes(min_records=least, max_records=least + more, max_bytes=1000)
    ends = cuts([name for name, _ in records], [size for _, size in records], sizes)
    starts = [0, *ends[:-1]]
    assert ends == sorted(set(ends))
    assert ends[-1] == len(records)
    for start, end in zip(starts, ends, strict=True):
        total = sum(size for _, size in records[start:end])
        assert end - start <= sizes.max_records
        assert total <= sizes.max_bytes or end - start == 1
        early = end < len(records) and end - start < least
        assert not early or total + records[end][1] > sizes.max_bytes


def test_a_split_of_5000_records_gives_several_shards_by_default() -> None:
    hashes = sorted(order_hash("medley", f"record{number}") for number in range(5000))
    ends = cuts(hashes, [1000] * 5000, Sizes())
    assert 5 <= len(ends) <= 12
    assert max(end - start for start, end in zip([0, *ends], ends, strict=False)) <= 1024


@pytest.mark.parametrize("change", ["insert", "delete"])
def test_a_new_or_removed_record_changes_its_neighbourhood_only(tmp_path: Path, change: str) -> None:
    records = texts(1500, split="train")
    _, before = planned(tmp_path / "before", records)
    assert len(before) > 40
    changed = [*records, Record("new", {"text": b"new"})] if change == "insert" else records[:700] + records[701:]
    _, after = planned(tmp_path / "after", changed)
    assert 1 <= len({unit.key for unit in after} - {unit.key for unit in before}) <= 3


def test_units_never_cross_a_split_or_a_partition(tmp_path: Path) -> None:
    records = texts(100) + [Record(f"o{number}", {"text": b"o"}, partition="other") for number in range(30)]
    corpus, units = planned(tmp_path, records)
    partitions = corpus.column("partition")
    for unit in units:
        assert {(corpus.splits[row], partitions[row]) for row in unit.rows} == {(unit.split, unit.partition)}
    assert sorted(row for unit in units for row in unit.rows) == list(range(len(records)))
    seen = list(dict.fromkeys((unit.split, unit.partition) for unit in units))
    assert seen == [("train", "default"), ("train", "other"), ("val", "default"), ("test", "default")]


def test_the_order_of_the_corpus_rows_does_not_matter(tmp_path: Path) -> None:
    records = texts(200)
    _, one = planned(tmp_path / "a", records)
    _, other = planned(tmp_path / "b", records[::-1])
    assert [unit.key for unit in one] == [unit.key for unit in other]


@pytest.mark.parametrize(
    "changed",
    [
        {"codec": codec(version=2)},
        {"codec": codec(prepare={"lower": True})},
        {"codec": codec(fingerprint="g")},
        {"embed_labels": True},
        {"options": {"on_bad_member": "drop"}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_decides_the_bytes_enters_every_key(tmp_path: Path, changed: dict[str, Any]) -> None:
    records = texts(60)
    _, before = planned(tmp_path / "a", records)
    _, after = planned(tmp_path / "b", records, **changed)
    assert not {unit.key for unit in before} & {unit.key for unit in after}


def test_labels_and_groups_enter_no_key_unless_the_tar_holds_them(tmp_path: Path) -> None:
    plain, relabelled = texts(60), texts(60, labels={"digit": "other"}, group="g")
    assert [unit.key for unit in planned(tmp_path / "a", plain)[1]] == [unit.key for unit in planned(tmp_path / "b", relabelled)[1]]
    embedded = [planned(tmp_path / name, records, embed_labels=True)[1] for name, records in (("c", plain), ("d", relabelled))]
    assert not {unit.key for unit in embedded[0]} & {unit.key for unit in embedded[1]}


def test_a_verdict_changes_the_key_of_its_unit_alone(tmp_path: Path) -> None:
    corpus, before = planned(tmp_path / "a", texts(300))
    digest = identities(corpus).digests[before[1].rows[0]]
    _, after = planned(tmp_path / "b", texts(300), verdicts={digest: Verdict("text", "decoder/hung")})
    assert [one.key == other.key for one, other in zip(before, after, strict=True)] == [position != 1 for position in range(len(before))]


def identities(corpus: Corpus) -> Identities:
    return identify(corpus, {"text": codec()}, embed_labels=False)


def test_unreadable_absent_and_whole_members_are_told_apart(tmp_path: Path) -> None:
    corpus = Corpus.open(
        write_corpus(tmp_path, [Record("a", {"text": b"x"}), Record("b", {"text": None}), Record("c", {"audio": b"y"})]).path
    )
    assert [digest and digest[:4] for digest in corpus.digests("text")] == ["2d71", "", None]
    assert identities(corpus).members["text"][1:] == [None, None]


def test_keys_are_the_same_on_every_machine_and_in_every_version(tmp_path: Path) -> None:
    _, units = planned(tmp_path, texts(40, split="train"), Sizes())
    assert [unit.key for unit in units] == ["b206e465a5c0008144786fa2959bfba3cde19d7354d6cf2a73f0f8a219ea5ee5"]


# ---- screening ---------------------------------------------------------------------------------------------------------


def test_of_equal_records_the_one_in_test_stays_then_val_then_the_smallest_key(tmp_path: Path) -> None:
    records = [
        Record("a", {"text": b"one"}, "train"),
        Record("b", {"text": b"one"}, "test"),
        Record("c", {"text": b"one"}, "val"),
        Record("d", {"text": b"two"}, "train"),
        Record("e", {"text": b"two"}, "train"),
        Record("f", {"text": b"two"}, "train", {"digit": "2"}),
        Record("g", {"text": b"two", "audio": b"x"}, "train"),
        Record("h", {"text": None}, "train"),
        Record("i", {"text": None}, "train"),
        Record("j", {}, "train"),
        Record("k", {}, "train"),
    ]
    corpus = Corpus.open(write_corpus(tmp_path, records).path)
    found = {corpus.keys[row]: (left.status, left.duplicate_of) for row, left in find_duplicates(corpus).items()}
    assert found == {"a": ("duplicate", "b"), "c": ("duplicate", "b"), "e": ("duplicate", "d")}


def test_a_category_that_train_never_saw_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    records = [Record(f"r{number}", {"text": b"x%d" % number}, "train", {"animal": "cat"}) for number in range(3)]
    records += [Record("s1", {"text": b"s"}, "test", {"animal": "yak"}), Record("s2", {"text": b"t"}, "test", {"animal": "yak"})]
    records += [Record("s3", {"text": b"u"}, "val", {"animal": "gnu"}), Record("s4", {"text": b"v"}, "val", {})]
    corpus = Corpus.open(write_corpus(tmp_path, records).path)
    with pytest.raises(LabelError, match=r"label 'animal' .*'gnu' \(1 in val\), 'yak' \(2 in test\).*unseen_labels: drop"):
        check_labels(corpus, {}, drop=False)
    dropped = check_labels(corpus, {}, drop=True)
    assert {corpus.keys[row]: left.reason for row, left in dropped.items()} == dict.fromkeys(("s1", "s2", "s3"), "label/unseen")


def test_a_corpus_without_training_records_may_have_any_labels(tmp_path: Path) -> None:
    corpus = Corpus.open(write_corpus(tmp_path, texts(20, split="test")).path)
    assert check_labels(corpus, {}, drop=False) == {}
