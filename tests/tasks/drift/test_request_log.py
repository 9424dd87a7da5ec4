from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.drift.request_log import is_log, read_requests
from tasks.errors import InputError

GOOD: dict[str, Any] = {"time": "2026-03-01T09:30:00Z", "members": {"text": {"text": "a seven"}}}


def log(folder: Path, *lines: Any) -> Path:
    path = folder / "requests.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def test_requests_become_records(tmp_path: Path) -> None:
    (tmp_path / "7.png").write_bytes(b"picture")
    sound = {"audio": {"base64": base64.b64encode(b"sound").decode()}}
    second = {"time": "2026-03-02T00:00:00+01:00", "key": "r2", "group": "ann", "labels": {"digit": "7"}, "members": sound, "latency_ms": 3}
    third = {"time": "2026-02-01T00:00:00Z", "members": {"image": {"path": "7.png"}}}
    records, facts = read_requests(log(tmp_path, GOOD, second, "", third))
    assert [record.key for record in records] == ["line-1", "r2", "line-4"]
    assert [record.group for record in records] == ["line-1", "ann", "line-4"]
    assert records[0].members["text"].inline == b"a seven"
    assert records[1].members["audio"].inline == b"sound"
    assert records[1].labels == {"digit": "7"}
    assert records[2].members["image"].uri == str(tmp_path / "7.png")
    assert facts == {"first": "2026-02-01T00:00:00+00:00", "last": "2026-03-02T00:00:00+01:00"}


def test_a_text_is_in_the_encoding_that_is_read(tmp_path: Path) -> None:
    records, _ = read_requests(log(tmp_path, {**GOOD, "members": {"text": {"text": "grün"}}}), encoding="latin-1")
    assert records[0].members["text"].inline == b"gr\xfcn"


def test_requests_before_a_time_are_left_out(tmp_path: Path) -> None:
    old = {**GOOD, "time": "2025-12-31T23:59:59Z"}
    records, _ = read_requests(log(tmp_path, old, GOOD), since=datetime(2026, 1, 1, tzinfo=UTC))
    assert [record.key for record in records] == ["line-2"]
    with pytest.raises(InputError, match="has no request since 2027"):
        read_requests(log(tmp_path, old, GOOD), since=datetime(2027, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", "not a JSON object"),
        ("[1]", "not a JSON object but list"),
        ({"members": GOOD["members"]}, "time: Field required"),
        ({**GOOD, "time": "2026-03-01T09:30:00"}, "time: Input should have timezone info"),
        ({**GOOD, "members": {}}, "members: .*at least 1 item"),
        ({**GOOD, "members": {"text": {}}}, "one of path, text and base64; given: none"),
        ({**GOOD, "members": {"text": {"text": "a", "path": "b"}}}, "given: path, text"),
        ({**GOOD, "members": {"text": {"words": "a"}}}, r"members\.text\.words: Extra inputs"),
        ({**GOOD, "members": {"audio": {"base64": "%%"}}}, "base64: "),
        ({**GOOD, "members": {"imag": {"path": "a"}}}, "no modality; allowed: image, text, audio; did you mean 'image'"),
    ],
)
def test_a_bad_line_is_told_with_its_file_and_number(tmp_path: Path, line: Any, message: str) -> None:
    path = log(tmp_path, GOOD, GOOD, line)
    with pytest.raises(InputError, match=rf"{path}:3: .*{message}"):
        read_requests(path)


def test_an_empty_log_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no request;"):
        read_requests(log(tmp_path))
    with pytest.raises(InputError, match="cannot be read"):
        read_requests(tmp_path / "none.jsonl")


def test_a_table_of_json_lines_is_no_log(tmp_path: Path) -> None:
    assert is_log(log(tmp_path, GOOD))
    assert not is_log(log(tmp_path, {"image": "7.png", "digit": "7"}))


def test_an_empty_file_is_read_as_a_log_which_says_that_it_is_empty(tmp_path: Path) -> None:
    assert is_log(log(tmp_path, "", " "))
