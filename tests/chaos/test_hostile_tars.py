"""Hostile tars and tables through the real ingest and shard: what is bad is counted, quickly, in little memory, and nothing escapes."""

from __future__ import annotations

import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import webdataset  # takes seconds the first time, which are not to count

from tasks.errors import LabelError, SourceError
from tasks.ingest import IngestConfig, ingest
from tasks.sources import WebDatasetSource
from tasks.sources.normalise import normalise
from tasks.sources.webdataset import WebDatasetTars
from tests.chaos.hostile_tars import END, GOOD, hostile_tars, large_hostile_tars, member
from tests.chaos.malformed import CANARY, pickled
from tests.chaos.watched import outside, run
from tests.tasks.sources.toys import context

SECONDS = 10
REFUSED_FOR = {
    "source/outside": {
        "a name that leads out",
        "a name that leads out in the middle",
        "an absolute name",
        "a name in PAX that leads out",
        "an absolute name in PAX for all",
        "a long name of GNU that leads out",
    },
    "source/link": {"a symbolic link", "a hard link", "a link, then a file through it"},
    "source/kind": {
        "a character device",
        "a block device",
        "a pipe",
        "an unknown kind",
        "a volume header",
        "a folder with a size",
    },
    "source/twice": {"the same name twice", "the same name in another case"},
    "source/two_places": {"the same name in two places"},
    "source/sparse": {"a sparse file of old GNU", "a sparse file of PAX 0.1", "a sparse file of PAX 0.0"},
    "source/name": {"a name in PAX that is not UTF-8", "an encoding in PAX"},
    "source/header": {"a size of 5,000 digits in PAX", "a PAX header of digits alone", "a PAX header of 2 MB"},
    "source/after_end": {"another tar behind the end"},
    "source/cut_off": {
        "a folder with a size",
        "a size in PAX that is larger",
        "a size in PAX that is negative",
        "a size in PAX that is no number",
        "a size that is negative",
        "a size that is negative and large",
        "a size of 8 EB",
        "a PAX header for nothing",
        "no end",
        "half a header",
        "a header that is damaged",
        "a member behind the end",
    },
    "source/no_tar": {
        "a sparse file of PAX 1.0",
        "a record of PAX of length nought",
        "3,000 PAX headers in a row",
        "3,000 long names in a row",
        "nothing",
        "compressed",
        "text",
        "a picture",
        "a pickle",
        "a PAX header behind the end",
        "a long name behind the end",
        "a checksum that is none",
    },
}
"""Reason → tars that have it. All others are odd and do no harm: every reader of tars agrees on what is in them."""
ENDS = {"source/header", "source/cut_off", "source/no_tar", "source/after_end"}
"""Reasons after which nothing of a tar is read."""


@pytest.fixture
def in_time() -> Any:
    """Ends the test when a tar is read without end."""

    assert webdataset.tariterators.group_by_keys

    def late(number: int, frame: Any) -> None:
        raise TimeoutError(f"not done after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize("name", hostile_tars())
def test_what_is_hostile_in_a_tar_is_refused_with_a_reason_and_the_rest_is_read_within_its_bounds(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t.tar"
    path.write_bytes(hostile_tars()[name])
    (tmp_path / "other.tar").write_bytes(member(b"other.txt") + END)
    source = WebDatasetTars(WebDatasetSource(path=("*.tar",)), tmp_path)
    found = [normalise(record).record for record in source.records(tmp_path)]
    members = [member for record in found for member in record.members.values()]
    reasons = sorted({member.refused for member in members if member.refused})
    assert reasons == sorted(reason for reason, names in REFUSED_FOR.items() if name in names)
    assert all("t.tar" in member.why for member in members if member.refused)
    assert any(record.key == "other" and not record.members["text"].refused for record in found)
    for locator in members:
        assert locator.uri in (str(path), str(tmp_path / "other.tar"))
        if not locator.refused:
            assert locator.offset is not None
            assert locator.length is not None
            assert 0 <= locator.offset <= locator.offset + locator.length <= Path(locator.uri).stat().st_size
    read = {record.key for record in found for member in record.members.values() if not member.refused}
    assert ("good" in read) == (GOOD in path.read_bytes() and not ENDS & set(reasons))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["other.tar", "t.tar"]


@pytest.mark.usefixtures("in_time")
def test_headers_of_gigabytes_take_no_memory(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in large_hostile_tars(tmp_path):
        with pytest.raises(SourceError, match="has 3,221,225,472 bytes; at most"):  # nothing else is in it
            list(WebDatasetTars(WebDatasetSource(path=(path.name,)), tmp_path).records(tmp_path))
        path.unlink()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_run_over_hostile_tars_writes_nothing_outside_and_completes_when_they_are_packed_anew(tmp_path: Path) -> None:
    (tmp_path / "tars").mkdir()
    names = ["a name that leads out", "a pickle as every kind of member", "a pickle as a picture", "a tar inside"]
    tars = {f"{number}.tar": hostile_tars()[name] for number, name in enumerate(names)}
    for name, data in tars.items():
        (tmp_path / "tars" / name).write_bytes(data)
    source = {"format": "webdataset", "path": "../tars/*.tar", "tar_in_key": True}
    settings: dict[str, Any] = {"prepare": {"image": {}, "text": {}}, "bad_records": {"max_rate": 1.0}, "duplicates": "keep"}
    strict = run(tmp_path, "strict", source, **settings | {"bad_records": {"max_rate": 0.0, "probation": 0}})
    assert strict.failed.startswith("TooManyBadRecords: ")
    assert "source/outside: its name in the tar leads out of its folder: " in strict.failed
    assert "tars/0.tar at byte 0" in strict.failed
    counted = run(tmp_path, "counted", source, **settings)
    assert counted.summary["ledger"] == {"in": 7, "written": 4, "filtered": 0, "duplicate": 0, "quarantined": 3, "forgotten": 0}
    assert counted.summary["quarantined"] == {"image/format": 1, "source/outside": 1, "text/not_utf8": 1}
    (tmp_path / "tars" / "0.tar").write_bytes(member(b"a.txt", b"packed anew") + END)
    for number in range(1, 4):
        (tmp_path / "tars" / f"{number}.tar").write_bytes(GOOD + END)
    mended = run(tmp_path, "mended", source, **settings)
    assert mended.summary["ledger"]["written"] == mended.summary["ledger"]["in"] == 4
    for outcome in (strict, counted, mended):
        assert outcome.seen == []
    assert outside(tmp_path) == []
    assert not list(tmp_path.parent.rglob("escaped.txt"))
    assert not list(tmp_path.rglob(CANARY))


def rows(*given: str) -> bytes:
    return "".join(f"{line}\n" for line in given).encode()


OK = '{"text": "fine", "label": "a"}'
REFUSED: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "brackets without end": (rows('{"text": ' + "[" * 100_000 + "}", OK), {}, "line 1: not JSON"),
    "half a character as a label": (rows('{"text": "x", "label": "\\ud800"}', OK), {}, "holds half a character"),
    "half a character as a group": (rows('{"text": "x", "label": "\\udfff"}', OK), {"group": "label"}, "holds half a character"),
    "a number of 4,000 digits": (
        rows('{"text": "x", "label": ' + "9" * 4000 + "}"),
        {"labels": {"label": {"column": "label", "kind": "number"}}},
        r"… \(4000 characters\), which is no number",
    ),
    "a pickle": (pickled(), {}, "is not UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_table_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    data, options, message = REFUSED[name]
    (tmp_path / "t.jsonl").write_bytes(data)
    (tmp_path / "out").mkdir()
    source = {"format": "table", "path": "t.jsonl", "columns": {"text": {"column": "text", "inline": True}}, "labels": ["label"], **options}
    with pytest.raises((SourceError, LabelError), match=message):
        ingest(IngestConfig.model_validate({"source": source}), {}, tmp_path / "out", context(tmp_path))


def test_names_that_no_file_can_have_and_halves_of_characters_are_counted(tmp_path: Path) -> None:
    (tmp_path / "fine.txt").write_text("fine")
    paths = ["fine.txt", "a\\u0000b.txt", "\\ud800.txt", "x" * 5000, "/dev/zero", "../" * 40 + "dev/stdin"]
    (tmp_path / "t.jsonl").write_bytes(rows(*(f'{{"text": "{path}", "caption": "\\udfff"}}' for path in paths)))
    for name, column in (("paths", "text"), ("captions", {"column": "caption", "inline": True})):
        (tmp_path / name).mkdir()
        source = {"format": "table", "path": "t.jsonl", "columns": {"text": column}}
        summary = ingest(IngestConfig.model_validate({"source": source}), {}, tmp_path / name, context(tmp_path))
        assert (summary["records"], summary.get("unreadable", 0)) == (6, 5 if name == "paths" else 0)
