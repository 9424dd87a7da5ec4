"""What every registered source must do, found by itself for a new one."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts import SPLITS
from tasks.errors import SourceError
from tasks.registry import load
from tasks.sources import SOURCES
from tests.conftest import ROOT
from tests.tasks.sources.test_table import write_table
from tests.tasks.sources.test_webdataset import write_tar
from tests.tasks.sources.toys import write_files

each = pytest.mark.parametrize("name", list(SOURCES))


def media_folder(folder: Path, count: int) -> dict[str, Any]:
    write_files(folder / "data", {f"{'ab'[number % 2]}/s{number}.txt": b"text %d" % number for number in range(count)})
    return {"path": "data"}


def table(folder: Path, count: int) -> dict[str, Any]:
    rows = [{"id": f"s{number}", "caption": f"text {number}", "label": "ab"[number % 2]} for number in range(count)]
    write_table(folder / "data.csv", rows)
    return {"path": "data.csv", "columns": {"text": {"column": "caption", "inline": True}}, "labels": ["label"], "key": "id"}


def tars(folder: Path, count: int) -> dict[str, Any]:
    write_tar(folder / "data.tar", [(f"s{number}.{end}", b"text %d" % number) for number in range(count) for end in ("txt", "cls")])
    return {"path": "data.tar", "labels": {"label": "cls"}}


EXAMPLES: dict[str, Callable[[Path, int], dict[str, Any]]] = {"folder": media_folder, "table": table, "webdataset": tars}
"""Source → writes so many samples of one text and one label each; gives the config without `format`."""


def given(name: str, folder: Path, count: int = 5) -> dict[str, Any]:
    """Write the example; gives the whole config."""
    assert name in EXAMPLES, f"add the new source {name!r} to EXAMPLES"
    return {"format": name, **EXAMPLES[name](folder, count)}


def source(name: str, folder: Path, config: dict[str, Any]) -> Any:
    """A source that has not looked yet."""
    return load(SOURCES[name].target)(SOURCES[name].config.model_validate(config), folder)


@each
def test_the_format_of_a_config_is_its_name_in_the_registry_and_the_version_counts(name: str) -> None:
    assert SOURCES[name].config.model_fields["format"].default == name
    assert type(SOURCES[name].version) is int
    assert SOURCES[name].version >= 1


@each
def test_a_snapshot_is_stable_and_counts_what_will_come(name: str, tmp_path: Path) -> None:
    config = given(name, tmp_path)
    looked = source(name, tmp_path, config)
    snapshot = looked.snapshot()
    assert looked.snapshot() == snapshot == source(name, tmp_path, config).snapshot()
    assert json.loads(json.dumps(snapshot)) == snapshot
    assert isinstance(snapshot["digest"], str)
    assert len(snapshot["digest"]) >= 32
    num_records = len(list(looked.records(tmp_path)))
    assert num_records == 5
    assert snapshot.get("records", num_records) == num_records


@each
def test_one_sample_more_is_another_digest(name: str, tmp_path: Path) -> None:
    before = source(name, tmp_path, given(name, tmp_path)).snapshot()
    assert source(name, tmp_path, given(name, tmp_path, count=6)).snapshot()["digest"] != before["digest"]


@each
def test_records_come_once_with_a_place_for_each_member_and_the_same_each_time(name: str, tmp_path: Path) -> None:
    config = given(name, tmp_path)
    found = list(source(name, tmp_path, config).records(tmp_path))
    assert list(source(name, tmp_path, config).records(tmp_path)) == found
    assert len({record.key for record in found}) == len(found)
    for record in found:
        assert list(record.members) == ["text"]
        assert (record.members["text"].inline is None) == bool(record.members["text"].uri)
        assert list(record.labels) == ["label"]
        assert record.split in ("", *SPLITS)


@each
def test_what_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    config = given(name, tmp_path)
    lost = source(name, tmp_path, config | {"path": config["path"].replace("data", "nowhere")})
    with pytest.raises(SourceError, match="nowhere"):
        lost.snapshot()
    with pytest.raises(SourceError, match="nowhere"):
        list(lost.records(tmp_path))


@each
def test_config_and_source_travel_to_other_processes(name: str, tmp_path: Path) -> None:
    here = source(name, tmp_path, given(name, tmp_path))
    config, twin = pickle.loads(pickle.dumps((here.config, here)))
    assert config == here.config
    assert twin.snapshot() == here.snapshot()
    assert list(twin.records(tmp_path)) == list(here.records(tmp_path))


LIGHT = """
import sys
from tasks.registry import load
from tasks.sources import SOURCES
for name, entry in SOURCES.items():
    load(entry.target)
    for heavy in {"torch", "ray", "mlflow"} & set(sys.modules):
        sys.exit(f"{name} imports {heavy}")
"""


def test_no_source_imports_torch_ray_or_mlflow(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIGHT]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
