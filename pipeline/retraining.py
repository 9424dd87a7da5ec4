"""The run of one moment of a schedule: `medley run` in a process of its own.

In: the words of the verb. Out: how it ended. A process of its own keeps memory, crashes and signals of a run apart from the scheduler, and
ends with it (`attached`). Must not import ray, torch or mlflow.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from pipeline.code import ROOT
from pipeline.scheduler import Outcome
from pipeline.ticks import Tick

LOOK_S = 0.2
GRACE_S = 75.0
"""How long a run that was asked to stop may take: its steps have a minute."""
STATUS = {0: "done", 3: "refused"}


@dataclass(frozen=True)
class Retraining:
    """How the recipe is run."""

    words: Sequence[str]
    """Of the verb: `run RECIPE …`."""

    def __call__(self, tick: Tick, ending: Callable[[], str]) -> Outcome:
        """Run it for a moment of the schedule. `ending` says why to end early: `stop` is orderly, `lost` at once."""
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pipeline.attached", str(os.getpid()), *self.words, "--json"],
                stdin=subprocess.DEVNULL,
                stdout=said,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))},
                start_new_session=True,  # Ctrl-C in a terminal goes to all of its group; the scheduler passes it on
            )
            try:
                asked = _watched(process, ending)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            said.seek(0)
            return _outcome(process.returncode, said, asked, tick)


def _watched(process: subprocess.Popen[bytes], ending: Callable[[], str]) -> str:
    """Wait for the end; what was asked meanwhile."""
    asked, since = "", 0.0
    while process.poll() is None:
        reason = ending()
        if reason == "lost":
            return reason  # another may begin the same run in some seconds: no time for an orderly end
        if reason and not asked:
            asked, since = reason, time.monotonic()
            process.send_signal(signal.SIGTERM)
        if asked and time.monotonic() - since > GRACE_S:
            return asked
        time.sleep(LOOK_S)
    return asked


def _outcome(code: int, said: IO[bytes], asked: str, tick: Tick) -> Outcome:
    try:
        document: dict[str, Any] = json.loads(said.read() or b"{}")
    except ValueError:
        document = {}
    run, steps = document.get("run", ""), document.get("steps", {})
    if asked and code not in STATUS:
        return Outcome("stopped", run)
    if code not in STATUS:
        return Outcome("failed", run, _failure(code, document), hopeless=code == 2)
    made = [step for step in steps.values() if step["summary"].get("decision")]
    new = [step for step in made if step["seconds"] > 0 or tick.attempt > 1]
    decided: dict[str, Any] = next((step["summary"] for step in new), {})
    reasons = "; ".join(reason for step in made for reason in step["summary"].get("reasons", ()) if step["status"] == "refused")
    return Outcome(STATUS[code], run, reasons, str(decided.get("decision", "")), str(decided.get("version", "")))


def _failure(code: int, document: dict[str, Any]) -> str:
    """What a person should read first."""
    failed = [f"step {name!r}: {step['message']}" for name, step in document.get("steps", {}).items() if step["status"] == "failed"]
    told = failed or document.get("error", {}).get("messages", [])
    if code < 0:
        told = [f"the run's process was ended by {signal.Signals(-code).name}"]
    elif code == 130:
        told = ["the run was stopped by somebody else"]
    return "; ".join(told) or f"the run ended with exit code {code} before it could say why here; stderr has its last words"
