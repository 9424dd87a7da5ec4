"""What a person reads after a run that did not go through.

In: a plan and how its run ended. Out: what failed and why, what waits behind it, and the command that goes on.
"""

from __future__ import annotations

import shlex

from pipeline.plan import Plan
from pipeline.runner import RunResult


def failure_report(plan: Plan, result: RunResult, command: list[str]) -> str:
    """What a person reads after a run that did not go through: what failed and why, what waits behind it, how to go on."""
    lines = []
    for step in result.steps.values():
        if step.status == "failed":
            behind = [other.name for other in result.steps.values() if other.behind == step.name]
            lines.append(f"step {step.name!r} ({plan.steps[step.name].task}) failed: {step.message}")
            if behind:
                lines.append(f"  skipped behind it: {', '.join(behind)}")
            lines.append(f"  its log: medley logs {result.run} {shlex.quote(step.name)} --store {plan.store.where}")
    finished = [step.name for step in result.steps.values() if step.status in ("ran", "cached")]
    if result.status == "stopped":
        lines.append("the run was stopped")
    lines.append(f"finished and kept: {', '.join(finished) or 'nothing yet'}")
    lines.append(f"to go on from there: {shlex.join(command)}")
    return "\n".join(lines)
