"""Logs without the names of some samples.

In: keys, and the files they came from. Out: the logs and journals of runs, and lists of cleared verdicts, with `[forgotten]` in the place
of both. A key is looked for where a message quotes it or where an example begins with it, not as a bare word: a key may be `1` or `train`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from pipeline import disk
from pipeline.object_store import ObjectStore
from pipeline.store import LocalStore, explained

INSTEAD = "[forgotten]"
CLEARED = "retries"


def naming(store: LocalStore, keys: Collection[str], uris: Collection[str]) -> list[str]:
    """Names of the logs and lists in the store that name the samples."""
    pattern = _pattern(keys, uris)
    return [name for name in _logs(store) if _redacted(name, _text(store.local_path(name)), pattern, keys) is not None]


def redact(store: LocalStore, names: Collection[str], keys: Collection[str], uris: Collection[str]) -> None:
    """Each file is replaced in one step."""
    pattern = _pattern(keys, uris)
    for name in names:
        path = store.local_path(name)
        text = _redacted(name, _text(path), pattern, keys)
        if text is not None:
            with explained(store.root):
                scratch = store.scratch()
                scratch.write_text(text, encoding="utf-8", errors="surrogateescape")
                disk.sync(scratch)
                scratch.replace(path)
                disk.sync(path.parent)
            if isinstance(store, ObjectStore):
                store.bucket.replace(name, text.encode(errors="surrogateescape"))


def _logs(store: LocalStore) -> Iterator[str]:
    """What a step said, how far it was, what became of it, and which verdicts were cleared."""
    yield from (name for name in store.list("runs") if name.endswith("/journal.jsonl") or "/steps/" in name)
    yield from store.list(CLEARED)


def _redacted(name: str, text: str, pattern: re.Pattern[str], keys: Collection[str]) -> str | None:
    """The file's text without the samples; None when it does not name them."""
    if not name.startswith(f"{CLEARED}/"):
        changed, number = pattern.subn(INSTEAD, text)
        return changed if number else None
    content = json.loads(text)
    if not set(content["keys"]) & set(keys):
        return None
    return json.dumps(content | {"keys": [INSTEAD if key in keys else key for key in content["keys"]]})


def _pattern(keys: Collection[str], uris: Collection[str]) -> re.Pattern[str]:
    """`'key'`, `  key: reason`, and whole paths, also as JSON spells them."""
    either = "|".join(re.escape(key) for key in sorted(keys, key=len, reverse=True))
    spelt = {each for uri in uris for each in (uri, json.dumps(uri)[1:-1])}
    paths = "".join(rf"|{re.escape(uri)}(?![\w/-])" for uri in sorted(spelt, key=len, reverse=True))
    return re.compile(rf"(?<=')(?:{either})(?=')|(?<=  )(?:{either})(?=: ){paths}")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")
