"""A store that can no longer be written, or is full: the sentence that helps, artifacts as they were, and a next run that goes on."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline import runner
from pipeline.__main__ import main
from pipeline.errors import StoreError
from pipeline.executors import in_process
from pipeline.journal import RunDir
from tests.pipeline.test_runner import planned, run, statuses
from tests.pipeline.toys import toys

__all__ = ["toys"]

pytestmark = pytest.mark.usefixtures("toys")

SENTENCE = r"the store .*/store cannot be written \(Permission denied\); make it writable, or point `store:` or --store at a folder that is"


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that another user may look into, as pytest's own is not."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@contextlib.contextmanager
def read_only(store: Path, part: str = "") -> Iterator[None]:
    """Nothing below a part of the store can be written by this process, root or not; all else can."""
    modes = {path: path.stat().st_mode for path in (store, *store.rglob("*"))}
    uid = os.geteuid()
    for path in modes:
        closed = path.is_relative_to(store / part)
        path.chmod((0o555 if closed else 0o777) if path.is_dir() else (0o444 if closed else 0o666))
    if uid == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(uid)
        for path, mode in modes.items():
            path.chmod(mode)


def digests(store: Path) -> dict[str, str]:
    """File of an artifact → its SHA-256."""
    files = [path for path in sorted((store / "artifacts").rglob("*")) if path.is_file()]
    return {str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("words", [("run", "recipe.yaml", "--until", "b"), ("gc",), ("gc", "--yes")], ids=" ".join)
def test_a_finished_store_that_became_read_only_is_explained_and_stays_as_it_was(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(folder)
    run(folder, until="b")
    assert main([*words, "--store", str(folder / "store")]) == 0  # and imports what another user may not read
    capsys.readouterr()
    before = digests(folder / "store")
    with read_only(folder / "store"):
        assert main([*words, "--store", str(folder / "store")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: the store ")
    assert said.count("\n") == 1
    with pytest.raises(StoreError, match=SENTENCE):
        raise StoreError(said)
    assert digests(folder / "store") == before
    assert statuses(run(folder, until="b")) == {"a": "cached", "b": "cached"}


@pytest.mark.parametrize(("event", "kept"), [("run_started", {}), ("step_started", {}), ("step_finished", {"a": "cached"})])
def test_a_store_that_becomes_read_only_while_a_run_goes_on_keeps_what_was_finished(folder: Path, event: str, kept: dict[str, str]) -> None:
    plan, during = planned(folder), contextlib.ExitStack()

    def watch(seen: str, facts: Mapping[str, Any]) -> None:
        if seen == event and "before" not in state:
            state["before"] = digests(plan.store.root)
            during.enter_context(read_only(plan.store.root))

    state: dict[str, Any] = {}
    with during, pytest.raises(StoreError, match=SENTENCE):
        runner.run(plan, in_process, runner.Options(watch=watch))
    assert digests(plan.store.root) == state["before"]
    again = run(folder)
    assert again.status == "done"
    assert statuses(again) == dict.fromkeys("abcd", "ran") | kept


@pytest.mark.parametrize("part", ["tmp", "work"])
def test_a_step_that_finds_a_part_of_its_store_read_only_says_so(folder: Path, part: str) -> None:
    plan, during = planned(folder), contextlib.ExitStack()

    def watch(seen: str, facts: Mapping[str, Any]) -> None:
        if seen == "step_started" and facts["step"] == "b":
            during.enter_context(read_only(plan.store.root, part))
        if seen == "step_finished" and facts["result"].name == "b":
            during.close()

    with during:
        result = runner.run(plan, in_process, runner.Options(watch=watch))
    assert statuses(result) == {"a": "ran", "b": "failed", "c": "skipped", "d": "skipped"}
    with pytest.raises(StoreError, match=SENTENCE):
        raise StoreError(result.steps["b"].message)
    assert statuses(run(folder))["a"] == "cached"


def test_a_full_disk_under_the_journal_is_explained(tmp_path: Path) -> None:
    run_dir = RunDir.create(tmp_path / "store", "a-run")
    (run_dir.path / "journal.jsonl").symlink_to("/dev/full")  # every write to it ends as on a full disk
    with pytest.raises(StoreError, match=r"store is full \(No space left on device\); free some space and run the same command again"):
        run_dir.event("run_finished", status="done")
