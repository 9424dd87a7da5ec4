"""The store of a place: a folder, or a prefix in a bucket.

In: what a recipe or `--store` says. Out: a store. Opening nothing by import; obstore is loaded when a bucket is first asked.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import NotFound, StoreError
from pipeline.object_store import ObjectStore
from pipeline.places import Place, cache_folder
from pipeline.store import LocalStore


def store_at(place: Place) -> LocalStore:
    """The store there; nothing is asked or made yet."""
    if isinstance(place, Path):
        return LocalStore(place.absolute())
    return ObjectStore(cache_folder(place), place)


def open_store(place: Place) -> LocalStore:
    """The store there, made when it is missing, and checked. Raises StoreError."""
    store = store_at(place)
    store.ready()
    return store


def store_with(place: Place, kind: str) -> LocalStore:
    """The store there, with every artifact of a kind on this machine: for what looks into all of them."""
    store = store_at(place)
    if isinstance(store, ObjectStore):
        for name in store.list("artifacts"):
            key = name.split("/")[2]
            if name.endswith(f"{key}/manifest.json") and (store.manifest(key) or {}).get("kind") == kind:
                store.bring(key)
    return store


def folder_store(place: Place, verb: str) -> LocalStore:
    """The store there, for a verb that must see every file of it. Raises StoreError for a bucket and NotFound where there is none."""
    store = store_at(place)
    if isinstance(store, ObjectStore):
        raise StoreError(
            f"`medley {verb}` works on stores in a folder, and {store.url} is a bucket; nothing was changed. "
            "docs/how-to-use-object-stores.md says what to do instead"
        )
    if not store.exists("FORMAT"):
        raise NotFound(f"{store.root} is no store (it has no FORMAT file); give its folder with --store")
    store.check_layout()
    return store
