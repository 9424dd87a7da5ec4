"""Thousands of malformed files through ingest and shard: counted, named, harmless, and taken up once they are mended."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.shards.reasons import FORM, REASONS
from tests.chaos.good_media import GOOD
from tests.chaos.lies import large_lies, lies
from tests.chaos.malformed import CANARY, FAMILIES, Malformed, lying, malformed
from tests.chaos.watched import Outcome, outside, run, run_all
from tests.conftest import ROOT
from tests.tasks.shards.corpora import hashes

CAP_MB = 512
"""MiB that a worker may hold while it decodes any of the small files."""
LARGE_CAP_MB = 2048
"""MiB with the default limits of `prepare` (100 million pixels, an hour of sound), whatever a file says of itself."""
SETTINGS: dict[str, Any] = {
    "prepare": {"image": {}, "audio": {}, "text": {}},
    "bad_records": {"max_rate": 1.0},
    "sizes": {"min_records": 1000, "max_records": 1500},
    "decode_timeout_s": 60,
}
SOURCE = {"format": "folder", "path": "../media"}
CERTAIN = {"cut": set(GOOD) - {"gif", "text"}, **dict.fromkeys(("foreign", "archive", "noise"), set(GOOD) - {"text"})}
"""Family → kinds of which every one must be refused. A GIF that lacks its last byte has all its pixels, and a part of a text is a text."""


def write(folder: Path, files: Sequence[Malformed], *, mended: bool = False) -> None:
    for one in files:
        path = folder / "media" / one.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one.mended if mended else one.data)


def write_whole(folder: Path, number: int) -> int:
    """Whole files among the bad ones."""
    for kind, (_, extension, make) in GOOD.items():
        for seed in range(number):
            path = folder / "media" / kind / f"whole_{seed}.{extension}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(make((1 << 31) + seed))
    return number * len(GOOD)


def ledger(outcome: Outcome) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in pq.read_table(outcome.shards / "ledger.parquet").to_pylist()}


def key(one: Malformed) -> str:
    return one.name.rpartition(".")[0]


def check(outcome: Outcome, files: Sequence[Malformed], num_whole: int, cap_mb: int) -> dict[str, dict[str, Any]]:
    """What must hold after any of these runs. Returns the ledger."""
    assert not outcome.failed
    assert outcome.seen == []
    assert outside(outcome.shards.parent) == []
    assert not list(outcome.shards.parent.rglob(CANARY))
    assert outcome.peak_mb < cap_mb
    rows, counts = ledger(outcome), dict(outcome.summary["ledger"])
    assert len(rows) == counts.pop("in") == sum(counts.values()) == len(files) + num_whole
    assert all(row["status"] == "written" for name, row in rows.items() if "/whole_" in name)
    for row in rows.values():
        if row["status"] != "written":
            assert FORM.fullmatch(row["reason"]), row
            assert row["reason"] in REASONS, row
        if row["status"] == "quarantined":
            assert row["detail"], row
    return rows


def check_certain(files: Sequence[Malformed], rows: dict[str, dict[str, Any]]) -> None:
    for one in files:
        if one.kind in CERTAIN.get(one.family, ()):
            assert rows[key(one)]["status"] in ("quarantined", "duplicate"), one.name


def mend(folder: Path, files: Sequence[Malformed], num_whole: int) -> Outcome:
    """The same run after every bad file was replaced by a whole one: the set is complete."""
    write(folder, files, mended=True)
    outcome = run(folder, "mended", SOURCE, **SETTINGS)
    rows = check(outcome, files, num_whole, CAP_MB)
    assert {row["status"] for row in rows.values()} == {"written"}
    return outcome


def test_a_sample_of_malformed_files_is_counted_and_harmless_and_completes_once_it_is_mended(tmp_path: Path) -> None:
    files = list(malformed(1))
    num_whole = write_whole(tmp_path, 1)
    write(tmp_path, files)
    outcome = run(tmp_path, "bad", SOURCE, **SETTINGS)
    check_certain(files, check(outcome, files, num_whole, CAP_MB))
    quarantined, planned = outcome.summary["ledger"]["quarantined"], len(files) + num_whole - outcome.summary["ledger"]["duplicate"]
    rates = {"allowed": quarantined / planned, "stopped": (quarantined - 1) / planned}
    again = run_all(tmp_path, {name: SETTINGS | {"bad_records": {"max_rate": rate}} for name, rate in rates.items()}, SOURCE)
    assert not again["allowed"].failed
    assert again["stopped"].failed.startswith(f"TooManyBadRecords: {quarantined} of the first")
    mend(tmp_path, files, num_whole)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2])
def test_more_than_two_thousand_malformed_files(tmp_path: Path, seed: int) -> None:
    files = [*malformed(14, seed), *(lying(large_lies()) if seed == 1 else ())]
    assert len(files) > 2000
    num_whole = write_whole(tmp_path, 10)
    write(tmp_path, files)
    outcome = run(tmp_path, "bad", SOURCE, **SETTINGS)
    rows = check(outcome, files, num_whole, LARGE_CAP_MB if seed == 1 else CAP_MB)
    check_certain(files, rows)
    print(f"\nseed {seed}: {len(files)} files, peak {outcome.peak_mb} MiB, {outcome.summary['ledger']}")
    found = Counter((one.kind, one.family, rows[key(one)]["status"] == "written") for one in files)
    for kind in GOOD:
        shares = (f"{family} {found[kind, family, False]}/{found[kind, family, False] + found[kind, family, True]}" for family in FAMILIES)
        print(f"  {kind:7} refused: {', '.join(shares)}")
    print(f"  reasons: {outcome.summary['quarantined']}")
    mended = mend(tmp_path, files, num_whole)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (tmp_path / "media").rename(fresh / "media")
    again = run(fresh, "again", SOURCE, **SETTINGS)
    assert hashes(again.shards) == hashes(mended.shards)


def test_the_same_seed_makes_the_same_files_and_every_lie_is_told_once() -> None:
    first, second = list(malformed(1, 7)), list(malformed(1, 7))
    assert [(one.name, one.data) for one in first] == [(one.name, one.data) for one in second]
    assert len({one.name for one in first}) == len(first) == len(GOOD) * len(FAMILIES) + sum(1 for _ in lies())


def test_the_list_of_reasons_is_the_one_that_the_code_gives() -> None:
    """Every reason that stands as a literal anywhere in `tasks`, and no other."""
    calls = {"BadMember", "FilteredOut", "Verdict", "Left", "Refused", "_condemn"}
    given: set[str] = set()
    for path in (ROOT / "tasks").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in calls:
                words = [value.value for argument in node.args for value in ast.walk(argument) if isinstance(value, ast.Constant)]
                given |= {word for word in words if isinstance(word, str) and FORM.fullmatch(word)}
    assert given == set(REASONS)
