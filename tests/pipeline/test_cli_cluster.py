"""`medley cluster` as a user types it. Where a cloud would be, a stand-in for Ray's command line answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cluster.test_description import written
from tests.cluster.test_launcher import REPORT, cloud
from tests.pipeline.test_cli import call

OPEN = """\
cluster_name: small
provider: {type: external, module: nowhere.Nobody}
max_workers: 2
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}, node_config: {InstanceType: m7i.large}}
  gpu: {resources: {CPU: 8, GPU: 1}, node_config: {}, min_workers: 1}
auth: {}
docker: {}
file_mounts: {}
cluster_synced_files: []
initialization_commands: []
setup_commands: []
head_setup_commands: []
worker_setup_commands: []
head_start_ray_commands: []
worker_start_ray_commands: []
metadata: {medley: {store: /mnt/store, address: "http://127.0.0.1:8265"}}
"""


class Terminal:
    """Someone at a keyboard."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.answer


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return written(tmp_path, OPEN)


def test_up_says_first_what_it_would_start_and_asks(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = cloud(monkeypatch, file.parent, "it starts\n")
    monkeypatch.setattr(sys, "stdin", Terminal("no\n"))
    code, out, err = call(capsys, "cluster", "up", file)
    assert (code, err) == (2, "error: nothing was done\n")
    assert not notes.exists()
    assert out.splitlines() == [
        "cluster.yaml: cluster 'small' on external, at most 2 nodes beside the head",
        "  head       head     m7i.large; 0 CPU",
        "  gpu        1 to 2   machines as node_config says; 8 CPU, 1 GPU",
        "  store      /mnt/store",
        "  tracking   as the recipe says (metadata.medley.tracking is not given)",
        "  jobs       http://127.0.0.1:8265",
        "  auth       none: nodes talk to everyone who reaches their ports",
        "start 'small'? [y/N] ",
    ]
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    code, out, _ = call(capsys, "cluster", "up", file)
    assert code == 0
    assert "it starts\n" in out
    assert "medley submit RECIPE --address http://127.0.0.1:8265 --store /mnt/store" in out
    assert "ray dashboard cluster.yaml" in out


@pytest.mark.parametrize("verb", ["up", "down"])
def test_without_a_terminal_nothing_is_done_unless_told(
    file: Path, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = cloud(monkeypatch, file.parent, "")
    code, _, err = call(capsys, "cluster", verb, file)
    assert code == 2
    assert "nothing was done: there is no terminal to ask on; add --yes to" in err
    assert not notes.exists()
    code, out, err = call(capsys, "cluster", verb, file, "--yes", "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["cluster"], document["up"], document["settings"]["store"]) == ("small", verb == "up", "/mnt/store")
    assert [(node["name"], node["at_least"], node["at_most"]) for node in document["nodes"]] == [("head", 1, 1), ("gpu", 1, 2)]
    assert "small" in err


def test_status_is_rays_report_or_that_there_is_none(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud(monkeypatch, file.parent, REPORT)
    assert call(capsys, "cluster", "status", file)[:2] == (0, f"{REPORT.strip()}\n")
    assert json.loads(call(capsys, "cluster", "status", file, "--json")[1])["failures"] == ["hand: InsufficientInstanceCapacity"]
    cloud(monkeypatch, file.parent, "RuntimeError: Head node of cluster (small) not found!", 1)
    assert call(capsys, "cluster", "status", file)[:2] == (1, "'small' is not up; `medley cluster up cluster.yaml` starts it\n")


def test_a_failure_of_rays_launcher_is_passed_on_with_exit_code_1(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud(monkeypatch, file.parent, "Failed to setup head node.\n", 1)
    code, _, err = call(capsys, "cluster", "up", file, "--yes")
    assert code == 1
    assert err.startswith("error: `ray up` of 'small' failed (exit code 1): Failed to setup head node.; nodes that were started stay up")


def test_mistakes_in_the_file_are_told_all_at_once_with_exit_code_2(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(OPEN.replace("store:", "stroe:").replace("max_workers: 2", "max_workers: two"), encoding="utf-8")
    code, out, err = call(capsys, "cluster", "up", file, "--yes")
    assert (code, out) == (2, "")
    assert "did you mean 'store'?" in err
    assert "cluster.yaml:3: max_workers: Ray says: 'two' is not of type 'integer'" in err
    assert err.endswith("2 problems; nothing was run\n")


def test_without_a_file_the_one_in_the_folder_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = call(capsys, "cluster", "status")
    assert code == 2
    assert "ray_cluster.yaml: the cluster file cannot be read (No such file or directory)" in err
