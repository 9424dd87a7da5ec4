"""Nodes that an autoscaler may still bring: counted beside those that are there, within the limits of the cluster's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import growth
from cluster.connect import Connection
from cluster.growth import described, to_come
from cluster.nodes import Need, Node
from tests.conftest import ROOT

HEAD = Node("h", "head", "10.0.0.1", 0, 0)
CPU = Node("c", "cpu", "10.0.0.2", 16, 0)
GPU = Node("g", "gpu", "10.0.0.3", 16, 1)
OTHER = Node("o", "other", "10.0.0.4", 3, 0)


@pytest.fixture
def config() -> Any:
    """The file that the repository has: at most 12 nodes, 8 for data and 4 for training."""
    return yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())


def counts(config: Any, *workers: Node) -> tuple[int, int, int]:
    """CPU nodes and GPU nodes that may come, and how many of both together."""
    nodes, at_most = described(config, workers)
    return sum(1 for node in nodes if not node.gpus), sum(1 for node in nodes if node.gpus), at_most


def connection(config: Any, *workers: Node) -> Connection:
    return Connection(False, True, 16, 0, (HEAD, *workers), *described(config, workers))


def test_an_empty_cluster_may_get_what_its_types_allow_and_no_head(config: Any) -> None:
    assert counts(config) == (8, 4, 12)


def test_what_is_alive_does_not_come_once_more(config: Any) -> None:
    assert counts(config, CPU, GPU, GPU) == (7, 2, 9)
    assert counts(config, *[GPU] * 4) == (8, 0, 8)


def test_the_limit_of_the_cluster_holds_for_all_types_together(config: Any) -> None:
    config["max_workers"] = 3
    assert counts(config, CPU) == (2, 2, 2)
    assert connection(config, CPU).lacking([Need("model", 1, 1, processes=2)], [HEAD, CPU]) == []
    (sentence,) = connection(config, CPU).lacking([Need("model", 16, 0, processes=4)], [HEAD, CPU])
    assert "4 workers of 16 CPUs and 0 GPUs each, but there is room for 3 of them" in sentence
    assert sentence.count("a node of type cpu (on demand): 16 CPUs and 0 GPUs") == 1
    assert "at most 2 may come on demand" in sentence


def test_a_node_of_no_known_type_counts_against_the_cluster_alone(config: Any) -> None:
    config["max_workers"] = 5
    assert counts(config, OTHER) == (4, 4, 4)
    assert counts(config, *[OTHER] * 7) == (0, 0, 0)


def test_a_type_without_a_limit_of_its_own_has_the_clusters(config: Any) -> None:
    del config["available_node_types"]["cpu"]["max_workers"]
    assert counts(config, CPU) == (11, 4, 11)


def test_types_of_one_size_share_what_is_alive(config: Any) -> None:
    config["available_node_types"]["more"] = config["available_node_types"]["cpu"] | {"max_workers": 2}
    assert counts(config, *[CPU] * 9) == (1, 3, 3)


def test_a_file_of_another_form_brings_nothing(config: Any) -> None:
    assert described(None) == ((), 0)
    assert described({"max_workers": "many", "available_node_types": {}}) == ((), 0)
    assert described({"max_workers": 2, "available_node_types": ["cpu"]}) == ((), 0)


def test_only_a_head_with_a_file_for_its_autoscaler_gets_nodes(tmp_path: Path, config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bootstrap.yaml"
    monkeypatch.setattr(growth, "_is_head", lambda node_id: node_id == HEAD.id)
    assert to_come(HEAD.id, [HEAD, CPU], file) == ((), 0)
    file.write_text(yaml.safe_dump(config))
    assert to_come(HEAD.id, [HEAD, CPU], file) == described(config, [CPU])
    assert to_come(CPU.id, [HEAD, CPU], file) == ((), 0)
    file.write_text("{")
    assert to_come(HEAD.id, [HEAD, CPU], file) == ((), 0)
