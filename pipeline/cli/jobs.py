"""submit, jobs, stop, and attaching to a job's log."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from pipeline.cli import output

if TYPE_CHECKING:
    from cluster.head import Head, Job
    from cluster.submit import Submitted
    from pipeline.submission import Submission

ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Where an address is taken from when none is given, in this order; of the second, http addresses only."""
POLL_S = 0.5
JOB_ID = re.compile(r"medley-.+-[0-9a-f]{12}-[1-9][0-9]*")
"""What no run's id looks like."""


def submit(arguments: Namespace) -> int:
    """Pack, submit or join, follow the log, end as the run ends."""
    from cluster import submit as submitting
    from pipeline.submission import prepare

    begun = time.monotonic()
    if arguments.workers is not None and arguments.workers < 1:
        from pipeline.errors import RecipeError

        raise RecipeError(f"--workers {arguments.workers}: needs a number of data tasks, 1 or more")
    submission = prepare(
        arguments.recipe,
        arguments.set,
        limit=arguments.limit,
        store=arguments.store,
        until=arguments.until,
        workers=arguments.workers,
        strict_code=arguments.strict_code,
        env=arguments.env,
        include=arguments.include,
        command=shlex.join([output.program("medley"), *sys.argv[1:]]),
    )
    packed = time.monotonic()
    if submission.plan is not None and not submission.plan.to_run:
        return _answer(submission, arguments)
    _tell_package(submission)
    head = _head(arguments)
    _tell_versions(head)
    submitted = submitting.submit(head, submission.request)
    seconds = {"pack": packed - begun, "submit": time.monotonic() - packed}
    _tell_submitted(head, submitted)
    if arguments.detach:
        return _detached(head, submitted.job, arguments, submission, submitted, seconds)
    try:
        job = _follow(head, submitted.job.id, sys.stderr)
    except KeyboardInterrupt:
        return _detached(head, submitted.job, arguments, submission, submitted, seconds)
    if arguments.json:
        output.document(_document(submission, submitted, job, seconds))
    return submitting.exit_code(job)


def jobs(arguments: Namespace) -> int:
    """The head's jobs, oldest first."""
    found = _head(arguments).jobs()
    if not arguments.all:
        found = [job for job in found if "medley_key" in job.metadata]
    if arguments.json:
        output.document([_described(job) for job in found])
        return 0
    rows = []
    for job in found:
        took = output.duration((job.ended or time.time()) - job.started) if job.started else ""
        begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.started)) if job.started else ""
        rows.append([job.id, job.metadata.get("medley_recipe", ""), _status(job), took, begun])
    output.table(["job", "recipe", "status", "took", "started"], rows)
    return 0


def is_job(name: str) -> bool:
    """Is this the id of a job, and not of a run?"""
    return JOB_ID.fullmatch(name) is not None


def logs(arguments: Namespace) -> int:
    """Attach to a job: print what it said and what it says, end as the run ends."""
    from cluster import submit as submitting

    head = _head(arguments)
    job = submitting.find(head, arguments.run)
    if arguments.json:
        output.document({**_described(job), "lines": head.logs(job.id).splitlines()})
        return 0
    if job.over:
        output.say(head.logs(job.id).rstrip("\n"))
        _tell_end(head, job)
    else:
        try:
            job = _follow(head, job.id, sys.stdout)
        except KeyboardInterrupt:
            _tell_detached(head, job)
            return 0
    return submitting.exit_code(job)


def stop(arguments: Namespace) -> int:
    """Ask a job to stop, and wait until its steps have written their state."""
    from cluster import submit as submitting

    head = _head(arguments)
    job = submitting.find(head, arguments.job)
    asked = not job.over and head.stop(job.id)
    if asked and not arguments.json:
        _note(f"stopping {job.id}: its steps write their state first, for up to {submitting.STOP_WAIT_S} s")
    while not job.over:
        time.sleep(POLL_S)
        job = head.job(job.id)
    if arguments.json:
        output.document({**_described(job), "stopped": asked and job.status == "STOPPED"})
    elif not asked:
        output.say(f"job {job.id} was over already: {_status(job)}")
    else:
        output.say(f"job {job.id}: {_status(job)}; finished steps are kept, submitting the recipe again goes on from there")
    return 0


def _head(arguments: Namespace) -> Head:
    from cluster.errors import Refused
    from cluster.head import connect

    named = [os.environ.get(name, "") for name in ADDRESS_VARIABLES]
    address = arguments.address or named[0] or (named[1] if named[1].startswith("http") else "")
    if not address:
        raise Refused("no address: give --address http://HEAD:8265, the head's dashboard, or set RAY_API_SERVER_ADDRESS to it")
    return connect(address, clear_token=arguments.insecure_token)


def _follow(head: Head, job_id: str, stream: Any) -> Job:
    from cluster.follow import follow

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    job = follow(head, job_id, write)
    _tell_end(head, job)
    return job


def _answer(submission: Submission, arguments: Namespace) -> int:
    """Everything is in the store: nothing to submit."""
    plan = submission.plan
    assert plan is not None, "only a plan can say that everything is cached"
    refused = [step for step in plan.steps.values() if step.summary.get("decision") == "refused"]
    _note(f"everything is cached in {plan.store.where}; nothing was submitted")
    for step in refused:
        _note(f"step {step.name!r}: the gate said no: {'; '.join(step.summary.get('reasons', []))}")
    if arguments.json:
        steps = {step.name: {"status": "cached", "key": step.key, "summary": dict(step.summary)} for step in plan.steps.values()}
        output.document({"job": None, "status": "CACHED", "store": plan.store.where, "steps": steps})
    return 3 if refused else 0


def _tell_package(submission: Submission) -> None:
    from cluster.package import LIMIT_BYTES

    package = submission.package
    parts = ", ".join(
        f"{name} {files} {'file' if files == 1 else 'files'} {output.size(size)}" for name, (files, size) in package.parts.items() if files
    )
    zipped = f"zipped {output.size(len(package.data))} of at most {output.size(LIMIT_BYTES)}, which is what a head takes in one upload"
    _note(f"package: {parts}; {zipped}")
    for name in submission.package.sizes:
        if submission.package.part(name) == "yours":
            _note(f"  with {name}")
    _note(f"store: {submission.recipe.store}, as the cluster sees it")
    if submission.plan is None:
        _note(f"what is finished is asked of the cluster: {submission.unplanned}")
    else:
        _note(f"{len(submission.plan.to_run)} of {len(submission.plan.steps)} steps to run, as far as this machine sees")
    for note in submission.notes:
        _note(note)


def _tell_versions(head: Head) -> None:
    """A difference changes nothing here, but it explains what the job's log may say."""
    import platform
    from importlib.metadata import version

    here = (version("ray"), platform.python_version())
    if (head.ray, head.python or here[1]) != here:
        theirs = f"Ray {head.ray} and Python {head.python or 'of unknown version'}"
        _note(f"the head runs {theirs}, this machine Ray {here[0]} and Python {here[1]}; the job uses the head's")


def _tell_submitted(head: Head, submitted: Submitted) -> None:
    done = "joined, it is running already" if submitted.joined else f"submitted to {head.address}, attempt {submitted.attempt}"
    _note(f"job {submitted.job.id} {done}")
    if submitted.note:
        _note(submitted.note)


def _tell_end(head: Head, job: Job) -> None:
    took = f" after {output.duration(job.ended - job.started)}" if job.ended and job.started else ""
    _note(f"job {job.id} {_status(job)}{took}")
    if job.status == "STOPPED":
        _note(
            "it was stopped from outside (`medley stop`, Ray's own, or its node); finished steps are kept: submit again to go on from there"
        )
    elif job.status == "FAILED" and job.exit_code is None:
        _note(f"{head.address} could not run it: {job.message.strip()[-2000:]}")


def _tell_detached(head: Head, job: Job) -> None:
    _note(f"\ndetached; job {job.id} goes on. Attach again: medley logs {job.id} --address {head.address}")
    _note(f"stop it: medley stop {job.id} --address {head.address}")


def _detached(head: Head, job: Job, arguments: Namespace, submission: Submission, submitted: Submitted, seconds: dict[str, float]) -> int:
    _tell_detached(head, job)
    if arguments.json:
        output.document(_document(submission, submitted, job, seconds))
    return 0


def _status(job: Job) -> str:
    said = job.status.lower()
    return f"{said} (exit code {job.exit_code})" if job.status == "FAILED" and job.exit_code is not None else said


def _described(job: Job) -> dict[str, Any]:
    return {
        "job": job.id,
        "recipe": job.metadata.get("medley_recipe", ""),
        "status": job.status,
        "exit_code": job.exit_code,
        "started": job.started,
        "ended": job.ended,
        "entrypoint": job.entrypoint,
    }


def _document(submission: Submission, submitted: Submitted, job: Job, seconds: dict[str, float]) -> dict[str, Any]:
    package = submission.package
    parts = {name: {"files": files, "bytes": size} for name, (files, size) in package.parts.items()}
    return {
        **_described(job),
        "attempt": submitted.attempt,
        "joined": submitted.joined,
        "store": str(submission.recipe.store),
        "package": {"name": package.name, "bytes": len(package.data), "uploaded": submitted.uploaded, **parts},
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }


def _note(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
