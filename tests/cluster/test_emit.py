"""What is handed to Kubernetes and to cron: valid by KubeRay's own schemas, and by Kubernetes' rules as far as they can be told offline."""

from __future__ import annotations

import gzip
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml

from cluster.emit import FOLDER, MAX_CONFIG_BYTES, Pods, Scheduled, Workers, crontab, kubernetes, kubernetes_name, objects
from cluster.errors import Refused
from tests.conftest import ROOT

SCHEMA = ROOT.parent / "shared" / "data" / "kuberay-crds" / "ray.io_rayjobs.yaml.gz"
SCHEDULED = Scheduled(
    "My_Digits.v2",
    ["0 3 * * *"],
    "Europe/Berlin",
    ["medley", "schedule", f"{FOLDER}/recipe.yaml", "--once", "--set", "steps.model.epochs=1 and more"],
    3600,
    {"recipe.yaml": "name: digits\nsteps: {}\n", "my/encoders.py": "x = 1\n"},
    ["The schedule of digits."],
)
PODS = Pods("registry.test/medley:1", "training", "2.56.0", 2, 0, Workers(2, 4, 1))
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def of_kind(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in found if each["kind"] == kind]


def job(found: list[dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(of_kind(found, "ConfigMap")[0]["data"]["rayjob.json"])
    return made


def problems(value: Any, schema: Mapping[str, Any], path: str = "") -> list[str]:
    """What a schema of a custom resource, which is a part of OpenAPI, has against a value. An unknown field is one too."""
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    if schema.get("x-kubernetes-int-or-string"):
        return [] if isinstance(value, int | str) else [f"{path}: is {value!r}"]
    wanted = kinds.get(schema.get("type", ""), object)
    if not isinstance(value, wanted) or (wanted in (int, (int, float)) and isinstance(value, bool)):  # type: ignore[arg-type]
        return [f"{path}: is {value!r}, not {schema.get('type')}"]
    found = [f"{path}: {value!r} is none of {schema['enum']}"] if value not in schema.get("enum", [value]) else []
    if isinstance(value, dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties")
        found += [f"{path}.{name}: is missing" for name in schema.get("required", ()) if name not in value]
        for name, item in value.items():
            if name in known:
                found += problems(item, known[name], f"{path}.{name}")
            elif isinstance(rest, dict):
                found += problems(item, rest, f"{path}.{name}")
            elif path:  # at the top, apiVersion, kind and metadata are Kubernetes' own
                found.append(f"{path}.{name}: is unknown")
    if isinstance(value, list):
        found += [problem for number, item in enumerate(value) for problem in problems(item, schema.get("items", {}), f"{path}[{number}]")]
    return found


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    if not SCHEMA.is_file():
        pytest.skip("needs KubeRay's schemas as ../shared/data/kuberay-crds beside the repository")
    resource = yaml.load(gzip.decompress(SCHEMA.read_bytes()), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    found: dict[str, Any] = next(each for each in resource["spec"]["versions"] if each["name"] == "v1")["schema"]["openAPIV3Schema"]
    return found


@pytest.mark.parametrize("pods", [PODS, replace(PODS, workers=None, head_gpus=1)])
def test_the_rayjob_is_valid_by_kuberays_schema(schema: dict[str, Any], pods: Pods) -> None:
    made = job(objects(SCHEDULED, pods))
    assert (made["apiVersion"], made["kind"]) == ("ray.io/v1", "RayJob")
    assert problems(made["spec"], schema["properties"]["spec"], "spec") == []


def test_the_check_by_the_schema_finds_what_is_wrong(schema: dict[str, Any]) -> None:
    made = job(objects(SCHEDULED, PODS))["spec"]
    made["backoffLimit"] = "0"
    made["rayClusterSpec"]["workerGroupSpecs"][0].pop("groupName")
    made["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["images"] = "x"
    found = problems(made, schema["properties"]["spec"], "spec")
    assert len(found) == 3, found


def test_the_cronjob_forbids_two_at_once_and_has_the_time_zone_and_the_grace() -> None:
    [made] = of_kind(objects(SCHEDULED, PODS), "CronJob")
    assert made["apiVersion"] == "batch/v1"
    spec = made["spec"]
    assert (spec["schedule"], spec["timeZone"]) == ("0 3 * * *", "Europe/Berlin")
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] == 3600
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["containers"][0]["command"][:3] == ["python", "-m", "cluster.rayjob"]


def test_what_hangs_together_by_names_does() -> None:
    found = objects(SCHEDULED, PODS)
    name = kubernetes_name(SCHEDULED.name)
    assert {each["metadata"]["namespace"] for each in found} == {"training"}
    [config], [binding], [cron] = (of_kind(found, kind) for kind in ("ConfigMap", "RoleBinding", "CronJob"))
    assert binding["roleRef"]["name"] == of_kind(found, "Role")[0]["metadata"]["name"]
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": pod["serviceAccountName"], "namespace": "training"}]
    cluster = job(found)["spec"]["rayClusterSpec"]
    pods = [pod, cluster["headGroupSpec"]["template"]["spec"], cluster["workerGroupSpecs"][0]["template"]["spec"]]
    for each in pods:
        volumes = {volume["name"]: volume["configMap"] for volume in each["volumes"]}
        for mount in each["containers"][0]["volumeMounts"]:
            assert volumes[mount["name"]]["name"] == name
            assert all(item["key"] in config["data"] for item in volumes[mount["name"]]["items"])
    items = pods[1]["volumes"][0]["configMap"]["items"]
    assert {item["path"]: config["data"][item["key"]] for item in items} == dict(SCHEDULED.files)


def test_a_role_may_make_and_see_rayjobs_and_nothing_else() -> None:
    [role] = of_kind(objects(SCHEDULED, PODS), "Role")
    assert role["rules"] == [{"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get"]}]


@pytest.mark.parametrize("name", ["digits", "My_Digits.v2", "x" * 100, "a-" * 40, "Ünïcode", "_"])
def test_names_are_what_kubernetes_takes(name: str) -> None:
    for each in objects(replace(SCHEDULED, name=name, lines=["0 3 * * *", "0 4 * * *"]), PODS):
        assert LABEL.fullmatch(each["metadata"]["name"])
        assert len(each["metadata"]["name"]) <= 52
        assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", key) for key in each.get("data", {}))


def test_several_lines_are_several_cronjobs() -> None:
    made = of_kind(objects(replace(SCHEDULED, lines=["0 3 * * *", "30 12 * * MON"]), PODS), "CronJob")
    assert [each["spec"]["schedule"] for each in made] == ["0 3 * * *", "30 12 * * MON"]
    assert len({each["metadata"]["name"] for each in made}) == 2


def test_the_text_is_yaml_that_says_the_same_and_begins_with_the_notes() -> None:
    text = kubernetes(SCHEDULED, PODS)
    assert text.startswith("# The schedule of digits.\n")
    assert list(yaml.safe_load_all(text)) == objects(SCHEDULED, PODS)
    assert "&id" not in text
    assert "name: digits\n    steps: {}" in text, "a recipe can be read in it"


def test_the_command_comes_through_with_its_blanks() -> None:
    assert shlex.split(job(objects(SCHEDULED, PODS))["spec"]["entrypoint"]) == list(SCHEDULED.words)


def test_a_recipe_too_large_for_a_configmap_is_refused() -> None:
    with pytest.raises(Refused, match="a ConfigMap takes 1,048,576; put modules into the image"):
        objects(replace(SCHEDULED, files={"recipe.yaml": "x" * MAX_CONFIG_BYTES}), PODS)


def test_two_files_that_would_be_one_are_refused() -> None:
    with pytest.raises(Refused, match="each name once"):
        objects(replace(SCHEDULED, files={"a/b.py": "", "a__b.py": ""}), PODS)


@pytest.mark.parametrize(
    ("line", "about"),
    [
        ("0 3 L * *", "knows neither L, W nor #"),
        ("0 3 LW * *", "knows neither L, W nor #"),
        ("0 3 * * MON#2", "knows neither L, W nor #"),
        ("0 3 * * 5L", "knows neither L, W nor #"),
        ("0 3 * * 7", "counts the days of the week from 0 to 6"),
        ("0 3 * * 5-7", "counts the days of the week from 0 to 6"),
        ("0 3 */2 * MON", "takes either of the two fields for days"),
    ],
)
def test_a_line_that_kubernetes_does_not_know_or_takes_otherwise_is_refused(line: str, about: str) -> None:
    with pytest.raises(Refused, match=about):
        objects(replace(SCHEDULED, lines=[line]), PODS)


@pytest.mark.parametrize("line", ["*/7 3-5 1,15 JAN-MAR MON", "0 3 * * SUN", "0 3 */2 * *", "0 3 * JUL WED", "17 7 7 7 0"])
def test_a_line_that_means_the_same_there_is_taken(line: str) -> None:
    assert of_kind(objects(replace(SCHEDULED, lines=[line]), PODS), "CronJob")[0]["spec"]["schedule"] == line


def test_without_cron_lines_there_is_nothing_to_hand_over() -> None:
    with pytest.raises(Refused, match="this schedule has none; add `cron:`, or keep it with `medley schedule RECIPE`"):
        objects(replace(SCHEDULED, lines=[]), PODS)


def test_crontab_has_the_zone_the_folder_and_no_bare_percent_sign() -> None:
    words = ["/opt/medley", "schedule", "/data/my recipes/r.yaml", "--set", "name=100%"]
    text = crontab(replace(SCHEDULED, words=words, lines=["0 3 * * *", "0 12 * * 7"]), "/data/my recipes")
    lines = text.splitlines()
    assert lines[0] == "# The schedule of digits."
    assert lines[1] == "CRON_TZ=Europe/Berlin"
    assert lines[2] == r"0 3 * * * cd '/data/my recipes' && /opt/medley schedule '/data/my recipes/r.yaml' --set name=100\%"
    assert lines[3].startswith("0 12 * * 7 cd ")
