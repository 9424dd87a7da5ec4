"""Taking damaged shards out of a store, so that the next run makes them anew.

In: the folder of a shards artifact in which something is wrong. Out: a folder store without the artifact and its damaged units; of a store
in a bucket first a new copy on this machine, and only when the bucket itself is damaged the same there. Must not import ray or torch.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import NotFound
from pipeline.object_store import ObjectStore
from pipeline.stores import store_of
from tasks.shards.verify import repair as take_out
from tasks.shards.verify import verify

COPIED, TAKEN_OUT = "copied", "taken out"


def repair(folder: Path) -> str:
    """`copied`: only the copy on this machine was wrong. `taken out`: the next run makes it anew. Raises NotFound and StoreError."""
    store = store_of(folder)
    if store is None:
        raise NotFound(f"{folder} is not inside a store, so nothing can make it anew; copy it again from where it came from")
    if isinstance(store, ObjectStore):
        return _in_bucket(store, folder)
    take_out(store, folder)
    store.remove_artifact(folder.name)
    return TAKEN_OUT


def _in_bucket(store: ObjectStore, folder: Path) -> str:
    key = folder.name
    if store.manifest(key) is None:
        raise NotFound(f"{store.url} holds no artifact {key[:12]} any more: this is a copy of it; `medley gc` takes such copies away")
    store.drop_copy(key)
    damaged = store.damaged(key)
    if not damaged:
        if not verify(store.bring(key)):
            return COPIED
        take_out(store, folder)
    for name in damaged:
        if name.startswith("pool/"):
            store.delete(name.removesuffix(".tar") + ".parquet")  # without its rows a unit is not finished, and is built anew
            store.delete(name)
    store.remove_artifact(key)
    return TAKEN_OUT
