"""How benchmarks measure: interleaved rounds, medians with bootstrap intervals, and what the machine was doing meanwhile.

Two sides that are compared run in turns within one process, so that a neighbour's load or a warm cache hits both alike. A number is
a median over rounds with a 95 % interval from resampling the rounds. Nothing here knows of Medley.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

Goal = Literal["at most", "at least"]


def median(values: Sequence[float], *, goal: float | None = None, sense: Goal = "at most", resamples: int = 10_000) -> dict[str, Any]:
    """One metric of a benchmark's last line: `median`, the 95 % bootstrap interval `low`, `high`, the `goal` and whether it is met.

    `goal=None` is a number that is reported beside the claims and can't miss. The interval comes from a fixed seed.
    """
    sample = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(0).integers(0, len(sample), (resamples, len(sample)))
    low, high = np.quantile(np.median(sample[drawn], axis=1), [0.025, 0.975])
    return metric(float(np.median(sample)), float(low), float(high), goal=goal, sense=sense)


def metric(
    value: float, low: float, high: float, *, goal: float | None = None, sense: Goal = "at most", ok: bool | None = None
) -> dict[str, Any]:
    """The same entry for a number whose interval was found elsewhere. `ok` overrides the comparison of the median with the goal."""
    if ok is None:
        ok = goal is None or (value <= goal if sense == "at most" else value >= goal)
    return {"median": round(value, 4), "low": round(low, 4), "high": round(high, 4), "goal": goal, "ok": bool(ok)}


def interleave(rounds: int, sides: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Call every side once a round and keep what each returns; the order turns round by round, so that no side is always first."""
    results: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for round_ in range(rounds):
        for name in names if round_ % 2 == 0 else reversed(names):
            results[name].append(sides[name]())
    return results


def wall_s(command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None, exits: Sequence[int] = (0,)) -> float:
    """Wall time of a command in seconds. Raises RuntimeError with the end of its output when it exits otherwise than `exits`."""
    start = time.perf_counter()
    outcome = run(command, cwd=cwd, env=env)
    seconds = time.perf_counter() - start
    check(outcome, exits)
    return seconds


def run(command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command's output as text; nothing is read from the terminal."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def check(outcome: subprocess.CompletedProcess[str], exits: Sequence[int] = (0,)) -> None:
    """Raise RuntimeError with the end of the output when a command did not exit with one of `exits`."""
    if outcome.returncode not in exits:
        tail = "\n".join((outcome.stdout + outcome.stderr).splitlines()[-20:])
        raise RuntimeError(f"{' '.join(outcome.args)} exited with {outcome.returncode}:\n{tail}")


class Machine:
    """What the machine did between entering and leaving: cores, load, and the share of time that the hypervisor took (steal).

    with Machine() as machine: …; machine.facts → {"cores", "load_1min", "steal_percent", "busy_percent"}
    """

    def __enter__(self) -> Machine:
        self.facts: dict[str, float] = {"cores": len(os.sched_getaffinity(0)), "load_1min": round(os.getloadavg()[0], 2)}
        self._before = _cpu_ticks()
        return self

    def __exit__(self, *_: object) -> None:
        spent = [after - before for before, after in zip(self._before, _cpu_ticks(), strict=True)]
        total = max(1, sum(spent))
        self.facts["busy_percent"] = round(100 * (total - spent[3] - spent[4]) / total, 1)
        self.facts["steal_percent"] = round(100 * spent[7] / total, 1)


def _cpu_ticks() -> list[int]:
    """user, nice, system, idle, iowait, irq, softirq, steal of all cores since boot (proc(5))."""
    return [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
