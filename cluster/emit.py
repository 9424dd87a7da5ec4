"""What runs a command by the clock elsewhere: a CronJob of Kubernetes that makes a RayJob, or lines for a crontab.

In: plain data about a schedule. Out: text, which somebody applies. A CronJob's pod makes the RayJob and stays until it is over (`rayjob`),
so that `concurrencyPolicy: Forbid` holds for what it made. Starts nothing; knows neither recipes nor tasks.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from cluster.errors import Refused

FOLDER = "/medley/recipe"
"""Where pods see the recipe."""
MAX_NAME = 50
"""CronJob names have up to 52 characters, since Jobs are named after them; two are kept for a number."""
MAX_CONFIG_BYTES = 1 << 20
_KEY = re.compile(r"[-._a-zA-Z0-9]+")


@dataclass(frozen=True)
class Workers:
    """Pods beside the head's."""

    number: int
    cpus: int
    gpus: int


@dataclass(frozen=True)
class Scheduled:
    """A command and when it is to run."""

    name: str
    lines: Sequence[str]
    """Cron lines of five fields."""
    zone: str
    words: Sequence[str]
    """The command. What belongs to the recipe's folder is below FOLDER for Kubernetes."""
    late_s: int
    """A start that is later is left out."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path below FOLDER → text."""
    notes: Sequence[str] = ()
    """What whoever applies it should know; become comments."""


@dataclass(frozen=True)
class Pods:
    """What Kubernetes is to start."""

    image: str
    namespace: str
    ray: str
    """Version of Ray in the image."""
    head_cpus: int
    head_gpus: int
    workers: Workers | None = None


def crontab(scheduled: Scheduled, folder: str) -> str:
    """Lines for `crontab -e`; the command runs in `folder`. Raises Refused for a line that cron does not know."""
    _check_lines(scheduled.lines, "cron", sunday=True)
    command = f"cd {shlex.quote(folder)} && {shlex.join(scheduled.words)}".replace("%", r"\%")
    comments = [f"# {note}" for note in scheduled.notes]
    return "\n".join([*comments, f"CRON_TZ={scheduled.zone}", *(f"{line} {command}" for line in scheduled.lines)]) + "\n"


def kubernetes(scheduled: Scheduled, pods: Pods) -> str:
    """YAML for `kubectl apply -f -`. Raises Refused for what Kubernetes would not take."""
    comments = "".join(f"# {note}\n" for note in scheduled.notes)
    return comments + yaml.dump_all(objects(scheduled, pods), Dumper=_Readable, sort_keys=False, allow_unicode=True, width=120)


class _Readable(yaml.SafeDumper):
    """For people: texts of several lines as they are, and nothing by reference."""

    def represent_data(self, data: Any) -> yaml.Node:
        """As the safe dumper does, but for such texts."""
        if isinstance(data, str) and "\n" in data:
            return self.represent_scalar("tag:yaml.org,2002:str", data, style="|")
        return super().represent_data(data)

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def objects(scheduled: Scheduled, pods: Pods) -> list[dict[str, Any]]:
    """One ConfigMap, who may make RayJobs, and a CronJob for each line."""
    _check_lines(scheduled.lines, "Kubernetes", sunday=False)
    name = kubernetes_name(scheduled.name)
    keys = {path: path.replace("/", "__") for path in scheduled.files}
    if bad := [path for path, key in keys.items() if not _KEY.fullmatch(key) or [*keys.values(), "rayjob.json"].count(key) > 1]:
        raise Refused(
            f"{bad[0]!r} cannot be the name of a file in a ConfigMap; it takes letters, digits, '-', '_' and '.', each name once; rename it"
        )
    job = rayjob(scheduled, pods, name, keys)
    data = {"rayjob.json": json.dumps(job, indent=1), **{keys[path]: text for path, text in scheduled.files.items()}}
    size = sum(len(key.encode()) + len(text.encode()) for key, text in data.items())
    if size > MAX_CONFIG_BYTES:
        raise Refused(
            f"the recipe and its modules have {size:,} bytes, and a ConfigMap takes {MAX_CONFIG_BYTES:,}; put modules into the image"
        )
    meta = {"name": name, "namespace": pods.namespace, "labels": {"app.kubernetes.io/name": "medley", "app.kubernetes.io/instance": name}}
    rules = [{"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get"]}]
    account = {"kind": "ServiceAccount", "name": name, "namespace": pods.namespace}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "subjects": [account],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        },
        *(_cronjob(scheduled, pods, meta, line, number) for number, line in enumerate(scheduled.lines, 1)),
    ]


def kubernetes_name(name: str) -> str:
    """What Kubernetes takes for a name: lower-case letters, digits and '-'."""
    return f"medley-{re.sub('[^a-z0-9]+', '-', name.lower())}"[:MAX_NAME].rstrip("-")


def rayjob(scheduled: Scheduled, pods: Pods, name: str, keys: Mapping[str, str]) -> dict[str, Any]:
    """The RayJob without its name, which each start gives it."""
    items = [{"key": key, "path": path} for path, key in keys.items()]
    volumes = [{"name": "recipe", "configMap": {"name": name, "items": items}}]
    head = {"rayStartParams": {}, "template": _pod("ray-head", pods, pods.head_cpus, pods.head_gpus, volumes)}
    spec: dict[str, Any] = {"rayVersion": pods.ray, "headGroupSpec": head}
    if pods.workers:
        group = {"groupName": "workers", "replicas": pods.workers.number, "minReplicas": pods.workers.number}
        group |= {"maxReplicas": pods.workers.number, "rayStartParams": {}}
        spec["workerGroupSpecs"] = [{**group, "template": _pod("ray-worker", pods, pods.workers.cpus, pods.workers.gpus, volumes)}]
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"namespace": pods.namespace, "labels": {"app.kubernetes.io/name": "medley", "app.kubernetes.io/instance": name}},
        "spec": {
            "entrypoint": shlex.join(scheduled.words),
            "backoffLimit": 0,  # the command takes up by itself what was left unfinished, at its next start
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 600,
            "rayClusterSpec": spec,
        },
    }


def _pod(name: str, pods: Pods, cpus: int, gpus: int, volumes: list[dict[str, Any]]) -> dict[str, Any]:
    amounts = {"cpu": str(cpus), **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    container = {
        "name": name,
        "image": pods.image,
        "envFrom": [{"secretRef": {"name": "medley", "optional": True}}],
        "resources": {"requests": amounts, **({"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {})},
        "volumeMounts": [{"name": "recipe", "mountPath": FOLDER, "readOnly": True}],
    }
    return {"spec": {"containers": [container], "volumes": volumes}}


def _cronjob(scheduled: Scheduled, pods: Pods, meta: Mapping[str, Any], line: str, number: int) -> dict[str, Any]:
    name = meta["name"] if len(scheduled.lines) == 1 else f"{meta['name']}-{number}"
    own = {"JOB_NAME": "metadata.labels['job-name']", "JOB_UID": "metadata.labels['controller-uid']", "NAMESPACE": "metadata.namespace"}
    container = {
        "name": "make-rayjob",
        "image": pods.image,
        "command": ["python", "-m", "cluster.rayjob", "/medley/rayjob/rayjob.json"],
        "env": [{"name": variable, "valueFrom": {"fieldRef": {"fieldPath": path}}} for variable, path in own.items()],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "rayjob", "mountPath": "/medley/rayjob", "readOnly": True}],
    }
    items = [{"key": "rayjob.json", "path": "rayjob.json"}]
    pod = {
        "serviceAccountName": meta["name"],
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "rayjob", "configMap": {"name": meta["name"], "items": items}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {**meta, "name": name},
        "spec": {
            "schedule": line,
            "timeZone": scheduled.zone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": max(10, scheduled.late_s),  # below 10 s the controller may look too late
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"spec": {"backoffLimit": 3, "template": {"metadata": {"labels": meta["labels"]}, "spec": pod}}},
        },
    }


def _check_lines(lines: Sequence[str], where: str, *, sunday: bool) -> None:
    """Raises Refused for what is there in `schedule:` and not there, or means something else there."""
    if not lines:
        raise Refused(
            "only cron lines can be handed to another scheduler, and this schedule has none; add `cron:`, or keep it with "
            "`medley schedule RECIPE`, which looks after new data, drift and age as well"
        )
    for line in lines:
        _, _, day, _, weekday = line.upper().split()
        if re.search(r"L|#|W", day) or re.search(r"\dL|#", weekday):
            raise Refused(
                f"{line!r}: {where} knows neither L, W nor #; keep this line with `medley schedule RECIPE`, or write it otherwise"
            )
        if not sunday and "7" in re.split(r"[-,]", re.sub(r"/\d+", "", weekday)):
            raise Refused(f"{line!r}: {where} counts the days of the week from 0 to 6; write SUN or 0 for Sunday")
        if not sunday and ((day.startswith("*/") and weekday != "*") or (weekday.startswith("*/") and day != "*")):
            raise Refused(
                f"{line!r}: {where} takes either of the two fields for days, `schedule:` takes both; list the days instead of */n"
            )
