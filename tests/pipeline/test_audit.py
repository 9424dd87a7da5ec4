"""Whatever is edited, deleted or reordered in a promotion log, or in what it speaks of, is found."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.audit import DIGEST_TAG, ENTRY_TAG, audit
from pipeline.errors import NotFound
from pipeline.store import LocalStore
from pipeline.verify import verify
from tasks import seals
from tasks.promotions import Decision, append, append_after, read_log
from tests.pipeline.people import _tasks_of_the_world, built, people
from tests.pipeline.test_cli import call
from tests.pipeline.test_lineage import keys_of

__all__ = ["_tasks_of_the_world", "built", "people"]

ENTRIES = 6


def decision(number: int) -> Decision:
    action = ("promoted", "refused", "rollback")[number % 3]
    return Decision(action=action, alias="champion", version=str(number), model_key=f"{number:064d}", numbers={"accuracy": number / 7})  # type: ignore[arg-type]


@pytest.fixture
def logged(tmp_path: Path) -> LocalStore:
    store = LocalStore.open(tmp_path / "store")
    for number in range(1, ENTRIES + 1):
        append(store, "toys", decision(number))
    assert audit(store, "toys").problems == ()
    return store


def entry_file(store: LocalStore, number: int) -> Path:
    return store.local_path(f"promotions/toys/{number}.json")


def test_any_byte_of_any_entry_that_is_changed_added_or_taken_away_is_found(logged: LocalStore) -> None:
    """Every position of the last entry, which no other holds the hash of; of the others positions at random."""
    draw = random.Random(0)
    for number in range(1, ENTRIES + 1):
        file = entry_file(logged, number)
        data = file.read_bytes()
        positions = range(len(data)) if number == ENTRIES else draw.sample(range(len(data)), 30)
        for position in positions:
            other = draw.choice([byte for byte in range(256) if byte != data[position]])
            edits = (
                data[:position] + bytes([other]) + data[position + 1 :],
                data[:position] + data[position + 1 :],
                data[:position] + b" " + data[position:],
            )
            file.write_bytes(edits[draw.randrange(3) if number != ENTRIES else position % 3])
            assert audit(logged, "toys").problems, (number, position)
        file.write_bytes(data)
    assert audit(logged, "toys").problems == ()


@pytest.mark.parametrize("number", range(1, ENTRIES + 1))
def test_any_entry_that_is_deleted_is_found_the_last_one_too(logged: LocalStore, number: int) -> None:
    entry_file(logged, number).unlink()
    assert any(f"entry {number} " in problem for problem in audit(logged, "toys").problems)


def test_any_two_entries_that_change_places_are_found(logged: LocalStore) -> None:
    for first in range(1, ENTRIES + 1):
        for second in range(first + 1, ENTRIES + 1):
            _swap(entry_file(logged, first), entry_file(logged, second))
            assert audit(logged, "toys").problems, (first, second)
            _swap(entry_file(logged, first), entry_file(logged, second))
    assert audit(logged, "toys").problems == ()


def _swap(first: Path, second: Path) -> None:
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


@pytest.mark.parametrize(
    "edit", ["whole log", "first entries", "renumbered", "copied", "hidden", "seal edited", "seal removed", "whole folder"]
)
def test_coarser_tampering_is_found(logged: LocalStore, edit: str) -> None:
    if edit in ("whole log", "whole folder"):
        for number in range(1, ENTRIES + 1):
            entry_file(logged, number).unlink()
        if edit == "whole folder":
            entry_file(logged, 1).parent.rmdir()
    elif edit == "first entries":
        entry_file(logged, 1).unlink()
        entry_file(logged, 2).unlink()
    elif edit == "renumbered":
        entry_file(logged, 1).unlink()
        for number in range(2, ENTRIES + 1):
            document = json.loads(entry_file(logged, number).read_bytes()) | {"n": number - 1}
            entry_file(logged, number).unlink()
            entry_file(logged, number - 1).write_text(json.dumps(document))
    elif edit == "copied":
        shutil.copy(entry_file(logged, ENTRIES), entry_file(logged, ENTRIES + 1))
    elif edit == "hidden":
        entry_file(logged, 2).rename(entry_file(logged, 2).with_name("2.json.old"))
    elif edit == "seal edited":
        logged.local_path(seals.seal_name("toys", 2)).write_bytes(seals.content("toys", 2, "0" * 64))
    else:
        logged.local_path(seals.seal_name("toys", 3)).unlink()
    assert audit(logged, "toys").problems


def test_the_last_entries_removed_with_their_seals_are_found_by_what_mlflow_knows(logged: LocalStore) -> None:
    entries = read_log(logged, "toys")
    tags = {"5": {ENTRY_TAG: "5", DIGEST_TAG: entries[4].digest}}
    assert audit(logged, "toys", tags).problems == (
        "MLflow has version 5 of 'toys' and the store has not: versions/toys/5.json was removed; restore it from a backup",
    )
    for number in (5, 6):
        entry_file(logged, number).unlink()
        logged.local_path(seals.seal_name("toys", number)).unlink()
    assert any(
        "version 5 in MLflow knows of entry 5, and the log ends with entry 4" in problem for problem in audit(logged, "toys", tags).problems
    )
    unasked = audit(logged, "toys")
    assert unasked.problems == (), "nothing in the store is left that knows of them"
    assert any("whether entries after 4 were there once" in what for what in unasked.unknown), "and that is said"
    assert any("MLflow was not asked" in what for what in unasked.unknown)


def test_a_last_entry_rewritten_with_its_seal_is_found_by_what_mlflow_knows(logged: LocalStore) -> None:
    last = read_log(logged, "toys")[-1]
    tags = {"6": {ENTRY_TAG: "6", DIGEST_TAG: last.digest}}
    entry_file(logged, 6).unlink()
    logged.local_path(seals.seal_name("toys", 6)).unlink()
    assert append_after(logged, "toys", read_log(logged, "toys"), decision(7)) is not None
    assert any("entry 6 is not the one that version 6 in MLflow knows" in problem for problem in audit(logged, "toys", tags).problems)


def test_an_entry_whose_writer_was_killed_before_it_sealed_it_is_no_tampering_and_is_sealed_later(logged: LocalStore) -> None:
    logged.local_path(seals.seal_name("toys", ENTRIES)).unlink()
    found = audit(logged, "toys")
    assert found.problems == ()
    assert any("entry 6, the last, has no seal" in what for what in found.unknown)
    append(logged, "toys", decision(7))
    assert seals.sealed(logged, "toys") == list(range(1, 8))


def test_a_log_from_before_entries_were_sealed_is_sound(logged: LocalStore) -> None:
    for number in range(1, ENTRIES + 1):
        logged.local_path(seals.seal_name("toys", number)).unlink()
    found = audit(logged, "toys")
    assert found.problems == ()
    assert any("has no seal" in what for what in found.unknown)
    append(logged, "toys", decision(7))
    assert audit(logged, "toys").problems == ()


def test_a_name_that_never_was_is_answered_with_the_closest(logged: LocalStore) -> None:
    with pytest.raises(NotFound) as caught:
        audit(logged, "toy")
    assert "has no registered model 'toy'; it has: toys; did you mean 'toys'?" in str(caught.value)


# ---- versions and artifacts --------------------------------------------------------------------------------------------


def _edit_summary(store: LocalStore, keys: dict[str, str]) -> None:
    path = store.artifact_path(keys["model"]) / "manifest.json"
    path.write_text(path.read_text().replace('"seconds": ', '"seconds": 1'))


def _edit_parts(store: LocalStore, keys: dict[str, str]) -> None:
    path = store.artifact_path(keys["report"]) / "manifest.json"
    document = json.loads(path.read_bytes())
    document["parts"]["version"] = 99
    path.write_text(json.dumps(document))


def _flip(store: LocalStore, keys: dict[str, str]) -> None:
    path = store.artifact_path(keys["model"]) / "weights.json"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def _add(store: LocalStore, keys: dict[str, str]) -> None:
    (store.artifact_path(keys["report"]) / "more.txt").write_text("x")


def _remove(store: LocalStore, keys: dict[str, str]) -> None:
    (store.artifact_path(keys["report"]) / "predictions.parquet").unlink()


def _version(store: LocalStore, keys: dict[str, str]) -> None:
    path = store.local_path("versions/people/1.json")
    path.write_text("{" + path.read_text())


@pytest.mark.parametrize("edit", [_edit_summary, _edit_parts, _flip, _add, _remove, _version])
def test_an_edit_of_a_version_or_of_what_it_is_made_of_is_found(people: Path, edit: Callable[[LocalStore, dict[str, str]], None]) -> None:
    import hashlib

    store, keys = LocalStore(people / "store"), keys_of(people)
    manifest = (store.artifact_path(keys["model"]) / "manifest.json").read_bytes()
    tags = {"medley.manifest_digest": hashlib.sha256(manifest).hexdigest(), "medley.model_key": keys["model"]}
    document = {"model_key": keys["model"], "report_key": keys["report"], "tags": tags}
    store.create("versions/people/1.json", json.dumps(document).encode())
    assert audit(store, "people").problems == ()
    assert audit(store, "people", {"1": tags | {"medley.report_key": keys["report"]}}).problems != (), (
        "MLflow has a tag that the store has not"
    )
    edit(store, keys)
    assert len(audit(store, "people").problems) == 1


def test_a_bit_flipped_in_any_stored_file_is_found_by_store_verify(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, keys = LocalStore(people / "store"), keys_of(people)
    assert call(capsys, "store", "verify", "--store", store.root)[0] == 0
    draw = random.Random(0)
    for step, key in keys.items():
        for path in sorted(path for path in store.artifact_path(key).rglob("*") if path.is_file() and path.name != "manifest.json"):
            data = path.read_bytes()
            if not data:
                continue
            position = draw.randrange(len(data))
            path.write_bytes(data[:position] + bytes([data[position] ^ 1 << draw.randrange(8)]) + data[position + 1 :])
            assert verify(store, key), (step, path.name)
            path.write_bytes(data)
        assert verify(store, key) == []
    (store.artifact_path(keys["model"]) / "weights.json").write_text("0")
    code, out, _ = call(capsys, "store", "verify", "--store", store.root)
    assert code == 1
    assert f"model {keys['model'][:12]}: weights.json has 1 bytes" in out
    code, out, _ = call(capsys, "store", "verify", keys["corpus"][:10], "--json", "--store", store.root)
    assert (code, json.loads(out)["artifacts"]) == (0, 1)


def test_the_verb_ends_with_1_when_something_is_wrong(logged: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "audit", "verify", "--store", logged.root)
    assert code == 0
    assert "toys: 6 entries, 0 versions, nothing wrong" in out
    assert f"entry 6 sha256 {read_log(logged, 'toys')[-1].digest}" in out
    entry_file(logged, 6).unlink()
    code, out, _ = call(capsys, "audit", "verify", "toys", "--store", logged.root)
    assert code == 1
    assert "wrong: toys: entry 6 was sealed and is missing: the log was cut off" in out
    code, out, _ = call(capsys, "audit", "verify", "--json", "--store", logged.root)
    assert (code, json.loads(out)["ok"]) == (1, False)
