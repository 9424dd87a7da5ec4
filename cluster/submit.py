"""Submit a run to a head: join what runs, else start the next attempt.

In: a Head and a Request. Out: a Submitted. The id of a job is `medley-NAME-KEY-ATTEMPT`, where KEY says what was asked for, so that
asking twice finds the first. Whether it is finished is never read off a job's record: the store knows, and a new attempt asks it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from cluster.errors import NoSuchJob, OtherVersion, Unreachable
from cluster.head import Head, Job
from cluster.package import Package

STOP_WAIT_S = 75
"""How long Ray lets a stopped job write its state before it ends it; the run itself stops waiting for its steps after 60 s."""
START_PATIENCE_S = 60.0
"""How long a head that has just come up may take until it can start jobs."""
OLDEST = {"Ray": (2, 56), "Python": (3, 11)}
"""What this code can run on (see pyproject.toml)."""


@dataclass(frozen=True)
class Request:
    """What is to run."""

    name: str
    """Of the recipe."""
    key: str
    """Says what was asked for; see `key_of`."""
    plan: str
    """Digest of the planned steps' keys; empty when the plan could not be made here."""
    code: str
    """Revision of the packed code."""
    arguments: Sequence[str]
    """Of `python -m pipeline`."""
    environment: Mapping[str, str]
    package: Package


@dataclass(frozen=True)
class Submitted:
    """A job that runs what was asked for."""

    job: Job
    attempt: int
    joined: bool
    uploaded: bool
    note: str = ""
    """What one should know of it."""


def key_of(parts: Any) -> str:
    """Twelve hex digits of anything JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def submit(head: Head, request: Request) -> Submitted:
    """Join the running job of the same key and plan, else start the next attempt. Two that submit at once end in one job."""
    check_versions(head)
    uploaded = False
    deadline = time.monotonic() + START_PATIENCE_S
    while True:
        attempts = {job.id: job for job in head.jobs() if job.metadata.get("medley_key") == request.key}
        running = [job for job in attempts.values() if not job.over]
        for job in running:
            if same_plan(job.metadata.get("medley_plan", ""), request.plan):
                note = (
                    ""
                    if job.metadata.get("medley_code") == request.code
                    else f"it runs other code than yours ({job.metadata.get('medley_code')})"
                )
                return Submitted(job, _attempt(job.id), joined=True, uploaded=False, note=note)
        if not uploaded and not head.has_package(request.package.name):
            head.put_package(request.package.name, request.package.data)
            uploaded = True
        attempt = 1 + max(map(_attempt, attempts), default=0)
        job_id = f"medley-{request.name}-{request.key}-{attempt}"
        came = head.submit(job_id, entrypoint(request.arguments), _runtime_env(request), _metadata(request, attempt))
        if came == "started":
            note = f"starts beside {', '.join(job.id for job in running)}, whose inputs were others" if running else ""
            return Submitted(head.job(job_id), attempt, joined=False, uploaded=uploaded, note=note)
        if time.monotonic() > deadline:
            raise Unreachable(
                f"{head.address} answers but could not start a job for {START_PATIENCE_S:.0f} s ({came}); is its dashboard agent up? "
                "dashboard_agent.log in the head's Ray session says why not, often a port in use; then submit again"
            )
        time.sleep(1.0)


def same_plan(one: str, other: str) -> bool:
    """A plan that is unknown on either side counts as the same: the recipe is, and the run looks at the store anyway."""
    return not one or not other or one == other


def entrypoint(arguments: Sequence[str]) -> str:
    """The shell command of a job; `exec`, so that a stop signal reaches Medley itself."""
    return "exec " + shlex.join(["sh", "cluster/start.sh", *arguments])


def check_versions(head: Head) -> None:
    """A head of another Ray or Python does: the job runs on its own. One too old for this code raises OtherVersion."""
    for name, given in (("Ray", head.ray), ("Python", head.python)):
        number = tuple(int(part) for part in re.findall(r"\d+", given)[:2])
        if number and number < OLDEST[name]:
            oldest = ".".join(map(str, OLDEST[name]))
            raise OtherVersion(
                f"{head.address} runs Ray {head.ray} and Python {head.python or 'of unknown version'}; this code needs {name} {oldest} or "
                "newer there: start the cluster from an environment that has Medley's requirements (`make setup`, or its Docker image)"
            )


def find(head: Head, text: str) -> Job:
    """A job by id, or by a beginning that only one has. Raises NoSuchJob."""
    jobs = {job.id: job for job in head.jobs()}
    matching = [job_id for job_id in jobs if job_id.startswith(text)]
    if text in jobs:
        matching = [text]
    if len(matching) != 1:
        close = get_close_matches(text, list(jobs), n=1)
        what = f"{len(matching)} jobs begin with {text!r}" if matching else f"there is no job {text!r}"
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise NoSuchJob(f"{what} at {head.address}; the newest are: {', '.join(list(jobs)[-5:]) or 'none'}{hint}")
    return jobs[matching[0]]


def exit_code(job: Job) -> int:
    """Of a job that is over, as `medley run` would have ended: 0 done, 1 failed, 2 bad input, 3 the gate said no, 130 stopped."""
    if job.status == "SUCCEEDED":
        return 0
    if job.status == "STOPPED":
        return 130
    return job.exit_code if job.exit_code in (2, 3, 130) else 1


def _attempt(job_id: str) -> int:
    return int(job_id.rpartition("-")[2])


def _runtime_env(request: Request) -> dict[str, Any]:
    own = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S)}
    return {"working_dir": f"gcs://{request.package.name}", "env_vars": {**own, **request.environment}}


def _metadata(request: Request, attempt: int) -> dict[str, str]:
    return {
        "medley_recipe": request.name,
        "medley_key": request.key,
        "medley_plan": request.plan,
        "medley_code": request.code,
        "medley_attempt": str(attempt),
    }
