"""The promotion log is one unbroken chain, whoever writes it, and says which version is in force."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.store import LocalStore
from tasks.errors import CorruptArtifact, InputError
from tasks.promotions import (
    Action,
    Decision,
    Entry,
    Reference,
    append,
    append_after,
    barring,
    baseline_for,
    check_name,
    current,
    is_barred,
    of_step,
    read_log,
    verify_chain,
)


def decision(action: Action, version: str, alias: str = "champion", **more: object) -> Decision:
    return Decision(action=action, alias=alias, version=version, model_key=f"model-{version}", **more)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore.open(tmp_path / "store")


def fill(store: LocalStore, *decisions: Decision) -> list[Entry]:
    for one in decisions:
        append(store, "digits", one)
    return read_log(store, "digits")


def test_an_empty_log_has_no_champion(store: LocalStore) -> None:
    assert read_log(store, "digits") == []
    assert current([], "champion") is None
    assert baseline_for([], "champion", "model-1") is None


def test_an_entry_is_read_as_it_was_written(store: LocalStore) -> None:
    written = append(
        store,
        "digits",
        decision(
            "promoted",
            "2",
            report_key="r",
            step_key="s",
            baseline=Reference("1", "model-1"),
            reasons=("first", "zweitens: größer"),
            numbers={"difference": 0.25, "samples": 10, "min_value": None},
        ),
    )
    assert read_log(store, "digits") == [written]
    assert (written.n, written.previous, written.name) == (1, "", "digits")
    document = json.loads(store.read("promotions/digits/1.json"))
    assert document["format"] == 1
    assert document["baseline"] == {"version": "1", "model_key": "model-1"}
    assert document["time"].endswith("+00:00")


def test_each_entry_holds_the_hash_of_the_one_before(store: LocalStore) -> None:
    first, second, third = fill(store, decision("promoted", "1"), decision("refused", "2"), decision("promoted", "3"))
    assert (second.previous, third.previous) == (first.digest, second.digest)
    verify_chain([first, second, third])


def test_entries_read_before_are_not_read_again(store: LocalStore) -> None:
    entries = fill(store, decision("promoted", "1"), decision("promoted", "2"))
    store.delete("promotions/digits/1.json")
    assert read_log(store, "digits", entries) == entries


def test_with_entries_known_a_long_log_is_neither_listed_nor_read(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = fill(store, *(decision("promoted", str(version)) for version in range(5)))
    monkeypatch.setattr(LocalStore, "list", lambda self, prefix: pytest.fail(f"{prefix} was listed"))
    read: list[str] = []
    real = LocalStore.read
    monkeypatch.setattr(LocalStore, "read", lambda self, name: (read.append(name), real(self, name))[1])
    assert read_log(store, "digits", entries) == entries
    assert read == ["promotions/digits/6.json"]


def test_an_entry_missing_after_the_known_ones_is_noticed(store: LocalStore) -> None:
    entries = fill(store, *(decision("promoted", str(version)) for version in range(4)))
    store.delete("promotions/digits/3.json")
    with pytest.raises(CorruptArtifact, match="has entry 4 but no entry 3"):
        read_log(store, "digits", entries[:2])


def test_an_entry_of_an_older_medley_has_no_rules_and_nobody(store: LocalStore) -> None:
    fill(store, decision("promoted", "1"))
    path = store.local_path("promotions/digits/1.json")
    document = json.loads(path.read_text())
    for field in ("best", "leads", "rules", "by", "answers"):
        del document[field]
    path.write_text(json.dumps(document))
    (entry,) = read_log(store, "digits")
    assert (entry.best, entry.leads, entry.rules, entry.by, entry.answers) == (None, False, {}, "", 0)


def test_the_slower_of_two_writers_gets_nothing_and_must_decide_again(store: LocalStore) -> None:
    seen = fill(store, decision("promoted", "1"))
    assert append_after(store, "digits", seen, decision("promoted", "2")) is not None
    assert append_after(store, "digits", seen, decision("promoted", "3")) is None
    assert [entry.version for entry in read_log(store, "digits")] == ["1", "2"]


@pytest.mark.parametrize("damage", ["edited", "swapped", "removed", "garbage", "renumbered"])
def test_a_log_that_was_tampered_with_is_noticed(store: LocalStore, damage: str) -> None:
    fill(store, *(decision("promoted", str(version)) for version in (1, 2, 3)))
    first, second = store.local_path("promotions/digits/1.json"), store.local_path("promotions/digits/2.json")
    if damage == "edited":
        first.write_text(first.read_text().replace("promoted", "refused"))
    elif damage == "swapped":
        one, two = first.read_bytes(), second.read_bytes()
        first.write_bytes(two)
        second.write_bytes(one)
    elif damage == "removed":
        second.unlink()
    elif damage == "garbage":
        second.write_bytes(b"\0\0")
    else:
        second.write_text(second.read_text().replace('"n": 2', '"n": 7'))
    with pytest.raises(CorruptArtifact, match="promotions/digits"):
        read_log(store, "digits")


def test_entries_of_another_chain_do_not_verify(store: LocalStore) -> None:
    first, second = fill(store, decision("promoted", "1"), decision("promoted", "2"))
    with pytest.raises(CorruptArtifact, match="broken at entry 2"):
        verify_chain([first, dataclasses.replace(second, previous="0" * 64)])


def test_a_log_of_a_newer_format_asks_for_an_upgrade(store: LocalStore) -> None:
    store.create("promotions/digits/1.json", b'{"format": 99, "what": "unknown"}')
    with pytest.raises(CorruptArtifact, match="upgrade"):
        read_log(store, "digits")


def test_the_latest_promotion_of_an_alias_is_in_force_and_refusals_change_nothing(store: LocalStore) -> None:
    entries = fill(
        store, decision("promoted", "1"), decision("promoted", "2"), decision("refused", "3"), decision("promoted", "4", "challenger")
    )
    champion, challenger = current(entries, "champion"), current(entries, "challenger")
    assert champion is not None
    assert champion.version == "2"
    assert challenger is not None
    assert challenger.version == "4"
    assert current(entries, "other") is None


def test_a_rollback_bars_the_version_and_brings_back_the_one_before(store: LocalStore) -> None:
    entries = fill(store, decision("promoted", "1"), decision("promoted", "2"), decision("rollback", "2"))
    champion = current(entries, "champion")
    assert champion is not None
    assert champion.version == "1"
    assert is_barred(entries, version="2")
    assert is_barred(entries, version="9", model_key="model-2"), "the same model under another number"
    assert not is_barred(entries, version="1", model_key="model-1")
    assert not is_barred(entries)
    assert barring(entries, version="2") == entries[2]


def test_a_barred_version_never_comes_back_even_when_promoted_again(store: LocalStore) -> None:
    entries = fill(store, decision("promoted", "1"), decision("rollback", "1"), decision("promoted", "1"))
    assert current(entries, "champion") is None


def test_two_rollbacks_go_back_two_versions(store: LocalStore) -> None:
    entries = fill(store, *(decision("promoted", v) for v in "123"), decision("rollback", "3"), decision("rollback", "2"))
    champion = current(entries, "champion")
    assert champion is not None
    assert champion.version == "1"


def test_the_champion_is_compared_with_what_it_displaced_and_others_with_the_champion(store: LocalStore) -> None:
    entries = fill(store, decision("promoted", "1"), decision("promoted", "2", baseline=Reference("1", "model-1")))
    assert baseline_for(entries, "champion", "model-2") == Reference("1", "model-1")
    assert baseline_for(entries, "champion", "model-3") == Reference("2", "model-2")
    assert baseline_for(entries[:1], "champion", "model-1") is None


def test_a_step_finds_its_own_decision(store: LocalStore) -> None:
    entries = fill(store, decision("promoted", "1", step_key="a"), decision("rollback", "1"), decision("refused", "2", step_key="b"))
    assert of_step(entries, "b") == entries[2]
    assert of_step(entries, "") is None
    assert of_step(entries, "c") is None


@pytest.mark.parametrize("name", ["", "a/b", "../up", ".hidden", "a:b", "a b", "ü", "x" * 129])
def test_a_name_that_could_leave_its_folder_or_that_mlflow_refuses_is_refused(store: LocalStore, name: str) -> None:
    with pytest.raises(InputError, match="cannot name a registered model"):
        check_name(name)
    with pytest.raises(InputError):
        read_log(store, name)


def _write_many(root: Path, writer: int, count: int) -> None:
    store, known = LocalStore(root), []
    for number in range(count):
        append(store, "digits", decision("promoted", f"{writer}-{number}"), known)
        known = read_log(store, "digits", known)


def test_processes_that_write_at_once_make_one_chain_and_lose_nothing(store: LocalStore) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers, count = 4, 15
    processes = [spawn.Process(target=_write_many, args=(store.root, writer, count)) for writer in range(writers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    entries = read_log(store, "digits")
    assert [entry.n for entry in entries] == list(range(1, writers * count + 1))
    written = [entry.version for entry in entries]
    assert sorted(written) == sorted(f"{writer}-{number}" for writer in range(writers) for number in range(count))
    for writer in range(writers):
        own = [version for version in written if version.startswith(f"{writer}-")]
        assert own == [f"{writer}-{number}" for number in range(count)], "a writer's own decisions keep their order"


def test_reading_the_log_imports_nothing_slow() -> None:
    slow = "{'mlflow', 'numpy', 'torch', 'pyarrow', 'ray', 'pandas'}"
    code = f"import sys, tasks.promotions; slow = {slow} & set(sys.modules); assert not slow, slow"
    subprocess.run([sys.executable, "-c", code], check=True)
