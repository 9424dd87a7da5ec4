"""The store of a place: a folder, or a prefix in a bucket.

In: what a recipe or `--store` says. Out: a store. Opening nothing by import; obstore is loaded when a bucket is first asked.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import NotFound
from pipeline.object_store import OF, ObjectStore
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


def store_of(folder: Path) -> LocalStore | None:
    """The store that an artifact's folder is in, or is a copy of; None when it is in none."""
    root = folder.parents[2]
    if (root / OF).exists():
        return ObjectStore(root, (root / OF).read_text())
    return LocalStore(root) if (root / "FORMAT").exists() else None


def store_with(place: Place, kind: str) -> LocalStore:
    """The store there, with every artifact of a kind on this machine: for what looks into all of them."""
    store = store_at(place)
    if isinstance(store, ObjectStore):
        for name in store.list("artifacts"):
            key = name.split("/")[2]
            if name.endswith(f"{key}/manifest.json") and (store.manifest(key) or {}).get("kind") == kind:
                store.bring(key)
    return store


def existing_store(place: Place) -> LocalStore:
    """The store there, for a verb that takes away. Raises NotFound where there is none, and makes none."""
    store = known_store(place)
    store.ready()
    return store


def known_store(place: Place) -> LocalStore:
    """The store there, for a verb that only asks it, or that appends to its log. Raises NotFound where there is none, and makes none."""
    store = store_at(place)
    if not store.exists("FORMAT"):
        what = "give its URL" if isinstance(store, ObjectStore) else "give its folder"
        raise NotFound(f"{store.where} is no store (it has no FORMAT file); {what} with --store")
    store.check_layout()
    return store
