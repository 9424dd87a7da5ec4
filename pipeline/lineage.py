"""What an artifact was made from, back to the sources.

In: a store and a key. Out: one `Origin` for each artifact behind it, what was made last first. Found from the manifests alone; of an
artifact that `gc` or `forget` took away, what the plans of the runs still say: they are never deleted. Paths are told relative to the
store, so the answer is the same on every machine that sees it. Changes nothing; must not import ray, torch or mlflow.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline import journal
from pipeline.store import LocalStore
from tasks.contracts import Json

RIVALS = ("baseline", "best")
"""Inputs of a report that its model is compared with, and not made from."""


@dataclass(frozen=True)
class Origin:
    """One artifact, and what made it."""

    key: str
    kind: str
    """corpus, shards, model, …; empty when nothing is known but the key."""
    there: bool
    """False: the artifact is not in the store any more; what stands here is from the plan of a run."""
    inputs: Mapping[str, str]
    """Input name → key."""
    step: str = ""
    task: str = ""
    task_version: int = 0
    recipe: str = ""
    run: str = ""
    """The run that made it; for one that is gone, the newest run that planned it."""
    made: str = ""
    """UTC, ISO 8601; empty when it is not known."""
    config: Mapping[str, Json] = field(default_factory=dict)
    """The step as the recipe had it, with every default."""
    identity: Mapping[str, Json] = field(default_factory=dict)
    """Versions of the registry entries, digests of the user's own code, the snapshot of a source."""
    seed: int | None = None
    code_revision: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)
    summary: Mapping[str, Json] = field(default_factory=dict)
    facts: Mapping[str, Json] = field(default_factory=dict)
    """Of shards: every tar with split, sha256, bytes and samples, and what encoded them."""


def ancestry(store: LocalStore, *keys: str, rivals: bool = True) -> list[Origin]:
    """The artifacts of these keys and all behind them; each once, and none before what was made from it.

    Without `rivals` what a report only compares its model with is left out, and so is what lies behind that alone.
    """
    plans = Plans(store)
    found: dict[str, Origin] = {}
    waiting = list(keys)
    while waiting:
        key = waiting.pop()
        if key not in found:
            found[key] = origin(store, key, plans)
            waiting += [source for name, source in found[key].inputs.items() if rivals or name not in RIVALS]
    return _ordered(found, keys)


def origin(store: LocalStore, key: str, plans: Plans | None = None) -> Origin:
    """One artifact, from its manifest or else from the plans."""
    manifest = store.manifest(key)
    if manifest is None:
        return (plans or Plans(store)).origin(key)
    parts = manifest.get("parts", {})
    return Origin(
        key=key,
        kind=manifest["kind"],
        there=True,
        inputs=_inputs(manifest["inputs"]),
        step=manifest.get("step", ""),
        task=manifest.get("task", ""),
        task_version=parts.get("version", 0),
        recipe=manifest.get("recipe", ""),
        run=manifest.get("run", ""),
        made=utc(manifest["made"]) if "made" in manifest else "",
        config=parts.get("config", {}),
        identity=parts.get("identity", {}),
        seed=parts.get("seed"),
        code_revision=manifest.get("code_revision", ""),
        libraries=manifest.get("libraries", {}),
        summary=manifest.get("summary", {}),
        facts=_shard_facts(store, manifest) if manifest["kind"] == "shards" else {},
    )


class Plans:
    """What the plans of all runs say of keys; read when first asked, since most traces meet no artifact that is gone."""

    def __init__(self, store: LocalStore) -> None:
        self.store = store

    def origin(self, key: str) -> Origin:
        """What is known of a key whose artifact is gone."""
        from pipeline.catalog import CATALOG

        if key not in self._by_key:
            return Origin(key, "", there=False, inputs={})
        run, recipe, step, part = self._by_key[key]
        task = CATALOG.get(part["task"])
        return Origin(
            key=key,
            kind=task.output if task else "",
            there=False,
            inputs=_inputs(part["inputs"]),
            step=step,
            task=part["task"],
            task_version=part.get("version", 0),
            recipe=recipe,
            run=run,
            config=part.get("config", {}),
            identity=part.get("identity", {}),
            seed=part.get("seed"),
        )

    @functools.cached_property
    def _by_key(self) -> dict[str, tuple[str, str, str, Any]]:
        return {key: (run, recipe, step, part) for run, recipe, step, key, part in planned_steps(self.store) if part}


def planned_steps(store: LocalStore) -> Iterator[tuple[str, str, str, str, Any]]:
    """Run, recipe, step, key and the key's parts of each step of each run, oldest run first; no parts where a crash tore the plan."""
    for run in journal.runs(store.root):
        folder = store.root / "runs" / run
        story = journal.events(folder)
        steps: dict[str, str] = next((event["steps"] for event in story if event["event"] == "run_planned"), {})
        try:
            parts = json.loads((folder / "plan.json").read_bytes())
        except (FileNotFoundError, ValueError):
            parts = {}
        for step, key in steps.items():
            yield run, story[0].get("name", ""), step, key, parts.get(step)


def utc(seconds: float) -> str:
    """A time since 1970 as people read it."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")


def file_bytes(store: LocalStore, manifest: Mapping[str, Any], name: str) -> bytes:
    """One file of a published artifact, from a folder or from a bucket, without bringing the rest of it. FileNotFoundError when gone."""
    key = manifest["key"]
    return store.read(manifest["files"].get(name, {}).get("object", f"artifacts/{key[:2]}/{key}/{name}"))


def _inputs(given: Mapping[str, Any]) -> dict[str, str]:
    """Name → key, of a manifest or of the parts of a key; an outside reference counts as the model it stood for."""
    keys = {name: value.get("model", "") if isinstance(value, dict) else value for name, value in given.items() if value}
    return {name: key for name, key in keys.items() if key}


def _shard_facts(store: LocalStore, manifest: Mapping[str, Any]) -> dict[str, Any]:
    try:
        meta = json.loads(file_bytes(store, manifest, "shards.json"))
    except FileNotFoundError:
        return {}
    names = ("name", "split", "partition", "sha256", "bytes", "samples", "unit")
    return {
        "shards": [{name: shard[name] for name in names if name in shard} for shard in meta["shards"]],
        "codecs": meta.get("codecs", {}),
        "ledger": meta.get("ledger", {}),
    }


def _ordered(found: Mapping[str, Origin], roots: tuple[str, ...]) -> list[Origin]:
    """Depth first, and everything after all that was made from it."""
    done: dict[str, None] = {}

    def visit(key: str) -> None:
        if key not in done:
            for source in sorted(found[key].inputs.values()):
                if source in found:
                    visit(source)
            done[key] = None

    for key in roots:
        visit(key)
    return [found[key] for key in reversed(done)]
