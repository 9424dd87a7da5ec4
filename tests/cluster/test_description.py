"""What a cluster file would start, and what is said of a file that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.description import NodeType, read
from cluster.errors import ClusterFileError

FILE = """\
cluster_name: small
provider: {type: aws, region: eu-central-1}
max_workers: 3
head_node_type: boss
available_node_types:
  hand:
    min_workers: 1
    resources: {CPU: 8}
    node_config: {InstanceType: c7i.2xlarge}
  boss:
    node_config: {InstanceType: m7i.large}
metadata:
  medley:
    store: /mnt/store
    auth: token
"""


def written(folder: Path, text: str = FILE) -> Path:
    path = folder / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ClusterFileError) as caught:
        read(written(folder, text))
    return caught.value.problems


def test_node_types_are_listed_with_the_head_first_and_with_what_ray_would_assume(tmp_path: Path) -> None:
    file = read(written(tmp_path))
    assert (file.name, file.provider, file.max_workers) == ("small", "aws", 3)
    assert file.nodes == (
        NodeType("boss", head=True, at_least=1, at_most=1, resources={}, machine="m7i.large"),
        NodeType("hand", head=False, at_least=1, at_most=3, resources={"CPU": 8}, machine="c7i.2xlarge"),
    )


def test_settings_that_are_not_given_are_empty(tmp_path: Path) -> None:
    settings = read(written(tmp_path)).settings
    assert settings.model_dump() == {"store": "/mnt/store", "tracking": "", "address": "", "auth": "token"}
    assert read(written(tmp_path, FILE.partition("metadata")[0])).settings.auth == "none"


@pytest.mark.parametrize("store", ["s3://bucket/medley", "gs://bucket", "az://container/a/b", "/mnt/store"])
def test_a_store_may_be_a_folder_or_a_bucket(tmp_path: Path, store: str) -> None:
    assert read(written(tmp_path, FILE.replace("store: /mnt/store", f"store: {store}"))).settings.store == store


def test_an_unknown_setting_is_told_with_its_line_and_the_closest_name(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, FILE.replace("    store:", "    stoer:"))
    assert problem == (
        f"{tmp_path}/cluster.yaml:14: metadata.medley.stoer: unknown key 'stoer'; allowed: store, tracking, address, auth; "
        "did you mean 'store'?"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("auth: token", "auth: tokn", "metadata.medley.auth: given 'tokn', allowed is: `token`: nodes talk only to those who show the"),
        (
            "store: /mnt/store",
            "store: mnt/store",
            "14: metadata.medley.store: given 'mnt/store', allowed is: Folder that every node mounts at this path, or s3://BUCKET/PREFIX",
        ),
        ("store: /mnt/store", "store: ftp://host/x", "14: metadata.medley.store: given 'ftp://host/x', allowed is: Folder"),
        ("store: /mnt/store", "store: s3:///prefix", "14: metadata.medley.store: given 's3:///prefix', allowed is: Folder"),
        ("    auth: token", "    address: 10.0.0.1", "15: metadata.medley.address: given '10.0.0.1', allowed is: Ray's job server as"),
        ("  medley:\n    store: /mnt/store\n    auth: token", "  medley: yes", "metadata.medley: needs a mapping with store, tracking"),
    ],
)
def test_a_wrong_setting_says_what_is_allowed(tmp_path: Path, old: str, new: str, said: str) -> None:
    (problem,) = problems(tmp_path, FILE.replace(old, new))
    assert said in problem


def test_a_misspelt_choice_names_the_closest(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, FILE.replace("auth: token", "auth: tokn"))
    assert problem.endswith("; did you mean 'token'?")


def test_a_key_that_ray_does_not_know_is_told_with_what_it_allows(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, FILE.replace("max_workers: 3", "max_worker: 3"))
    assert "Ray says: Additional properties are not allowed ('max_worker' was unexpected); allowed: auth, available_node_types" in problem
    assert "did you mean 'max_workers'?; settings of your own go below `metadata:`" in problem


def test_what_ray_says_against_a_value_comes_with_its_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, FILE.replace("CPU: 8", "CPU: many"))
    assert problem == f"{tmp_path}/cluster.yaml:8: available_node_types.hand.resources.CPU: Ray says: 'many' is not of type 'integer'"


def test_a_head_of_an_unknown_type_and_a_wrong_setting_are_told_together(tmp_path: Path) -> None:
    wrong = problems(tmp_path, FILE.replace("head_node_type: boss", "head_node_type: chief").replace("auth: token", "tracks: x"))
    assert len(wrong) == 2
    assert "`head_node_type` must be one of `available_node_types`" in wrong[1]


def test_an_unknown_provider_is_told_with_those_ray_has(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, FILE.replace("type: aws", "type: asw"))
    assert "cluster.yaml:2: provider.type: 'asw' is not known to Ray; allowed: aliyun, aws" in problem
    assert problem.endswith("; did you mean 'aws'?")


def test_node_types_on_machines_of_ones_own_are_refused_in_rays_words(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, FILE.replace("{type: aws, region: eu-central-1}", "{type: local, head_ip: 10.0.0.1, worker_ips: []}"))
    assert "The field available_node_types is not supported for on-premise clusters" in problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no `cluster_name:` and no `provider:`; a cluster file is what `ray up` takes"),
        ("steps: {}", "has no `cluster_name:` and no `provider:`"),
        ("cluster_name: [", "cluster.yaml:1: not valid YAML"),
        ("cluster_name: a\nprovider: aws", "cluster.yaml:2: provider: needs `type:`, such as aws"),
    ],
)
def test_what_is_no_cluster_file_is_told(tmp_path: Path, text: str, said: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert said in problem


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClusterFileError, match=r"the cluster file cannot be read \(No such file or directory\)"):
        read(tmp_path / "nowhere.yaml")
