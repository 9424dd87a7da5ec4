"""`tasks.sources.webdataset`: what the library writes and what we write is read back; all else is refused by name."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import re
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import webdataset
from pydantic import ValidationError

from pipeline.store import LocalStore
from tasks.contracts import SourceRecord
from tasks.errors import SourceError
from tasks.ingest import IngestConfig, ingest
from tasks.shards.read import ShardSet
from tasks.sources import WebDatasetSource
from tasks.sources.webdataset import WebDatasetTars
from tests.tasks.shards.corpora import make_shards, picture, texts, write_corpus
from tests.tasks.sources.toys import Sink, context


def write_tar(path: Path, files: Mapping[str, bytes] | list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in files.items() if isinstance(files, Mapping) else files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def source(folder: Path, path: Any = "*.tar", **options: Any) -> WebDatasetTars:
    return WebDatasetTars(WebDatasetSource(path=path, **options), folder)


def records(folder: Path, path: Any = "*.tar", **options: Any) -> dict[str, SourceRecord]:
    return {record.key: record for record in source(folder, path, **options).records(folder)}


def refused(folder: Path, **options: Any) -> dict[str, tuple[str, str]]:
    """Reason and sentence of what was given up in `t.tar`, by key, while another tar is read."""
    write_tar(folder / "other.tar", {"other.txt": b"other"})
    found = records(folder, **options)
    assert content(found.pop("other")) == {"text": b"other"}
    return {key: (place.refused, place.why) for key, record in found.items() for place in record.members.values() if place.refused}


def content(record: SourceRecord) -> dict[str, bytes]:
    """The bytes that the locators point to."""
    found = {}
    for modality, locator in record.members.items():
        assert locator.offset is not None
        assert locator.length is not None
        found[modality] = Path(locator.uri).read_bytes()[locator.offset : locator.offset + locator.length]
    return found


# ---- what is read -----------------------------------------------------------------------------------------------------


def test_what_the_library_writes_is_read_back(tmp_path: Path) -> None:
    samples = [{"__key__": f"s/{number:03d}", "txt": f"text {number}", "cls": number % 3, "json": {"age": number}} for number in range(7)]
    with webdataset.ShardWriter(str(tmp_path / "set-%02d.tar"), maxcount=3, verbose=0) as writer:
        for sample in samples:
            writer.write(sample)
    found = records(tmp_path, "set-{00..02}.tar", labels={"kind": "cls", "age": {"field": "age", "kind": "number"}})
    assert {key: content(record)["text"].decode() for key, record in found.items()} == {str(one["__key__"]): one["txt"] for one in samples}
    assert found["s/004"].labels == {"kind": "1", "age": 4.0}
    assert {Path(record.members["text"].uri).name for record in found.values()} == {"set-00.tar", "set-01.tar", "set-02.tar"}


def test_our_own_shards_are_read_back(tmp_path: Path) -> None:
    given = texts(60)
    for number in range(0, 60, 3):
        given[number].members = {**given[number].members, "image": picture(number)}
    made = tmp_path / "made"
    settings = {"prepare": {"text": {}, "image": {}}, "embed_labels": True}
    make_shards(made, write_corpus(tmp_path / "corpus", given), LocalStore.open(tmp_path / "store"), **settings)
    shards = ShardSet.open(made)
    split = {name: f"{name}-*" for name in ("train", "val", "test")}
    found = records(made, "shards/*.tar", split=split, labels={"digit": "json.digit"})
    for name in shards.splits:
        keys, labels = shards.keys(name), shards.labels(name)["digit"]
        for sample, digit in zip(shards.samples(name, range(len(keys))), labels, strict=True):
            record = found.pop(sample.key)
            assert content(record) == dict(sample.members)
            assert (record.split, record.labels.get("digit")) == (name, digit)
    assert not found


def test_the_library_finds_the_same_samples(tmp_path: Path) -> None:
    files = {"./a/1.b.TXT": b"x", "a/2.txt": b"y", "a/2.seg.png": b"p", "__meta__/3.txt": b"", "4": b"", "dir.d/5.txt": b"z", "6.jpg": b"j"}
    write_tar(tmp_path / "t.tar", files)
    options: dict[str, Any] = {"columns": {"text": ["txt", "b.txt"], "image": ["seg.png", "jpg"]}}
    found = records(tmp_path, **options)
    with (tmp_path / "t.tar").open("rb") as file:  # the library leaves closing the files it opens to the garbage collector
        grouped = webdataset.tariterators.group_by_keys(webdataset.tariterators.tar_file_expander([{"url": "t.tar", "stream": file}]))
        theirs = {one["__key__"].removeprefix("./"): one for one in grouped}
    assert found.keys() == theirs.keys() == {"a/1", "a/2", "dir.d/5", "6"}
    assert content(found["a/2"]) == {"text": theirs["a/2"]["txt"], "image": theirs["a/2"]["seg.png"]}


def test_long_names_and_unicode_are_read_in_every_format_of_tar(tmp_path: Path) -> None:
    name = "ordner/" * 40 + "größe"
    for number, kind in enumerate((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        with tarfile.open(tmp_path / f"{number}.tar", "w", format=kind) as tar:
            info = tarfile.TarInfo(f"{name}.txt")
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
            tar.addfile(tarfile.TarInfo(f"{name}-2.txt"))
        found = records(tmp_path, f"{number}.tar")
        assert content(found[name]) == {"text": b"abc"}
        assert content(found[f"{name}-2"]) == {"text": b""}


def test_fields_of_json_give_key_group_split_and_labels(tmp_path: Path) -> None:
    about = {"id": 17, "who": {"name": "ann"}, "part": "val", "price": "1.5", "tag": True, "none": None}
    write_tar(tmp_path / "t.tar", {"1.txt": b"x", "1.json": json.dumps(about).encode(), "2.txt": b"y", "2.json": b'{"id": "b"}'})
    labels = {"who": "json.who.name", "price": {"field": "price", "kind": "number"}, "tag": "json.tag", "none": "json.none"}
    found = records(tmp_path, key="id", group="who.name", split="part", labels=labels)
    assert found.keys() == {"17", "b"}
    assert (found["17"].group, found["17"].split) == ("ann", "val")
    assert found["17"].labels == {"who": "ann", "price": 1.5, "tag": "True"}
    assert (found["b"].group, found["b"].split, found["b"].labels) == ("", "", {})


def test_keys_that_begin_anew_in_every_tar_take_its_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tar(tmp_path / f"{name}.tar", {"000.txt": b"x"})
    assert records(tmp_path, tar_in_key=True).keys() == {"a/000", "b/000"}


def test_a_list_of_paths_gives_each_tar_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tar(tmp_path / f"{name}.tar", {f"{name}.txt": b"x"})
    given = source(tmp_path, ["*.tar", "a.tar", "{a,b}.tar", str(tmp_path / "b.tar")])
    assert [record.key for record in given.records(tmp_path)] == ["a", "b"]
    assert given.snapshot()["bytes"] == 2 * (tmp_path / "a.tar").stat().st_size


def test_the_snapshot_changes_with_the_tars_and_reads_no_header(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"1.txt": b"x"})
    first = source(tmp_path).snapshot()["digest"]
    assert source(tmp_path).snapshot()["digest"] == first
    path.write_bytes(b"no tar at all")
    assert source(tmp_path).snapshot()["digest"] != first


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was loaded",))


def test_pickles_and_other_strangers_are_counted_and_never_loaded(tmp_path: Path) -> None:
    pickled = pickle.dumps(Bomb())
    write_tar(tmp_path / "t.tar", {"1.txt": b"x", "1.pkl": pickled, "1.pth": pickled, "2.pyd": pickled, "README": b"", "3.json": b"{}"})
    run = context(tmp_path)
    (tmp_path / "out").mkdir()
    summary = ingest(IngestConfig.model_validate({"source": {"format": "webdataset", "path": "t.tar"}}), {}, tmp_path / "out", run)
    assert summary["records"] == 1
    assert summary["ignored"] == {"": 1, "json": 1, "pkl": 1, "pth": 1, "pyd": 1}
    assert isinstance(run.sink, Sink)
    assert any("1 x .pkl" in note for note in run.sink.notes)


def test_the_library_is_secure_while_it_groups_and_as_it_was_afterwards(tmp_path: Path) -> None:
    write_tar(tmp_path / "t.tar", {"1.txt": b"x"})
    seen = [webdataset.utils.enforce_security for _ in source(tmp_path).records(tmp_path)]
    assert (seen, webdataset.utils.enforce_security) == ([True], False)


# ---- what is refused --------------------------------------------------------------------------------------------------


def link(kind: bytes) -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo("1.txt")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)

    return add


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (tarfile.SYMTYPE, "'1.txt' is a link to '/etc/passwd', and links are not followed; pack the tar again with"),
        (tarfile.LNKTYPE, "'1.txt' is the same file as '/etc/passwd'"),
        (tarfile.FIFOTYPE, "'1.txt' is a device or a pipe"),
        (tarfile.CHRTYPE, "'1.txt' is a device or a pipe"),
    ],
)
def test_links_and_devices_are_refused_by_name(tmp_path: Path, kind: bytes, message: str) -> None:
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        link(kind)(tar)
    with pytest.raises(SourceError, match=rf"t\.tar: the member {message}"):
        records(tmp_path)


@pytest.mark.parametrize("name", ["../1.txt", "a/../../1.txt", "/etc/1.txt"])
def test_names_that_point_out_of_their_folder_are_refused(tmp_path: Path, name: str) -> None:
    write_tar(tmp_path / "t.tar", {name: b"x"})
    with pytest.raises(SourceError, match=rf"t\.tar: the member '{name}' points out of its folder"):
        records(tmp_path)


def test_members_in_two_places_make_their_sample_a_bad_one(tmp_path: Path) -> None:
    write_tar(tmp_path / "t.tar", {"a.jpg": b"", "b.jpg": b"", "a.txt": b""})
    ((key, (reason, why)),) = refused(tmp_path).items()
    assert (key, reason) == ("a", "source/two_places")
    assert "t.tar: the members of 'a' are in two places ('a.txt' comes after others of 'b')" in why
    assert records(tmp_path)["a"].members.keys() == {"image", "text"}
    write_tar(tmp_path / "t.tar", {"a.jpg": b"", "b.jpg": b"", "a.txt": b"", "b.txt": b""})
    with pytest.raises(SourceError, match=r"t\.tar: the members of 'a' are in two places .*--sort"):
        records(tmp_path, "t.tar")


def test_a_member_that_is_refused_leaves_the_others_of_its_sample(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        link(tarfile.SYMTYPE)(tar)
        tar.addfile(tarfile.TarInfo("1.jpg"))
    members = records(tmp_path)["1"].members
    assert {name: place.refused for name, place in members.items()} == {"text": "source/link", "image": ""}


@pytest.mark.parametrize(("name", "data"), [("1.json", b"{"), ("1.json", b"\xff"), ("1.json", b"1" * (1 << 21))])
def test_a_damaged_label_makes_its_record_a_bad_one(tmp_path: Path, name: str, data: bytes) -> None:
    write_tar(tmp_path / "t.tar", {"1.txt": b"x", name: data, "2.txt": b"y"})
    found = refused(tmp_path, labels={"a": "json.a"})
    assert {key: reason for key, (reason, _) in found.items()} == {"1": "source/label"}
    assert "t.tar: the sample '1': its .json" in found["1"][1]


def test_tars_of_one_name_give_what_they_lost_keys_of_its_own(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_tar(tmp_path / folder / "t.tar", {"../1.txt": b"x", f"{folder}.txt": b"y"})
    assert records(tmp_path, "*/t.tar").keys() == {"a", "b", "refused/t/0", "refused/t-2/0"}


def test_a_tar_that_may_not_be_read_is_a_bad_record_until_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tar(tmp_path / "t.tar", {"1.txt": b"x"})
    opened = Path.open

    def closed(path: Path, *given: Any, **options: Any) -> Any:
        if path.name == "t.tar":
            raise PermissionError(13, "Permission denied")
        return opened(path, *given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", closed)
        assert refused(tmp_path) == {"refused/t/0": ("source/unreadable", f"the tar {tmp_path}/t.tar cannot be read: Permission denied")}
    assert refused(tmp_path) == {}


@pytest.mark.parametrize("names", [("a.txt", "a.txt"), ("a.txt", "a.TXT")])
def test_two_members_of_one_name_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    write_tar(tmp_path / "t.tar", [(name, b"x") for name in names])
    with pytest.raises(SourceError, match=rf"'a\.txt' and '{names[1]}' are one member of the sample 'a'"):
        records(tmp_path)


def test_two_members_for_one_modality_ask_which(tmp_path: Path) -> None:
    write_tar(tmp_path / "t.tar", {"a.jpg": b"", "a.png": b""})
    with pytest.raises(
        SourceError, match=r"the sample 'a' has \.jpg and \.png, and both would be its image; say which with `columns: {image"
    ):
        records(tmp_path)
    assert records(tmp_path, columns={"image": "png"})["a"].members["image"].offset == 1024


def damaged(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_tar(path, {"1.txt": b"x" * 600, "2.txt": b"y" * 600})
        path.write_bytes(change(path.read_bytes()))

    return write


@pytest.mark.parametrize(
    ("write", "reason", "message", "whole"),
    [
        (
            damaged(lambda data: data[:700]),
            "source/cut_off",
            r"breaks off at byte 0 \('1\.txt' is said to end at byte 1112, and the file",
            [],
        ),
        (damaged(lambda data: data[:1700]), "source/cut_off", r"breaks off at byte 1536 \(there is no end mark\)", ["1"]),
        (damaged(lambda data: data[:3072]), "source/cut_off", r"breaks off at byte 3072 \(there is no end mark\)", ["1", "2"]),
        (damaged(lambda data: data[:1540] + b"????" + data[1544:]), "source/cut_off", r"byte 1536 \(the header there is damaged\)", ["1"]),
        (damaged(lambda data: data + data), "source/after_end", "there is more, which tar readers overlook: were tars joined", ["1", "2"]),
        (damaged(gzip.compress), "source/no_tar", r"is compressed \(gzip\).*unpack it with `gunzip t\.tar`", []),
        (damaged(lambda data: b""), "source/no_tar", "is empty, not a tar", []),
        (damaged(lambda data: b"\x89PNG" * 400), "source/no_tar", "is no tar", []),
        (damaged(lambda data: b"short"), "source/no_tar", "is no tar", []),
    ],
)
def test_what_is_no_whole_tar_is_refused_with_the_place_and_read_up_to_it(
    tmp_path: Path, write: Callable[[Path], None], reason: str, message: str, whole: list[str]
) -> None:
    write(tmp_path / "t.tar")
    found = refused(tmp_path)
    assert [given for given, _ in found.values()] == [reason]
    assert re.search(rf"t\.tar.*{message}", next(iter(found.values()))[1])
    assert sorted(records(tmp_path).keys() - found.keys()) == [*whole, "other"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("pipe:touch OWNED", "is no local path; this source opens local tars and runs no commands"),
        ("https://example.org/a.tar", "is no local path"),
        ("-", "is no local path"),
        ("gone.tar", r"gone\.tar is not there \(No such file"),
        ("gone-{0..3}.tar", r"gone-0\.tar is not there"),
        ("gone-*.tar", r"no file fits 'gone-\*\.tar' below"),
        ("a-{0..3.tar", "has a brace that is not closed"),
        ("folder", r"is a folder; write `path: folder/\*\.tar`"),
        ("n-{0..2000000000}.tar", r"names 2,000,000,001 tars"),
        ("{0..99999}/n-{00..99}.tar", r"names 10,000,000 tars"),
    ],
)
def test_paths_that_lead_nowhere_say_what_was_looked_for(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(SourceError, match=message):
        source(tmp_path, path).snapshot()
    assert not (tmp_path / "OWNED").exists()


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({"1.json": b"{"}, {"labels": {"a": "json.a"}}, r"the sample '1': its \.json is not JSON"),
        ({"1.json": b"[" * 100_000}, {"labels": {"a": "json.a"}}, r"its \.json is not JSON"),
        ({"1.json": b'{"a": [1]}'}, {"labels": {"a": "json.a"}}, r"its \.json field 'a' is list; a label is a text or a number"),
        ({"1.cls": b"\xff"}, {"labels": {"a": "cls"}}, r"its \.cls is not UTF-8 text"),
        ({"1.cls": b"x"}, {"labels": {"a": {"extension": "cls", "kind": "number"}}}, "'x', which is no number"),
        ({"1.cls": b"x" * (1 << 21)}, {"labels": {"a": "cls"}}, "has 2097152 bytes; what labels are read from has at most"),
        ({"1.txt": b"x"}, {"key": "id"}, "has no field 'id' in a .json member, which is to be its key"),
        ({"1.txt": b"x", "1.json": b'{"part": "dev"}'}, {"split": "part"}, "has the split 'dev'; allowed: train, val, test"),
        ({"1.txt": b"x"}, {"split": {"train": "a-*"}}, r"t\.tar fits no pattern of `split` \(train: 'a-\*'\)"),
        ({"1.txt": b"x"}, {"split": {"train": "*", "val": "t*"}}, "fits the patterns of train and val of `split`"),
        ({"1.pdf": b"x"}, {}, r"hold no member to read \(1 x \.pdf\).*Name others with `columns`"),
    ],
)
def test_contents_that_cannot_be_used_name_tar_and_sample(
    tmp_path: Path, files: dict[str, bytes], options: dict[str, Any], message: str
) -> None:
    write_tar(tmp_path / "t.tar", files)
    with pytest.raises(SourceError, match=message):
        records(tmp_path, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": []}, "at least 1 item"),
        ({"columns": {"imag": "jpg"}}, "'imag' is no modality.*did you mean 'image'"),
        ({"columns": {"image": "x", "text": "x"}}, r"\.x cannot be both image and text"),
        ({"labels": {"a": "json"}}, "a member .json needs a `field`"),
        ({"labels": {"a": {"extension": "cls", "field": "x"}}}, "has no fields"),
        ({"split": {"dev": "*"}}, "'train', 'val' or 'test'"),
    ],
)
def test_mistakes_in_the_recipe_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        WebDatasetSource(**{"path": "*.tar", **options})


def test_equal_keys_of_two_tars_are_told_with_both(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tar(tmp_path / f"{name}.tar", {"000.txt": b"x"})
    (tmp_path / "out").mkdir()
    with pytest.raises(SourceError, match=r"two records have the key '000': '000' \(.*a\.tar\) and '000' \(.*b\.tar\)"):
        ingest(IngestConfig.model_validate({"source": {"format": "webdataset", "path": "*.tar"}}), {}, tmp_path / "out", context(tmp_path))
