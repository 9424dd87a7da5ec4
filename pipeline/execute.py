"""One step, in the process it runs in: a driver's own or a Ray worker.

In: a StepJob. Out: an artifact in the store, and a StepOutcome of plain values; an error is carried as text, so that none is lost
in pickling. Runs the same with and without Ray.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline import code
from pipeline.catalog import CATALOG
from pipeline.errors import StoreError
from pipeline.full_disk import full_disk
from pipeline.journal import RunDir
from pipeline.shared_work import saved
from pipeline.sole import sole
from pipeline.store import LocalStore, explained
from tasks.contracts import Artifact, Lineage, Resources, Summary, TaskContext, Tracking
from tasks.errors import ChangedSource, InputError, Stopped
from tasks.registry import add_code_dir, load

log = logging.getLogger("medley")

PROGRESS_INTERVAL_S = 0.25
"""How often a step's progress is written."""
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""What the system says of a place that may not be written."""
BROKEN = (errno.EIO, errno.EROFS, errno.ESTALE)
"""What it says of a disk that fails, or that it closed for that; a call on an open file names no file."""


@dataclass(frozen=True)
class StepJob:
    """All that a step's process must be told."""

    name: str
    task: str
    key: str
    parts: Mapping[str, Any]
    inputs: Mapping[str, Artifact]
    store: LocalStore
    run: RunDir
    seed: int
    resources: Resources
    tracking: Tracking
    lineage: Lineage
    code_dir: Path
    recipe_name: str
    local_ray: bool = True


@dataclass(frozen=True)
class StepOutcome:
    """How a step ended."""

    status: str
    """ran, cached (another run made it meanwhile), refused, failed or stopped."""
    seconds: float
    summary: Summary = field(default_factory=dict)
    message: str = ""
    """Why it failed, for the user."""
    traceback: str = ""
    bad_input: bool = False
    """The user's data or configuration is wrong."""


def execute(job: StepJob) -> StepOutcome:
    """Run a step and publish what it made. Never raises for what the step does; the outcome says how it went."""
    begun = time.monotonic()
    try:
        with _logged(job.run, job.name):
            return _outcome(job, begun)
    except StoreError as error:  # not even a log can be written
        return StepOutcome("failed", time.monotonic() - begun, message=str(error))


def _outcome(job: StepJob, begun: float) -> StepOutcome:
    try:
        code.check_packages()
        add_code_dir(job.code_dir)
        with _of_the_store(job.store):
            status, summary = _made(job)
        return StepOutcome(status, time.monotonic() - begun, summary)
    except Stopped as error:
        log.info("stopped: %s", error)
        return StepOutcome("stopped", time.monotonic() - begun, message=str(error))
    except Exception as error:  # noqa: BLE001 - the outcome carries whatever went wrong to the person who runs this
        trace = traceback.format_exc()
        log.error("%s", trace)
        title = "" if _speaks_for_itself(error) else f"{type(error).__name__}: "
        message = f"{title}{error}" or repr(error)
        return StepOutcome("failed", time.monotonic() - begun, {}, message, trace, isinstance(error, InputError))


def _speaks_for_itself(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] in ("tasks", "pipeline", "cluster")


def _made(job: StepJob) -> tuple[str, Summary]:
    store, task = job.store, CATALOG[job.task]
    stop, sink = FileStop(job.run.stop_file), FileSink(job.run.progress_file(job.name))
    with sole(store, job.key, stop, sink):
        existing = store.artifact(job.key)
        if existing is not None:
            log.info("another run made %s meanwhile", job.key[:12])
            return _status(existing.summary, "cached"), existing.summary
        output = store.scratch()
        output.mkdir()
        try:
            context = TaskContext(
                store=store,
                key=job.key,
                step=job.name,
                seed=job.seed,
                work_dir=store.work_dir(job.key),
                sink=sink,
                stop=stop,
                resources=job.resources,
                tracking=job.tracking,
                lineage=job.lineage,
                local_ray=job.local_ray,
                code_dir=job.code_dir,
            )
            log.info("%s (%s) %s", job.name, job.task, job.key[:12])
            begun = time.monotonic()
            inputs = {name: replace(artifact, path=store.bring(artifact.key)) for name, artifact in job.inputs.items()}
            with saved(store, job.key):
                summary = load(task.run)(task.config_class().model_validate(job.parts["config"]), inputs, output, context)
            summary = json.loads(json.dumps(summary))
            _check_unchanged(job)
            store.publish_artifact(output, _manifest(job, summary, time.monotonic() - begun))
        finally:
            shutil.rmtree(output, ignore_errors=True)
        store.discard_work(job.key)
        log.info("done: %s", json.dumps(summary)[:2000])
        return _status(summary, "ran"), summary


def _check_unchanged(job: StepJob) -> None:
    """What is published under a key must be what the key was made of: a source that changed meanwhile is not."""
    identity = CATALOG[job.task].hook("identity")
    if identity is None:
        return
    config = CATALOG[job.task].config_class().model_validate(job.parts["config"])
    if json.loads(json.dumps(identity(config, job.code_dir))) != job.parts["identity"]:
        raise ChangedSource("what this step reads changed while it ran; nothing was kept of it, so run the same command again")


def _status(summary: Summary, otherwise: str) -> str:
    return "refused" if summary.get("decision") == "refused" else otherwise


@contextlib.contextmanager
def _of_the_store(store: LocalStore) -> Iterator[None]:
    """Says what to do about a full or failing disk, and about a store that can no longer be written. Raises StoreError."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        if full := full_disk(error):
            where = full.filename or f"{full.strerror}; the store is {store.root}"
            raise StoreError(
                f"the disk is full ({where}); free some space and run the same command again: finished work is kept"
            ) from error
        if isinstance(error, OSError) and _is_of(store, error):
            with explained(store.root):
                raise
        raise


def _is_of(store: LocalStore, error: OSError) -> bool:
    if f"{store.root}{os.sep}" in str(error):
        return error.errno in CLOSED + BROKEN
    return error.filename is None and error.errno in BROKEN


def _manifest(job: StepJob, summary: Summary, seconds: float) -> dict[str, Any]:
    return {
        "kind": CATALOG[job.task].output,
        "key": job.key,
        "task": job.task,
        "step": job.name,
        "recipe": job.recipe_name,
        "run": job.run.run,
        "made": time.time(),
        "seconds": round(seconds, 3),
        "parts": job.parts,
        "inputs": {name: artifact.key for name, artifact in job.inputs.items()},
        "code_revision": code.revision(),
        "libraries": code.libraries(),
        "summary": summary,
    }


class _StepLog(logging.FileHandler):
    """A step's log. On a full or failing disk it lacks lines; what is wrong is what the step ends with."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Without logging's own trace on stderr."""

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of lines that could not be written before
            super().close()


@contextlib.contextmanager
def _logged(run: RunDir, step: str) -> Iterator[None]:
    with explained(run.store_root):
        handler = _StepLog(run.log_file(step), encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    before = {name: logging.getLogger(name).level for name in ("medley", "tasks")}
    for name in before:
        logging.getLogger(name).setLevel(logging.INFO)
    root.addHandler(handler)
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.removeHandler(handler)
        handler.close()
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@dataclass(frozen=True)
class FileStop:
    """Set once a file is there. The look costs a `stat`, at most ten times a second."""

    path: Path
    _seen: list[float] = field(default_factory=lambda: [0.0])

    def is_set(self) -> bool:
        now = time.monotonic()
        if self._seen[0] == float("inf"):
            return True
        if now - self._seen[0] < 0.1:
            return False
        self._seen[0] = now
        if self.path.exists():
            self._seen[0] = float("inf")
            return True
        return False


class FileSink:
    """Writes progress beside the journal, whence the run's display reads it; notes go to the step's log."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = 0.0
        self._state: dict[str, Any] = {"notes": []}

    def progress(self, done: float, total: float | None, unit: str, detail: str = "") -> None:
        self._state.update(done=done, total=total, unit=unit, detail=detail)
        self._write(force=total is not None and done >= total)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        log.info("step %d: %s", step, ", ".join(f"{name} {value:.5g}" for name, value in values.items()))

    def note(self, message: str) -> None:
        log.info("%s", message)
        self._state["notes"] = [*self._state["notes"][-9:], message]
        self._write(force=True)

    def _write(self, *, force: bool) -> None:
        now = time.monotonic()
        if not force and now < self._next:
            return
        self._next = now + PROGRESS_INTERVAL_S
        scratch = self._path.with_suffix(f".{os.getpid()}.tmp")
        scratch.write_text(json.dumps({**self._state, "time": time.time()}))
        scratch.replace(self._path)
