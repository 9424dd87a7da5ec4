"""Is an artifact what its manifest says, byte by byte.

In: a store and a key. Out: one sentence for each thing that is wrong, none when all is well. What a manifest names is hashed again; its key
must be the hash of the parts that stand in it. Tars of shards are hashed against `shards.json`. Must not import ray or torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import StoreError
from pipeline.object_store import ObjectStore
from pipeline.store import LocalStore
from tasks.file_digest import sha256_or_empty

_OURS = "manifest.json"
_REMOVE = "take the folder away, and the next run of its recipe makes it anew"


def verify(store: LocalStore, key: str, *, shards: bool = True) -> list[str]:
    """What is wrong with an artifact that is there. `shards=False` looks at the sizes of tars and hashes none."""
    try:
        manifest = store.manifest(key)
        if manifest is None:
            return [f"artifact {key[:12]} has no manifest"]
        if isinstance(store, ObjectStore):
            store.bring(key)  # checks each file as it comes down
        found = list(_problems(store.artifact_path(key), key, manifest, shards))
    except StoreError as error:
        return [str(error)]
    except (KeyError, TypeError, AttributeError) as error:
        return [f"artifact {key[:12]}: its manifest was edited ({error!r}); {_REMOVE}"]
    about = f"{manifest.get('kind', 'artifact')} {key[:12]}"
    return [f"{about}: {problem}; {_REMOVE}" for problem in found]


def _problems(folder: Path, key: str, manifest: Mapping[str, Any], shards: bool) -> Iterator[str]:
    if manifest["key"] != key or key_of(manifest["parts"]) != key:
        yield "its manifest was edited: the parts in it are not those of its key"
    files = manifest["files"]
    tars = _tars(folder) if manifest["kind"] == "shards" else {}
    for name, entry in files.items():
        path = folder / name
        if not path.is_file():
            yield f"{name} is missing"
        elif path.stat().st_size != entry["bytes"]:
            yield f"{name} has {path.stat().st_size:,} bytes, not {entry['bytes']:,}"
        else:
            digest = entry.get("sha256") or (tars.get(name, "") if shards else "")
            if digest and sha256_or_empty(path) != digest:
                yield f"{name} has other bytes than when it was made"
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name in sorted(there - files.keys() - {_OURS}):
        yield f"{name} is not of it"


def key_of(parts: Any) -> str:
    """The key that planning gives to a step with these parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _tars(folder: Path) -> dict[str, str]:
    """Name → sha256 of the tars, which are hard links to the pool and have no hash in the manifest."""
    try:
        return {shard["name"]: shard["sha256"] for shard in json.loads((folder / "shards.json").read_bytes())["shards"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # then shards.json itself is reported
