"""Forgetting samples in a bucket: what comes down to be looked through, what only a bucket has, and taking it away.

In: a store in a bucket. Out: on this machine, the tables of every artifact and the logs of every run, so that `forget` finds samples as it
does in a folder; names of leftovers that lie in the bucket alone; deletions that leave nothing half. Must not import ray or torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pipeline import bucket_gc, disk, gc, shared_runs
from pipeline.object_store import NEAR, ObjectStore
from pipeline.pins import Guard
from pipeline.store import explained
from pipeline.traces import CORPUS

NOTES = (
    (
        "copies on other machines (below ~/.cache/medley or MEDLEY_CACHE) and the logs of runs there still hold them until "
        "`medley shards forget` is run there with the same keys"
    ),
    "a bucket that keeps versions of objects still holds the old ones: expire them with your provider's tools",
)


def bring(store: ObjectStore) -> None:
    """What is looked through."""
    shared_runs.pull(store, plans=True, whole=True)
    for name in store.bucket.entries("artifacts"):
        key = name.split("/")[2]
        if name == f"artifacts/{key[:2]}/{key}/manifest.json":
            store.bring_tables(key)


def leftovers(store: ObjectStore, made_from: Collection[str]) -> Iterator[str]:
    """Checkpoints of steps that began with what goes; files that no manifest names: nobody knows whose samples are in them."""
    for name in store.bucket.entries("saved"):
        if name.split("/")[1] in made_from:
            yield name
    named: dict[str, set[str]] = {}
    for name in store.bucket.entries("artifacts"):
        key = name.split("/")[2]
        if key not in named:
            manifest = store.manifest(key)
            files = manifest["files"].values() if manifest else ()
            named[key] = {f"artifacts/{key[:2]}/{key}/manifest.json", *(entry["object"] for entry in files)}
        if name not in named[key]:
            yield name
    for name in store.bucket.entries("large"):
        if store.bucket.leads_to(name.removeprefix("large/").rpartition("/")[0]) != name:
            yield name


def delete(store: ObjectStore, names: Collection[str], keys: Collection[str], guard: Guard) -> None:
    """Take away leftovers and artifacts: of each its manifest first; corpora last, since they say where the rest is."""
    here = [name for name in names if name.split("/")[0] in NEAR]
    corpora = [key for key in keys if (store.artifact_path(key) / CORPUS).exists()]
    bucket_gc.remove(store, [[name for name in names if name not in here]], guard)
    for some in ([key for key in keys if key not in corpora], corpora):
        homes = [f"artifacts/{key[:2]}/{key}" for key in some]
        manifests = [f"{home}/manifest.json" for home in homes]
        files = [name for home in homes for name in store.bucket.entries(home) if name not in manifests]
        bucket_gc.remove(store, [manifests, files], guard)
        _remove_here(store, [*here, *homes])
    _remove_here(store, bucket_gc.copies_gone(store))


def _remove_here(store: ObjectStore, names: Collection[str]) -> None:
    gc.move_aside(store, [name for name in names if (store.root / name).exists()])
    gc.empty_trash(store)
    with explained(store.root):
        disk.sync(store.root)
