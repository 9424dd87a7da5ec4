"""The example for Ray's cluster launcher is one that Ray itself accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

FILE = Path(__file__).resolve().parents[2] / "ray_cluster.yaml"


@pytest.fixture
def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return loaded


def test_rays_own_validator_accepts_the_file(config: dict[str, Any]) -> None:
    prepared = prepare_config(config)
    validate_config(prepared)
    (node_type,) = prepared["available_node_types"].values()
    assert node_type["min_workers"] == node_type["max_workers"] == len(config["provider"]["worker_ips"])


def test_the_validator_would_notice_a_key_that_ray_does_not_know(config: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError, match="medley"):
        validate_config(prepare_config(config | {"medley": config["metadata"]["medley"]}))


def test_our_settings_are_left_as_they_are(config: dict[str, Any]) -> None:
    assert prepare_config(config)["metadata"] == config["metadata"]


def test_nodes_talk_only_to_holders_of_the_token(config: dict[str, Any]) -> None:
    starts = [line for kind in ("head", "worker") for line in config[f"{kind}_start_ray_commands"] if "ray start" in line]
    assert len(starts) == 2
    assert all(line.startswith("RAY_AUTH_MODE=token ") for line in starts)
    assert "~/.ray/auth_token" in config["file_mounts"]
