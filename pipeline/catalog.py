"""The one literal table of tasks: what each takes, makes, and where its code is.

Importing it imports no task. `version` is raised whenever the same inputs and configuration give another output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from tasks.registry import load


@dataclass(frozen=True)
class Input:
    """One edge a task may have."""

    kind: str
    """Kind of artifact it takes; empty = any."""
    optional: bool = False
    reference: bool = False
    """Takes `models:/NAME@ALIAS` or `models:/NAME/VERSION` as well as a step's name."""
    family: bool = False
    """Takes all variants of a family at once. Any other input takes one artifact, and a family there makes a family of the step."""
    mixture: bool = False
    """Takes a list as well, of steps with a weight or a number of epochs each; the config's `mixture` is told these."""


@dataclass(frozen=True)
class Task:
    """One line of the catalog."""

    config: str
    """`module:Class`."""
    run: str
    """`module:function`."""
    output: str
    """Kind of artifact it makes."""
    version: int
    inputs: Mapping[str, Input] = field(default_factory=dict)
    seeded: bool = False
    """The recipe's seed changes the output."""
    verdicts: bool = False
    """Leaves out records whose decoder crashed or hung; `medley shards retry` clears those verdicts and so changes the output."""
    ingests: bool = False
    """Takes records in, so that its output is superseded when one of them is forgotten."""
    tracked: bool = False
    """Talks to MLflow."""
    passes: str = ""
    """The input that it hands on: its output then has that input's kind."""
    maps: bool = True
    """May be a family. False for what has an effect outside the store, which should happen once."""
    trains: bool = False
    """Starts training processes of its own through Ray, unless Ray is our own single node and the recipe asks for none."""
    cpus: int = 1
    """CPUs the step's own process takes; 0 for those that only drive others."""

    def hook(self, name: str) -> Any | None:
        """The optional function `identity`, `estimate`, `lint`, `numbers` or `changed` of the task's module."""
        return getattr(self.module(), name, None)

    def module(self) -> ModuleType:
        import importlib

        return importlib.import_module(self.config.partition(":")[0])

    def config_class(self) -> Any:
        return load(self.config)


CATALOG: dict[str, Task] = {
    "ingest": Task("tasks.ingest:IngestConfig", "tasks.ingest:ingest", "corpus", version=1, ingests=True),
    "shard": Task(
        "tasks.shard:ShardConfig", "tasks.shard:shard", "shards", version=1, inputs={"corpus": Input("corpus")}, verdicts=True, cpus=0
    ),
    "train": Task(
        "tasks.train:TrainConfig",
        "tasks.train:train",
        "model",
        version=1,
        inputs={
            "shards": Input("shards", mixture=True),
            "init": Input("model", optional=True, reference=True),
            "teacher": Input("model", optional=True, reference=True),
        },
        seeded=True,
        tracked=True,
        trains=True,
    ),
    "evaluate": Task(
        "tasks.evaluate:EvaluateConfig",
        "tasks.evaluate:evaluate",
        "report",
        version=4,
        inputs={
            "model": Input("model"),
            "shards": Input("shards"),
            "baseline": Input("model", optional=True, reference=True),
            "best": Input("model", optional=True, reference=True),
        },
        seeded=True,
    ),
    "probe": Task(
        "tasks.probe:ProbeConfig",
        "tasks.probe:probe",
        "probes",
        version=1,
        inputs={"model": Input("model"), "shards": Input("shards")},
        seeded=True,
    ),
    "select": Task(
        "tasks.select:SelectConfig",
        "tasks.select:select",
        "selection",
        version=1,
        inputs={"from": Input("", family=True), "by": Input("", optional=True, family=True)},
        passes="from",
    ),
    "register": Task(
        "tasks.register:RegisterConfig",
        "tasks.register:register",
        "version",
        version=2,
        inputs={"model": Input("model"), "report": Input("report")},
        tracked=True,
        maps=False,
    ),
    "promote": Task(
        "tasks.promote:PromoteConfig",
        "tasks.promote:promote",
        "decision",
        version=1,
        inputs={"version": Input("version"), "report": Input("report")},
        seeded=True,
        tracked=True,
        maps=False,
    ),
}
