"""The shard step as a whole, in processes of its own; `test_shard_ray.py` has what needs Ray."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.store import LocalStore
from tasks.errors import ChangedSource, CorruptArtifact, FingerprintMismatch, InputError, LabelError, Stopped, TaskError, TooManyBadRecords
from tasks.modalities import MODALITIES
from tasks.shard import ShardConfig, estimate, identity, lint
from tasks.shards import attempts
from tasks.shards.read import ShardSet
from tasks.shards.verify import verify
from tests.tasks.shards.corpora import Record, Recorder, context, hashes, make_shards, picture, texts, write_corpus
from tests.tasks.shards.traps import set_traps

ONE_UNIT = {"sizes": {"min_records": 10_000, "max_records": 10_000}}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore.open(tmp_path / "store")


@pytest.fixture
def traps(monkeypatch: pytest.MonkeyPatch) -> None:
    set_traps(monkeypatch)


def trap_records(*contents: str) -> list[Record]:
    return [Record(f"r{number:03d}", {"trap": content.encode()}) for number, content in enumerate(contents)]


def ledger(folder: Path) -> dict[str, tuple[str, str | None]]:
    return {row["key"]: (row["status"], row["reason"]) for row in pq.read_table(folder / "ledger.parquet").to_pylist()}


def test_a_corpus_becomes_a_whole_artifact(tmp_path: Path, store: LocalStore) -> None:
    records = texts(60)
    for number, record in enumerate(records[::2]):
        record.members = {**record.members, "image": picture(number)}
    records += [Record("zz", records[0].members, "train", records[0].labels), Record("empty", {}, "train")]
    summary = make_shards(tmp_path / "out", write_corpus(tmp_path / "corpus", records), store, prepare={"text": {}, "image": {}})
    assert summary["ledger"] == {"in": 62, "written": 60, "filtered": 0, "duplicate": 1, "quarantined": 1, "forgotten": 0}
    assert (summary["samples"], summary["shards"], summary["units"]) == (60, 1, {"built": 1, "reused": 0})
    assert summary["members"] == {"encoded": 90, "copied": 0}
    assert summary["quarantined"] == {"record/no_modality": 1}
    assert summary["bytes"] == sum(path.stat().st_size for path in (tmp_path / "out" / "shards").iterdir())
    assert verify(tmp_path / "out") == []
    assert (tmp_path / "out" / "urls-train.txt").read_text() == "shards/train-000000.tar\n"
    assert ledger(tmp_path / "out")["zz"] == ("duplicate", "duplicate/exact")
    subsets = json.loads((tmp_path / "out" / "stats.json").read_text())["subsets"]
    assert subsets == {"image+text": 30, "text": 30}
    croissant = json.loads((tmp_path / "out" / "croissant.json").read_text())
    assert croissant["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    by_name = {entry["@id"]: entry for entry in croissant["distribution"]}
    assert by_name["index.parquet"]["sha256"] == hashlib.sha256((tmp_path / "out" / "index.parquet").read_bytes()).hexdigest()
    assert "10 classes" in (tmp_path / "out" / "README.md").read_text()


def test_shards_are_hard_links_to_the_pool(tmp_path: Path, store: LocalStore) -> None:
    make_shards(tmp_path / "out", write_corpus(tmp_path / "corpus", texts(5, split="train")), store)
    (tar,) = (tmp_path / "out" / "shards").iterdir()
    assert tar.stat().st_nlink == 2
    assert not tar.stat().st_mode & 0o222


def test_a_second_run_opens_no_source_and_starts_nothing(tmp_path: Path, store: LocalStore) -> None:
    corpus = write_corpus(tmp_path / "corpus", texts(30, split="train"))
    make_shards(tmp_path / "a", corpus, store)
    for path in (tmp_path / "corpus" / "media").iterdir():
        path.unlink()
    summary = make_shards(tmp_path / "b", corpus, store)
    assert summary["units"] == {"built": 0, "reused": 1}
    assert summary["members"] == {"encoded": 0, "copied": 0}
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_a_changed_shard_copies_what_did_not_change_and_equals_a_build_from_nothing(tmp_path: Path, store: LocalStore) -> None:
    records = texts(50, split="train")
    make_shards(tmp_path / "old", write_corpus(tmp_path / "c1", records), store, **ONE_UNIT)
    records[7].members = {"text": b"another content"}
    corpus = write_corpus(tmp_path / "c2", [*records[:20], *records[21:], Record("new", {"text": b"new"}, labels={"digit": "1"})])
    for record in records:
        if record.key != "t00007":
            (tmp_path / "c2" / "media" / f"{record.key}.text").unlink(missing_ok=True)  # a copy needs no source
    summary = make_shards(tmp_path / "new", corpus, store, **ONE_UNIT)
    assert summary["members"] == {"encoded": 2, "copied": 48}
    corpus = write_corpus(tmp_path / "c2", [*records[:20], *records[21:], Record("new", {"text": b"new"}, labels={"digit": "1"})])
    make_shards(tmp_path / "fresh", corpus, LocalStore.open(tmp_path / "empty"), **ONE_UNIT)
    for name in ("shards/train-000000.tar", "stats.json", "fits/text.json", "index.parquet", "ledger.parquet"):
        assert (tmp_path / "new" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes(), name


def test_a_damaged_copy_is_encoded_anew(tmp_path: Path, store: LocalStore) -> None:
    records = texts(20, split="train")
    make_shards(tmp_path / "old", write_corpus(tmp_path / "c1", records), store, **ONE_UNIT)
    (tar,) = (tmp_path / "old" / "shards").iterdir()
    tar.chmod(0o644)
    tar.write_bytes(tar.read_bytes().replace(b"Text number 3", b"Text nXmber 3"))
    corpus = write_corpus(tmp_path / "c2", [*records, Record("new", {"text": b"new"}, labels={"digit": "1"})])
    summary = make_shards(tmp_path / "new", corpus, store, **ONE_UNIT)
    assert summary["members"] == {"encoded": 2, "copied": 19}
    assert verify(tmp_path / "new") == []


def test_labels_may_change_without_touching_a_tar(tmp_path: Path, store: LocalStore) -> None:
    make_shards(tmp_path / "a", write_corpus(tmp_path / "c1", texts(20, split="train")), store)
    changed = texts(20, split="train", labels={"digit": "7"})
    summary = make_shards(tmp_path / "b", write_corpus(tmp_path / "c2", changed), store)
    assert summary["units"] == {"built": 0, "reused": 1}
    assert ShardSet.open(tmp_path / "b").meta["labels"]["digit"]["classes"] == ["7"]


def test_embedded_labels_stand_in_the_tar(tmp_path: Path, store: LocalStore) -> None:
    import tarfile

    make_shards(tmp_path / "a", write_corpus(tmp_path / "c", texts(3, split="train")), store, embed_labels=True)
    with tarfile.open(tmp_path / "a" / "shards" / "train-000000.tar") as tar:
        assert json.loads(tar.extractfile("t00001.json").read()) == {"digit": "1"}  # type: ignore[union-attr]
        assert len(tar.getnames()) == 6


def test_numbers_get_mean_and_deviation_of_train_and_labels_may_be_missing(tmp_path: Path, store: LocalStore) -> None:
    values = [1.0, 3.0, None, 100.0]
    splits = ["train", "train", "train", "test"]
    records = [
        Record(f"r{number}", {"text": b"%d" % number}, split, {"age": value, "kind": None if number == 1 else "k"})
        for number, (value, split) in enumerate(zip(values, splits, strict=True))
    ]
    make_shards(tmp_path / "a", write_corpus(tmp_path / "c", records, label_kinds={"age": "number"}), store)
    labels = ShardSet.open(tmp_path / "a").meta["labels"]
    assert labels["age"] == {"kind": "number", "mean": 2.0, "std": 1.0}
    assert labels["kind"]["classes"] == ["k"]


def test_a_label_that_train_never_saw_stops_the_step_before_anything_is_encoded(tmp_path: Path, store: LocalStore) -> None:
    records = [*texts(10, split="train"), Record("x", {"text": b"x"}, "test", {"digit": "yak"})]
    corpus = write_corpus(tmp_path / "c", records)
    with pytest.raises(LabelError, match="'yak'"):
        make_shards(tmp_path / "a", corpus, store)
    assert store.list("pool") == []
    summary = make_shards(tmp_path / "b", corpus, store, unseen_labels="drop")
    assert summary["ledger"]["filtered"] == 1
    assert ledger(tmp_path / "b")["x"] == ("filtered", "label/unseen")
    make_shards(tmp_path / "k", corpus, store, unseen_labels="keep")
    kept = ShardSet.open(tmp_path / "k")
    assert kept.labels("test")["digit"].tolist() == ["yak"]
    assert "yak" not in kept.meta["labels"]["digit"]["classes"]


# ---- bad records -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("traps")
def test_bad_filtered_and_unreadable_records_are_counted_and_explained(tmp_path: Path, store: LocalStore) -> None:
    records = [*trap_records("ok", "bad one", "filter", "fine"), Record("u", {"trap": None})]
    summary = make_shards(tmp_path / "a", write_corpus(tmp_path / "c", records), store, prepare={"trap": {}})
    assert summary["ledger"] == {"in": 5, "written": 2, "filtered": 1, "duplicate": 0, "quarantined": 2, "forgotten": 0}
    assert summary["quarantined"] == {"source/unreadable": 1, "trap/bad": 1}
    assert ledger(tmp_path / "a")["r001"] == ("quarantined", "trap/bad")
    assert ledger(tmp_path / "a")["r002"] == ("filtered", "trap/filtered")


@pytest.mark.usefixtures("traps")
def test_a_bad_member_can_be_dropped_alone(tmp_path: Path, store: LocalStore) -> None:
    records = [Record("a", {"trap": b"bad", "text": b"stays"}), Record("b", {"trap": b"bad"}), Record("c", {"trap": b"ok", "text": b"c"})]
    corpus = write_corpus(tmp_path / "c", records)
    prepare = {"trap": {}, "text": {}}
    assert make_shards(tmp_path / "q", corpus, store, prepare=prepare)["ledger"]["written"] == 1
    summary = make_shards(tmp_path / "d", corpus, store, prepare=prepare, on_bad_member="drop")
    assert (summary["ledger"]["written"], summary["ledger"]["quarantined"]) == (2, 1)
    rows = {row["key"]: row for row in pq.read_table(tmp_path / "d" / "ledger.parquet").to_pylist()}
    assert (rows["a"]["status"], rows["a"]["members"], rows["a"]["reason"]) == ("written", ["trap"], "trap/bad")
    samples = ShardSet.open(tmp_path / "d").samples("train", [0, 1])
    assert {sample.key: set(sample.members) for sample in samples} == {"a": {"text"}, "c": {"text", "trap"}}


@pytest.mark.usefixtures("traps")
def test_too_many_bad_records_stop_the_step_with_examples(tmp_path: Path, store: LocalStore) -> None:
    records = trap_records(*["bad"] * 30, *[f"ok {number}" for number in range(70)])
    records = [dataclasses.replace(record, members={"trap": record.members["trap"] + b" %d" % n}) for n, record in enumerate(records)]  # type: ignore[operator]
    corpus = write_corpus(tmp_path / "c", records)
    limits = {"max_rate": 0.2, "probation": 50}
    with pytest.raises(
        TooManyBadRecords, match=r"30 of the first 100 records are bad; the recipe allows 20\.0%(.|\n)*trap/bad: it says so"
    ):
        make_shards(tmp_path / "a", corpus, store, prepare={"trap": {}}, bad_records=limits)
    assert any(name.endswith(".tar") for name in store.list("pool"))
    for name, more in (("more", {"max_rate": 0.3}), ("later", {"max_rate": 0.2, "probation": 101})):
        assert make_shards(tmp_path / name, corpus, store, prepare={"trap": {}}, bad_records=more)["units"]["built"] == 0


@pytest.mark.usefixtures("traps")
def test_a_corpus_of_bad_records_alone_is_an_error(tmp_path: Path, store: LocalStore) -> None:
    corpus = write_corpus(tmp_path / "c", trap_records("bad 1", "bad 2"))
    with pytest.raises(TooManyBadRecords, match=r"none of the 2 records can be written:\n  r000: trap/bad"):
        make_shards(tmp_path / "a", corpus, store, prepare={"trap": {}})


@pytest.mark.usefixtures("traps")
@pytest.mark.parametrize(("word", "kind"), [("bug", NameError), ("memory", MemoryError), ("odd", RuntimeError)])
def test_errors_of_the_program_are_no_bad_records(tmp_path: Path, store: LocalStore, word: str, kind: type[Exception]) -> None:
    corpus = write_corpus(tmp_path / "c", trap_records("ok", word))
    with pytest.raises(kind) as caught:
        make_shards(tmp_path / "a", corpus, store, prepare={"trap": {}})
    assert "record 'r001'" in "".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


def test_a_source_that_changed_after_ingest_fails_its_unit_and_names_the_file(tmp_path: Path, store: LocalStore) -> None:
    corpus = write_corpus(tmp_path / "c", texts(30, split="train"))
    changed = tmp_path / "c" / "media" / "t00000.text"
    changed.write_bytes(b"something else")
    with pytest.raises(ChangedSource, match=rf"{changed} \(text of record 't00000'\) changed after it was ingested"):
        make_shards(tmp_path / "a", corpus, store)
    changed.unlink()
    with pytest.raises(ChangedSource, match="No such file"):
        make_shards(tmp_path / "b", corpus, store)


def test_other_shards_are_finished_when_one_has_a_changed_source(tmp_path: Path, store: LocalStore) -> None:
    corpus = write_corpus(tmp_path / "c", texts(100))
    (tmp_path / "c" / "media" / "t00000.text").write_bytes(b"something else")
    with pytest.raises(ChangedSource):
        make_shards(tmp_path / "a", corpus, store)
    (tmp_path / "c" / "media" / "t00000.text").write_bytes(b"Text number 0")
    assert make_shards(tmp_path / "b", corpus, store)["units"] == {"built": 1, "reused": 2}


def test_a_worker_with_other_codecs_does_not_write(tmp_path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.shards.prepare.codec_fingerprint", lambda prepare: "f" * 64)
    corpus = write_corpus(tmp_path / "c", texts(3))
    with pytest.raises(FingerprintMismatch, match="ffffffffffffffff"):
        make_shards(tmp_path / "a", corpus, store)
    assert not any(name.endswith(".tar") for name in store.list("pool"))


# ---- decoders that take the process with them --------------------------------------------------------------------------


@pytest.mark.usefixtures("traps")
def test_a_decoder_that_crashes_three_times_is_a_verdict_that_is_reused_and_can_be_cleared(tmp_path: Path, store: LocalStore) -> None:
    corpus = write_corpus(tmp_path / "c", trap_records("ok", "crash", "fine"))
    summary = make_shards(tmp_path / "a", corpus, store, prepare={"trap": {}})
    assert summary["quarantined"] == {"decoder/crashed": 1}
    assert len(store.list("verdicts")) == 1
    assert store.list("pool/attempts") == []
    assert make_shards(tmp_path / "b", corpus, store, prepare={"trap": {}})["units"] == {"built": 0, "reused": 1}
    assert attempts.retry(store, ["another"]) == []
    assert attempts.retry(store) == ["r001"]
    again = make_shards(tmp_path / "d", corpus, store, prepare={"trap": {}})
    assert again["quarantined"] == {"decoder/crashed": 1}
    assert hashes(tmp_path / "a") == hashes(tmp_path / "d")


@pytest.mark.usefixtures("traps")
def test_a_decoder_that_hangs_is_ended_and_its_record_quarantined(tmp_path: Path, store: LocalStore) -> None:
    corpus = write_corpus(tmp_path / "c", trap_records("ok", "hang", "fine"))
    begun = time.monotonic()
    summary = make_shards(tmp_path / "a", corpus, store, prepare={"trap": {}}, decode_timeout_s=0.5)
    assert summary["quarantined"] == {"decoder/hung": 1}
    assert time.monotonic() - begun < 20
    assert "longer than decode_timeout_s = 0.5" in str(pq.read_table(tmp_path / "a" / "ledger.parquet")["detail"])


@pytest.mark.usefixtures("traps")
def test_a_worker_killed_once_is_no_verdict_and_the_shard_is_the_same(tmp_path: Path, store: LocalStore) -> None:
    corpus = write_corpus(tmp_path / "c", trap_records("ok", "crash once", "fine"))
    flag = tmp_path / "flag"
    prepare = {"trap": {"crash_once": str(flag)}}
    summary = make_shards(tmp_path / "a", corpus, store, prepare=prepare)
    assert flag.exists()
    assert summary["ledger"]["written"] == 3
    assert make_shards(tmp_path / "b", corpus, LocalStore.open(tmp_path / "other"), prepare=prepare)["ledger"]["written"] == 3
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def dying_attempt(store: LocalStore) -> None:
    """As a killed process leaves it: its file is there, at no member."""
    attempt = attempts.Attempt(store, "unit").__enter__()
    attempt.end()
    os.close(attempt._file or 0)


@pytest.mark.parametrize("kills", [[], [3, 7]], ids=["nothing said", "twice for memory"])
def test_a_worker_that_dies_again_and_again_stops_the_step_with_what_is_known(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, kills: list[int]
) -> None:
    for number in range(attempts.MAX_OTHER_DEATHS):
        monkeypatch.setattr(attempts, "_memory_kills", lambda number=number: 40 + sum(number >= each for each in kills))
        dying_attempt(store)
    said = "at 2 of them this machine had ended a process for want of memory" if kills else "ended no process for want of memory"
    with pytest.raises(TaskError, match=rf"unit unit ended 10 times .* not while decoding a record; .*{said}.*run the same command again"):
        attempts.Attempt(store, "unit").__enter__()
    with attempts.Attempt(store, "unit") as again:
        assert again.dead == {}, "it counts anew"


def test_two_attempts_at_once_count_no_deaths(store: LocalStore) -> None:
    with attempts.Attempt(store, "unit") as one:
        one.begin("3 text")
        with attempts.Attempt(store, "unit") as other:
            other.begin("1 text")
            assert other.dead == {}
        one.end()
    with attempts.Attempt(store, "unit") as later:
        assert later.dead == {}


# ---- stopping ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("traps")
def test_a_stop_is_honoured_soon_and_finished_shards_are_kept(tmp_path: Path, store: LocalStore) -> None:
    first = trap_records("quick " + "x" * 8192)  # the largest shard is built first
    records = [dataclasses.replace(record, split="val") for record in first]
    records += [Record(f"s{number:03d}", {"trap": b"slow %d" % number}) for number in range(400)]
    corpus = write_corpus(tmp_path / "c", records)
    stop, sink = threading.Event(), Recorder()
    settings = {"prepare": {"trap": {}}, **ONE_UNIT}

    def stop_after_the_first() -> None:
        while len(sink.done) < 2:
            time.sleep(0.05)
        stop.set()
        sink.note(str(time.monotonic()))

    threading.Thread(target=stop_after_the_first, daemon=True).start()
    with pytest.raises(Stopped, match="finished shards are kept"):
        make_shards(tmp_path / "a", corpus, store, run=context(store, sink=sink, stop=stop), **settings)
    assert time.monotonic() - float(sink.notes[-1]) < 5
    assert sum(name.endswith(".tar") for name in store.list("pool")) == 1
    assert store.list("pool/attempts") == []


# ---- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prepare": {}}, "at least 1 item"),
        ({"prepare": {"imagge": {}}}, "did you mean 'image'"),
        ({"prepare": {"image": {"max_sid": 3}}}, r"prepare.image.max_sid\n  Extra inputs"),
        ({"prepare": {"text": {}}, "fit": {"image": {}}}, "fit names image, which prepare does not"),
        ({"prepare": {"text": {}}, "sizes": {"min_records": 9, "max_records": 3}}, "above max_records"),
        ({"prepare": {"text": {}}, "decode_timeout_s": 0}, "greater than 0"),
    ],
)
def test_wrong_settings_are_explained(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ShardConfig.model_validate(settings)


def test_settings_survive_a_round_trip_and_an_empty_entry_means_defaults() -> None:
    config = ShardConfig.model_validate({"prepare": {"image": {"max_side": 8}, "text": None}})
    assert ShardConfig.model_validate(config.model_dump(mode="json")) == config
    assert isinstance(config.prepare["text"], MODALITIES["text"].prepare)
    assert ShardConfig.model_json_schema()["properties"]["prepare"]["properties"].keys() == MODALITIES.keys()


def test_the_identity_names_version_and_fingerprint_of_each_codec(tmp_path: Path) -> None:
    found = identity(ShardConfig.model_validate({"prepare": {"text": {}}}), tmp_path)
    assert found["codecs"]["text"]["version"] == MODALITIES["text"].version
    assert len(found["codecs"]["text"]["fingerprint"]) == 64


def test_the_estimate_is_the_corpus(tmp_path: Path) -> None:
    config = ShardConfig.model_validate({"prepare": {"text": {}}})
    assert estimate(config, tmp_path, {"corpus": {"records": 5, "bytes": 70, "groups": 2}}) == {"records": 5, "bytes": 70}


def test_a_modality_that_the_table_has_no_column_for_is_found_before_anything_runs() -> None:
    from tasks.ingest import IngestConfig

    table = {"format": "table", "path": "x.csv", "columns": {"text": "caption"}}
    config = ShardConfig.model_validate({"prepare": {"image": {}, "text": {}}})
    (problem,) = lint(config, {"corpus": IngestConfig.model_validate({"source": table})})
    assert problem == "prepare names image, but the source of the corpus has columns for text only"
    assert lint(config, {}) == []


def test_an_artifact_may_lie_in_a_folder_called_like_its_own_folder_of_tars(tmp_path: Path, store: LocalStore) -> None:
    make_shards(tmp_path / "shards", write_corpus(tmp_path / "c", texts(3, split="train")), store)
    assert verify(tmp_path / "shards") == []


def test_partitions_get_shards_of_their_own_whatever_they_are_called(tmp_path: Path, store: LocalStore) -> None:
    names = ("default", "site_a", "../b", ".. b")
    records = [Record(f"r{number}", {"text": b"%d" % number}, partition=name) for number, name in enumerate(names)]
    make_shards(tmp_path / "a", write_corpus(tmp_path / "c", records), store)
    shards = ShardSet.open(tmp_path / "a").meta["shards"]
    assert {shard["partition"] for shard in shards} == set(names)
    assert {"shards/train-000000.tar", "shards/train-site_a-000000.tar"} < {shard["name"] for shard in shards}
    assert len({path.name for path in (tmp_path / "a" / "shards").iterdir()}) == 4
    assert verify(tmp_path / "a") == []


def test_a_label_must_not_be_called_like_a_column_of_ours(tmp_path: Path, store: LocalStore) -> None:
    corpus = write_corpus(tmp_path / "c", [Record("a", {"text": b"a"}, labels={"group": "x"})])
    with pytest.raises(LabelError, match="a label is named group"):
        make_shards(tmp_path / "a", corpus, store)


def test_an_empty_corpus_and_one_without_the_prepared_modalities_are_refused(tmp_path: Path, store: LocalStore) -> None:
    with pytest.raises(InputError, match="no records"):
        make_shards(tmp_path / "a", write_corpus(tmp_path / "c1", []), store)
    with pytest.raises(InputError, match="the corpus has audio"):
        make_shards(tmp_path / "b", write_corpus(tmp_path / "c2", [Record("a", {"audio": b"x"})]), store)
    with pytest.raises(CorruptArtifact, match="not a whole corpus"):
        make_shards(tmp_path / "d", dataclasses.replace(write_corpus(tmp_path / "c2", []), path=tmp_path), store)


def test_config_and_a_run_with_nothing_to_build_import_neither_ray_nor_torch(tmp_path: Path, store: LocalStore) -> None:
    corpus = write_corpus(tmp_path / "c", texts(5, split="train"))
    make_shards(tmp_path / "a", corpus, store)
    script = f"""
import sys
from pathlib import Path
import tasks.shard
heavy = {{'ray', 'torch', 'pyarrow', 'numpy', 'PIL', 'mlflow'}} & set(sys.modules)
assert not heavy, heavy
from tests.tasks.shards.corpora import *
artifact = Artifact('corpus', {corpus.key!r}, Path({str(corpus.path)!r}))
assert make_shards(Path({str(tmp_path / "b")!r}), artifact, LocalStore.open(Path({str(store.root)!r})))['units']['built'] == 0
assert not {{'ray', 'mlflow'}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ, cwd=Path(__file__).parents[2])
