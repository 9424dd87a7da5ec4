"""schedule --emit: what another scheduler needs to keep a recipe's schedule."""

from __future__ import annotations

import sys
from argparse import Namespace
from importlib.metadata import version
from typing import TYPE_CHECKING

from pipeline.cli import output
from pipeline.errors import RecipeError

if TYPE_CHECKING:
    from cluster.emit import Pods, Scheduled
    from pipeline.steps import Recipe

HEAD_CPUS = 2
"""Of the head's pod: the run's own process, and a data task beside it."""


def emit(arguments: Namespace, loaded: Recipe) -> int:
    """Print it."""
    from cluster import emit as emitted

    scheduled = _scheduled(arguments, loaded)
    if arguments.emit == "crontab":
        text = emitted.crontab(scheduled, str(loaded.base_dir))
        output.document({"crontab": text}) if arguments.json else sys.stdout.write(text)
        return 0
    pods = _pods(arguments, loaded)
    if arguments.json:
        output.document({"kubernetes": emitted.objects(scheduled, pods), "notes": list(scheduled.notes)})
    else:
        sys.stdout.write(emitted.kubernetes(scheduled, pods))
    return 0


def _scheduled(arguments: Namespace, loaded: Recipe) -> Scheduled:
    from cluster.emit import Scheduled

    assert loaded.schedule is not None
    schedule, words = loaded.schedule, []
    if arguments.emit == "crontab":
        words = [_absolute(), "schedule", str(loaded.path)]
    else:
        words = ["medley", "schedule", _in_pod(loaded), "--address", "auto"]
    if arguments.store is not None or arguments.emit == "crontab":
        words += ["--store", str(loaded.store)]
    words += [word for assignment in arguments.set for word in ("--set", assignment)]
    options = {"--limit": arguments.limit, "--workers": arguments.workers}
    options |= {"--address": arguments.address} if arguments.emit == "crontab" else {}
    words += [str(word) for option, value in options.items() if value is not None for word in (option, value)]
    files = {} if arguments.emit == "crontab" else _files(loaded)
    notes = _crontab_notes(loaded) if arguments.emit == "crontab" else _kubernetes_notes(loaded)
    return Scheduled(loaded.name, schedule.cron, schedule.timezone, [*words, "--once"], schedule.misfire_grace_s, files, notes)


def _absolute() -> str:
    """cron knows no PATH to speak of."""
    from pathlib import Path

    beside = Path(sys.executable).parent / "medley"
    return str(beside) if beside.exists() else "medley"


def _in_pod(loaded: Recipe) -> str:
    from cluster.emit import FOLDER

    return f"{FOLDER}/{loaded.path.name}"


def _files(loaded: Recipe) -> dict[str, str]:
    from pipeline.own_code import own_files

    return {loaded.path.name: loaded.text, **{name: path.read_text(encoding="utf-8") for name, path in own_files(loaded).items()}}


def _pods(arguments: Namespace, loaded: Recipe) -> Pods:
    """Raises RecipeError with everything that is missing."""
    from cluster.emit import Pods, Workers

    problems = []
    if not arguments.image:
        problems.append("--emit kubernetes needs --image: a container image with Medley, Ray and `medley` on its PATH")
    if "://" not in str(loaded.store):
        problems.append(
            f"the store {loaded.store} is a folder of this machine, which pods do not see; give a bucket, --store s3://BUCKET/PREFIX"
        )
    elif not loaded.tracking and any(step.task == "register" for step in loaded.steps.values()):
        problems.append(
            f"{loaded.document.at(())}: tracking: pods are gone after a run, and MLflow counts versions; write `tracking: http://…`"
        )
    if problems:
        raise RecipeError(*problems)
    steps = loaded.steps.values()
    workers = max((step.resources.workers for step in steps), default=0)
    cpus, gpus = max(step.resources.cpus for step in steps), max(step.resources.gpus for step in steps)
    if workers:
        return Pods(arguments.image, arguments.namespace, version("ray"), HEAD_CPUS, 0, Workers(workers, cpus, gpus))
    return Pods(arguments.image, arguments.namespace, version("ray"), HEAD_CPUS + cpus - 1, gpus)


def _polled(loaded: Recipe) -> list[str]:
    assert loaded.schedule is not None
    found = [name for name in ("new_data", "drift", "max_age_h") if getattr(loaded.schedule, name)]
    if not found:
        return []
    return [f"{' and '.join(found)}: looked at only when a cron line calls; `medley schedule` as a service looks in between."]


def _crontab_notes(loaded: Recipe) -> list[str]:
    assert loaded.schedule is not None
    zone = loaded.schedule.timezone
    return [
        f"The schedule of {loaded.name}, for `crontab -e`. Each call runs what is due, once, whoever else calls.",
        f"CRON_TZ is known to cronie. Debian's cron passes over it and takes the machine's own zone: there set that to {zone}.",
        "What passes while the machine is off is called by nobody; the next call does what `misfire` says. There is no jitter.",
        "cron gives a command few variables: put those for buckets, MLflow and webhooks above the line.",
        *_polled(loaded),
    ]


def _kubernetes_notes(loaded: Recipe) -> list[str]:
    from cluster.emit import FOLDER

    return [
        f"The schedule of {loaded.name}, for `kubectl apply -f`. Needs Kubernetes 1.27 and the KubeRay operator.",
        "A Secret `medley` in the namespace, if there is one, becomes variables: credentials of bucket, MLflow, webhooks.",
        f"Relative paths of the recipe begin at {FOLDER} in the pods, which holds the recipe and its modules alone.",
        "Where clocks go forward, a line whose hour is left out is not called that day; the next call does what `misfire` says.",
        "Memory is not asked for: add it to `resources` below to suit the data.",
        *_polled(loaded),
    ]
