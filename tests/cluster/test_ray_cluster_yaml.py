"""The files for Ray's cluster launcher are ones that Ray itself accepts, and that do what their comments say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from cluster.description import read
from cluster.errors import ClusterFileError
from cluster.launcher import check_launch

ROOT = Path(__file__).resolve().parents[2]
AWS, ON_PREMISE = ROOT / "ray_cluster.yaml", ROOT / "examples" / "cluster" / "onpremise.yaml"
BOTH = pytest.mark.parametrize("path", [AWS, ON_PREMISE], ids=["aws", "on-premise"])


def loaded(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return config


@BOTH
def test_rays_own_validator_accepts_the_file(path: Path) -> None:
    validate_config(prepare_config(loaded(path)))


@BOTH
def test_the_validator_would_notice_a_key_that_ray_does_not_know(path: Path) -> None:
    config = loaded(path)
    with pytest.raises(jsonschema.ValidationError, match="medley"):
        validate_config(prepare_config(config | {"medley": config["metadata"]["medley"]}))


@BOTH
def test_our_settings_are_left_as_they_are(path: Path) -> None:
    config = loaded(path)
    assert prepare_config(config)["metadata"] == config["metadata"]


def test_on_aws_data_has_cpu_nodes_training_has_gpu_nodes_and_the_head_runs_no_tasks() -> None:
    file = read(AWS)
    head, cpu, gpu = file.nodes
    assert (head.head, head.resources) == (True, {"CPU": 0})
    assert "GPU" not in cpu.resources
    assert gpu.resources["GPU"] == 1
    assert cpu.at_most + gpu.at_most == file.max_workers


def test_on_premise_every_worker_is_used() -> None:
    workers = read(ON_PREMISE).nodes[1]
    assert workers.at_least == workers.at_most == len(loaded(ON_PREMISE)["provider"]["worker_ips"])


@BOTH
def test_every_node_demands_the_token_installs_the_lock_and_finds_ray_by_name(path: Path) -> None:
    config = loaded(path)
    assert read(path).settings.auth == "token"
    starts = [line for kind in ("head", "worker") for line in config[f"{kind}_start_ray_commands"] if "ray start" in line]
    assert [line.startswith("RAY_AUTH_MODE=token ray start ") for line in starts] == [True, True]
    setup = "\n".join(config["setup_commands"])
    assert "make -C ~/medley setup" in setup
    assert "requirements.lock" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert 'PATH="$HOME/medley/.venv/bin:$PATH"' in setup, "`ray down` runs plain `ray stop` on the head"


@BOTH
def test_what_is_mounted_on_the_nodes_is_this_repository(path: Path) -> None:
    assert (path.parent / loaded(path)["file_mounts"]["~/medley"]).resolve() == ROOT


@BOTH
def test_mlflow_answers_to_the_name_under_which_the_nodes_know_it(path: Path) -> None:
    config = loaded(path)
    (server,) = [line for line in config["head_start_ray_commands"] if "mlflow server" in line]
    host = config["metadata"]["medley"]["tracking"].removeprefix("http://")
    allowed = re.search(r"--allowed-hosts '([^']*)'", server)
    assert allowed is not None
    assert host in allowed[1].split(",")
    assert all("mlflow server" not in line for line in config["worker_start_ray_commands"])


@BOTH
def test_example_values_are_named_before_anything_starts(path: Path) -> None:
    with pytest.raises(ClusterFileError, match="is an example that nobody owns; put in yours"):
        check_launch(read(path))
