"""Seals: beside each entry of the promotion log its hash, so that the last entries can be audited as the others can.

In: an entry that was written. Out: an object `seals/<name>/<n>.json`, created once. The chain covers every entry that has a successor; an
edit of the last one, or its deletion, breaks no chain and is noticed by its seal. A process that was killed between the two leaves an
entry without a seal, which the next one to append makes up for.
"""

from __future__ import annotations

import json

from tasks.contracts import FORMAT_VERSION, Store


def seal(store: Store, name: str, n: int, digest: str) -> None:
    """Seal an entry; nothing happens when it is sealed."""
    store.create(seal_name(name, n), content(name, n, digest))


def content(name: str, n: int, digest: str) -> bytes:
    """The exact bytes of a seal: any other are an edit."""
    return f"{json.dumps({'format': FORMAT_VERSION, 'name': name, 'n': n, 'sha256': digest}, sort_keys=True)}\n".encode()


def seal_name(name: str, n: int) -> str:
    return f"seals/{name}/{n}.json"


def sealed(store: Store, name: str) -> list[int]:
    """Numbers of the entries that have a seal."""
    stems = (place.rpartition("/")[2].removesuffix(".json") for place in store.list(f"seals/{name}"))
    return sorted(int(stem) for stem in stems if stem.isdecimal())
