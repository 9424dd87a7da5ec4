"""A store in a bucket against a real S3 server on loopback: the same promises as a folder, whatever goes wrong on the way."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import pickle
import random
import sys
from dataclasses import replace
from pathlib import Path

import obstore
import pytest

from pipeline import bucket, bucket_gc
from pipeline.bucket import DIGEST, Bucket, Patience
from pipeline.errors import RecipeError, StoreError
from pipeline.object_store import ObjectStore
from pipeline.places import place
from pipeline.store import LocalStore
from pipeline.stores import open_store
from tests.pipeline.s3 import QUICK, proxy, seeded_faults

KEY = "ab" + "0" * 62


@pytest.fixture(params=["folder", "s3", "memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    monkeypatch.setenv("MEDLEY_CACHE", str(tmp_path / "cache"))
    if request.param == "folder":
        return open_store(tmp_path / "store")
    if request.param == "s3":
        return open_store(request.getfixturevalue("s3_url"))
    return open_store(f"{request.param}://{tmp_path}/bucket")


def machine(url: str, folder: Path, **options: object) -> ObjectStore:
    """The store as a machine with copies of its own sees it."""
    store = ObjectStore(folder, url, **options)
    store.ready()
    return store


def made(store: LocalStore, key: str = KEY, **files: bytes) -> bool:
    folder = store.scratch()
    (folder / "inner").mkdir(parents=True)
    for name, content in files.items():
        (folder / "inner" / name).write_bytes(content)
    return store.publish_artifact(folder, {"kind": "corpus", "key": key, "step": "s", "summary": {"n": 1}, "inputs": {}})


def test_an_object_is_created_once_and_never_changes(store: LocalStore) -> None:
    assert store.create("a/b.json", b"one")
    assert not store.create("a/b.json", b"two")
    assert store.read("a/b.json") == b"one"
    assert store.exists("a/b.json")
    assert store.list("a") == ["a/b.json"]
    assert store.list("none") == []
    with pytest.raises(FileNotFoundError):
        store.read("a/none")


def test_a_file_is_published_once_and_comes_down_as_it_was(store: LocalStore) -> None:
    for content in (b"first", b"second"):
        scratch = store.scratch()
        scratch.write_bytes(content)
        assert store.publish(scratch, "pool/aa/x.tar") == (content == b"first")
        assert not scratch.exists()
    assert store.local_path("pool/aa/x.tar").read_bytes() == b"first"
    assert not store.local_path("pool/aa/none").exists()


def test_what_is_deleted_is_gone_and_can_be_made_anew(store: LocalStore) -> None:
    store.create("a/b", b"one")
    assert store.local_path("a/b").read_bytes() == b"one"
    store.delete("a/b")
    store.delete("a/b")
    assert not store.exists("a/b")
    assert store.create("a/b", b"two")
    assert store.local_path("a/b").read_bytes() == b"two"


def test_names_cannot_leave_the_store(store: LocalStore) -> None:
    for name in ("../x", "/etc/passwd", "a/../../x", ""):
        for use in (store.local_path, store.read, store.exists, store.delete, lambda name: store.create(name, b"")):
            with pytest.raises(ValueError, match="not a name"):
                use(name)


def test_an_artifact_is_what_its_maker_published_and_the_second_maker_changes_nothing(store: LocalStore) -> None:
    assert store.artifact(KEY) is None
    assert made(store, first=b"1", second=b"22")
    assert not made(store, first=b"other")
    artifact = store.artifact(KEY)
    assert artifact is not None
    assert (artifact.kind, artifact.summary) == ("corpus", {"n": 1})
    folder = store.bring(KEY)
    assert folder == artifact.path
    assert {path.name: path.read_bytes() for path in (folder / "inner").iterdir()} == {"first": b"1", "second": b"22"}
    store.remove_artifact(KEY)
    assert store.artifact(KEY) is None
    assert made(store, first=b"new")
    assert (store.bring(KEY) / "inner" / "first").read_bytes() == b"new"


def test_another_machine_sees_the_winner_whatever_it_made_itself(s3_url: str, tmp_path: Path) -> None:
    here, there = machine(s3_url, tmp_path / "here"), machine(s3_url, tmp_path / "there")
    assert made(here, a=b"here")
    assert not made(there, a=b"there")
    assert (there.bring(KEY) / "inner" / "a").read_bytes() == b"here"


def test_a_shard_lies_in_the_bucket_once_and_is_a_link_on_both_machines(s3_url: str, tmp_path: Path) -> None:
    here, there = machine(s3_url, tmp_path / "here"), machine(s3_url, tmp_path / "there")
    scratch = here.scratch()
    scratch.write_bytes(b"tar" * 1000)
    here.publish(scratch, "pool/aa/x.tar")
    folder = here.scratch()
    folder.mkdir()
    (folder / "x.tar").hardlink_to(here.local_path("pool/aa/x.tar"))
    here.publish_artifact(folder, {"kind": "shards", "key": KEY, "step": "s", "summary": {}, "inputs": {}})
    assert [name for name in here.bucket.entries("") if name.endswith(".tar")] == ["pool/aa/x.tar"]
    for store in (here, there):
        tar = store.bring(KEY) / "x.tar"
        assert tar.read_bytes() == b"tar" * 1000
        assert tar.samefile(store.local_path("pool/aa/x.tar"))


def published(store: ObjectStore, content: bytes, name: str = "pool/aa/x.tar") -> bool:
    scratch = store.scratch()
    scratch.write_bytes(content)
    return store.publish(scratch, name)


def test_a_large_file_goes_up_in_parts_and_is_made_once(s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "LARGE_BYTES", 6 << 20)
    monkeypatch.setattr(bucket, "PART_BYTES", 5 << 20)  # the smallest that S3 takes
    here, there = machine(s3_url, tmp_path / "here"), machine(s3_url, tmp_path / "there")
    content = random.Random(0).randbytes((12 << 20) + 7)
    assert published(here, content)
    assert not published(there, bytes(13 << 20)), "the first to make it decides, whatever the other put"
    assert there.local_path("pool/aa/x.tar").read_bytes() == content
    assert there.bucket.size("pool/aa/x.tar") == len(content)
    (name,) = here.bucket.entries("large")
    assert name == f"large/pool/aa/x.tar/{hashlib.sha256(content).hexdigest()}"
    assert here.bucket.entries("pool")["pool/aa/x.tar"][0] == 0
    folder = here.scratch()
    folder.mkdir()
    (folder / "x.tar").hardlink_to(here.local_path("pool/aa/x.tar"))
    here.publish_artifact(folder, {"kind": "shards", "key": KEY, "step": "s", "summary": {}, "inputs": {}})
    assert (machine(s3_url, tmp_path / "third").bring(KEY) / "x.tar").read_bytes() == content
    here.delete("pool/aa/x.tar")
    assert here.bucket.entries("large") == {}
    assert not here.exists("pool/aa/x.tar")


def test_of_two_makers_of_a_large_file_one_wins_and_what_the_other_put_is_garbage(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "LARGE_BYTES", 1000)
    here, there = machine(s3_url, tmp_path / "here"), machine(s3_url, tmp_path / "there")
    replace_ = Bucket.replace

    def overtaken(own: Bucket, name: str, data: bytes | Path) -> None:
        replace_(own, name, data)
        if name.startswith("large/"):
            monkeypatch.setattr(Bucket, "replace", replace_)
            assert published(there, b"there" * 1000)

    monkeypatch.setattr(Bucket, "replace", overtaken)
    assert not published(here, b"here!" * 1000)
    assert here.local_path("pool/aa/x.tar").read_bytes() == b"there" * 1000
    assert len(here.bucket.entries("large")) == 2
    found = bucket_gc.collect(here, 0, grace_s=-1)
    assert sorted(item.name.split("/")[0] for item in found.garbage if item.what == "pool") == ["large", "large", "pool"]
    assert here.bucket.entries("large") == here.bucket.entries("pool") == {}


def test_a_large_file_that_was_cut_off_on_its_way_is_not_there_and_goes_up_again(
    s3_endpoint: str, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "LARGE_BYTES", 6 << 20)
    monkeypatch.setattr(bucket, "PART_BYTES", 5 << 20)
    content = bytes(11 << 20)
    with (
        proxy(s3_endpoint, lambda method, path: "503" if "partNumber=2" in path else "") as (endpoint, _seen),
        monkeypatch.context() as patch,
    ):
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(StoreError, match="could not write large/"):
            published(machine(s3_url, tmp_path / "cut", patience=Patience(retries=0, rounds=1)), content)
    here = machine(s3_url, tmp_path / "here")
    assert not here.exists("pool/aa/x.tar")
    assert here.bucket.entries("large") == {}
    assert published(here, content)
    assert machine(s3_url, tmp_path / "there").local_path("pool/aa/x.tar").read_bytes() == content


def test_what_came_down_wrong_is_refused_and_what_is_wrong_on_this_machine_comes_down_again(s3_url: str, tmp_path: Path) -> None:
    here = machine(s3_url, tmp_path / "here")
    made(here, a=b"right")
    (here.artifact_path(KEY) / "inner" / "a").write_bytes(b"short")
    (here.artifact_path(KEY) / "inner" / "a").write_bytes(b"sh")
    assert (here.bring(KEY) / "inner" / "a").read_bytes() == b"right"
    name = next(name for name in here.bucket.entries("artifacts") if name.endswith("inner/a"))
    here.bucket.replace(name, b"wrong")
    with pytest.raises(StoreError, match="not what its manifest says"):
        machine(s3_url, tmp_path / "there").bring(KEY)
    assert not (tmp_path / "there" / "artifacts").exists()


def test_a_shard_that_is_another_one_in_the_bucket_does_not_come_down(s3_url: str, tmp_path: Path) -> None:
    here = machine(s3_url, tmp_path / "here")
    scratch = here.scratch()
    scratch.write_bytes(b"tar" * 1000)
    here.publish(scratch, "pool/aa/x.tar")
    data, copy = b"rat" * 1000, tmp_path / "copy"
    obstore.put(here.bucket._client, "pool/aa/x.tar", data, attributes={DIGEST: hashlib.sha256(b"tar" * 1000).hexdigest()})
    with pytest.raises(StoreError, match="other ones than went up"):
        replace(here.bucket, patience=QUICK).download("pool/aa/x.tar", copy)
    assert not copy.exists()


def test_a_disk_too_small_for_an_artifact_is_told_before_anything_comes_down(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(machine(s3_url, tmp_path / "here"), a=b"0123456789")
    there = machine(s3_url, tmp_path / "there")
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 3}))
    with pytest.raises(StoreError, match="has 3 bytes free and 10 are to come down"):
        there.bring(KEY)


def test_a_store_pickles_and_its_copy_works(s3_url: str) -> None:
    store = open_store(s3_url)
    store.create("a", b"1")
    copy = pickle.loads(pickle.dumps(store))
    assert copy == store
    assert copy.read("a") == b"1"


# ---- races -------------------------------------------------------------------------------------------------------------


def _claim(url: str, writer: int, rounds: int, gate: object, won: object) -> None:
    bucket = Bucket(url)
    for number in range(rounds):
        gate.wait()
        if bucket.create(f"race/{number}", str(writer).encode()):
            won.put((number, writer))


def race(url: str, writers: int, rounds: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    gate, won = spawn.Barrier(writers), spawn.Queue()
    processes = [spawn.Process(target=_claim, args=(url, writer, rounds, gate, won)) for writer in range(writers)]
    for process in processes:
        process.start()
    winners = dict(won.get(timeout=600) for _ in range(rounds))
    for process in processes:
        process.join()
    assert won.empty(), "a round had two winners"
    assert sorted(winners) == list(range(rounds))
    bucket = Bucket(url)
    assert {number: int(bucket.read(f"race/{number}")) for number in range(rounds)} == winners


def test_of_processes_that_put_one_name_at_once_exactly_one_makes_it(s3_url: str) -> None:
    race(s3_url, writers=3, rounds=3)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_of_eight_processes_exactly_one_wins_in_each_of_200_rounds(s3_url: str) -> None:
    race(s3_url, writers=8, rounds=200)


# ---- faults ------------------------------------------------------------------------------------------------------------


def test_a_put_whose_answer_was_lost_knows_its_own_object(s3_endpoint: str, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = iter(["answer lost"])
    with proxy(s3_endpoint, lambda method, _path: next(lost, "") if method == "PUT" else "") as (endpoint, seen):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        bucket = Bucket(f"{s3_url}/lost", QUICK)
        assert bucket.create("a", b"1")
        assert seen["answer lost"] == 1
        assert not Bucket(f"{s3_url}/lost", replace(QUICK, rounds=7)).create("a", b"1"), (
            "another writer of the same bytes is another writer"
        )


def test_a_conflict_that_leaves_no_object_is_tried_again(s3_endpoint: str, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    conflicts = iter(["409"])
    with proxy(s3_endpoint, lambda method, _path: next(conflicts, "") if method == "PUT" else "") as (endpoint, seen):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        assert Bucket(f"{s3_url}/conflict", QUICK).create("a", b"1")
        assert seen["409"] == 1


@pytest.mark.parametrize("seed", [2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 13))])
def test_a_store_works_while_a_fifth_of_all_requests_go_wrong(
    s3_endpoint: str, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    with proxy(s3_endpoint, seeded_faults(seed, 0.2)) as (endpoint, seen):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        here, there = (machine(f"{s3_url}/{seed}", tmp_path / name, patience=QUICK) for name in ("here", "there"))
        for number in range(15):
            assert here.create(f"things/{number}", str(number).encode())
            assert not there.create(f"things/{number}", b"late")
        assert len(there.list("things")) == 15
        assert made(here, a=b"a" * 100_000, b=b"b")
        assert (there.bring(KEY) / "inner" / "a").read_bytes() == b"a" * 100_000
        assert [there.read(f"things/{number}") for number in range(15)] == [str(number).encode() for number in range(15)]
    assert sum(number for kind, number in seen.items() if kind != "well") > 3


def test_a_store_that_stays_away_is_told_in_one_sentence_without_credentials(
    s3_endpoint: str, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy(s3_endpoint, lambda _method, _path: "503") as (endpoint, seen):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        patience = Patience(request_s=1.0, retries=1, rounds=2, pause_s=0.05)
        with pytest.raises(StoreError, match=r"gave up after 2 rounds of tries .*503.*finished work is kept") as caught:
            machine(f"{s3_url}/away", tmp_path / "here", patience=patience)
        assert seen["503"] == 4, "two rounds of one request and one repetition"
    assert "\n" not in str(caught.value)
    assert "test-secret-value" not in str(caught.value)
    assert "test-access" not in str(caught.value)


def test_credentials_that_are_not_taken_name_what_to_look_at(s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    with pytest.raises(StoreError, match=r"does not let us .*look at AWS_ACCESS_KEY_ID") as caught:
        machine(f"{s3_url}/denied", tmp_path / "here")
    assert "another-secret" not in str(caught.value)


def test_a_server_that_ignores_the_condition_is_refused_when_the_store_is_opened(
    s3_endpoint: str, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that answers every put with success, whatever is there."""
    with proxy(s3_endpoint, lambda method, _path: "200" if method == "PUT" else "") as (endpoint, _seen):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(StoreError, match=r"does not honour `If-None-Match: \*`"):
            machine(f"{s3_url}/careless", tmp_path / "here")


def test_a_bucket_that_is_not_there_is_told_as_that(s3_endpoint: str, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy(s3_endpoint, lambda _method, _path: "404") as (endpoint, _seen):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(StoreError, match="there is no such bucket; make it"):
            machine(f"{s3_url}/none", tmp_path / "here")


# ---- places ------------------------------------------------------------------------------------------------------------


def test_without_obstore_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(StoreError, match=r"needs the library obstore, .* pip install 'medley-pipeline\[s3\]'"):
        machine("s3://medley/none", tmp_path / "here")


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("ftp://host/x", "no stores of kind ftp://"),
        ("s3://", "names no bucket"),
        ("s3://user:secret@bucket/x", "credentials come from the environment"),
        ("az://c/x?sig=abc", "credentials come from the environment"),
    ],
)
def test_a_url_that_is_none_of_ours_is_refused_without_repeating_a_secret(said: str, problem: str) -> None:
    with pytest.raises(RecipeError, match=problem) as caught:
        place(said, Path("/recipes"))
    assert "secret" not in str(caught.value)
    assert "abc" not in str(caught.value)


def test_a_place_is_a_folder_beside_the_recipe_or_a_url_as_it_stands() -> None:
    assert place("store", Path("/recipes")) == Path("/recipes/store")
    assert place("s3://bucket/prefix/", Path("/recipes")) == "s3://bucket/prefix"


def test_the_manifest_in_the_bucket_names_only_objects_that_are_there(s3_url: str, tmp_path: Path) -> None:
    store = machine(s3_url, tmp_path / "here")
    made(store, a=b"1", b=b"2")
    manifest = json.loads(store.read(f"artifacts/ab/{KEY}/manifest.json"))
    objects = store.bucket.entries("")
    assert {entry["object"]: entry["bytes"] for entry in manifest["files"].values()}.items() <= {
        n: s for n, (s, _) in objects.items()
    }.items()
