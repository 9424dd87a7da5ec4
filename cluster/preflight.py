"""Before the first step: can every node do its part?

In: the nodes, a folder that all must see, and a function of the caller's that tells facts about the machine it runs on. Out: sentences,
one for each thing that is wrong on a node: what it has, what is expected, what to do. The function is called here and on every node, and
what differs is a problem; so this module needs to know neither tasks nor recipes.
"""

from __future__ import annotations

import importlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.nodes import Node
from cluster.shared import Mark, Seen, look, marked, problems

PROBE_S = 120
"""How long a node may take to answer; starting a process there and importing what the facts need takes seconds."""


@dataclass(frozen=True)
class Fact:
    """Something that must be the same on every node."""

    value: str
    advice: str
    """What to do where it differs."""
    about: str = ""
    """Said beside the value, not compared."""

    def __str__(self) -> str:
        return f"{self.value} ({self.about})" if self.about else self.value


Facts = Mapping[str, Fact]


@dataclass(frozen=True)
class Question:
    """What a node is asked."""

    mark: Mark
    tell: str
    """`module:function` that takes `about` and gives `Facts`."""
    about: Any
    """Pickles without code of the caller's own."""


@dataclass(frozen=True)
class Answer:
    """What a node says."""

    seen: Seen
    facts: Facts = field(default_factory=dict)
    error: str = ""
    """Why it could not tell its facts."""


def preflight(nodes: Sequence[Node], folder: Path, what: str, tell: str, about: Any) -> list[str]:
    """Ask every node at once. Empty when all is well. `what` names the folder for a person; `tell` is `module:function`."""
    expected = {**_versions(), **_call(tell, about)}
    with marked(folder) as mark:
        answers = _ask(nodes, Question(mark, tell, about))
        return [
            f"node {node} {sentence}"
            for node, reply in zip(nodes, answers, strict=True)
            for sentence in unfit(node, reply, mark, what, expected)
        ]


def answer(question: Question, node_id: str) -> Answer:
    """On a node."""
    seen = look(question.mark, node_id)
    try:
        return Answer(seen, {**_versions(), **_call(question.tell, question.about)})
    except Exception as error:  # noqa: BLE001 - whatever keeps a node from answering stands in the report
        return Answer(seen, _versions(), f"{type(error).__name__}: {error}")


def unfit(node: Node, reply: Answer | str, mark: Mark, what: str, expected: Facts) -> list[str]:
    """What is wrong with one node; `reply` is a sentence when it gave no answer."""
    if isinstance(reply, str):
        return [f"cannot be used: {reply}"]
    found = list(problems(mark, node.id, reply.seen, what))
    if reply.error:
        found.append(
            f"could not be asked about its libraries and files: {reply.error}; mend that, or start Ray there from the same environment"
        )
    for name, fact in expected.items():
        have = reply.facts.get(name)
        if have is not None and have.value != fact.value:
            found.append(f"has {name} {have}, expected {fact}; {fact.advice}")
    return found


def _ask(nodes: Sequence[Node], question: Question) -> list[Answer | str]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(answer)
    asked = [
        task.options(
            num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False), name="medley:preflight"
        ).remote(question, node.id)
        for node in nodes
    ]
    ray.wait(asked, num_returns=len(asked), timeout=PROBE_S)
    return [_reply(reference) for reference in asked]


def _reply(reference: Any) -> Answer | str:
    import ray
    from ray.exceptions import GetTimeoutError, RayError

    try:
        reply: Answer = ray.get(reference, timeout=0)
    except GetTimeoutError:
        ray.cancel(reference, force=True)
        return f"it did not answer within {PROBE_S} s; look at `ray status` and at the load of that machine"
    except (RayError, ImportError, AttributeError) as error:
        last = [line.strip() for line in str(error).splitlines() if line.strip()][-1:] or [type(error).__name__]
        advice = "install the same Medley there, where Ray's Python finds it"
        return f"{last[0]}; {advice}" if "Error" in last[0] and ("import" in str(error) or "No module" in last[0]) else last[0]
    return reply


def _versions() -> dict[str, Fact]:
    import ray

    return {
        "Python": Fact(platform.python_version(), "start Ray there with the same Python"),
        "Ray": Fact(ray.__version__, "install the same Ray there"),
    }


def _call(target: str, about: Any) -> Facts:
    module, _, function = target.partition(":")
    told: Facts = getattr(importlib.import_module(module), function)(about)
    return told
