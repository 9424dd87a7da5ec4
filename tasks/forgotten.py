"""Forgotten samples: which keys no ingest takes in any more, what that makes of a corpus, and which models saw them.

In: a store. Out: objects that are created once and never changed or deleted:

    forgotten/<sample>.json                     the mark: when, and why
    forgotten/models/<model>/<sample>.json      a model that was trained or validated with the sample, and stays
    superseded/<corpus>/<sample>.json           a corpus that held the sample; its steps are planned under another key from then on
    superseded/<corpus>/reread.json             a corpus that `retry` wants read again, for a reason outside its bytes

`<sample>` is the SHA-256 of the key: a key may itself be a person's name, so it is written nowhere. Planning reads this; must not import
anything that is slow.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from tasks.contracts import FORMAT_VERSION, Store

_MARK = re.compile(r"forgotten/([0-9a-f]{64})\.json")
_REREAD = "reread"


def sample_of(key: str) -> str:
    """What a sample is called once it is forgotten, 64 hex digits. Whoever guesses the key can check the guess, nobody can read it."""
    return hashlib.sha256(key.encode()).hexdigest()


def ledger_key(sample: str) -> str:
    """How the ledger calls it: never the key of a record, since those have no colon."""
    return f"sha256:{sample}"


def mark(store: Store, sample: str, reason: str) -> bool:
    """Mark a sample as forgotten, for good. False when it was already."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return store.create(f"forgotten/{sample}.json", _document(sample=sample, time=now, reason=reason))


def marks(store: Store) -> frozenset[str]:
    """Every sample that is forgotten."""
    return frozenset(found[1] for name in store.list("forgotten") if (found := _MARK.fullmatch(name)))


# ---- corpora -----------------------------------------------------------------------------------------------------------


def supersede(store: Store, corpus: str, sample: str) -> None:
    """From now on this corpus is another one: without the sample."""
    store.create(f"superseded/{corpus}/{sample}.json", _document(sample=sample))


def reread(store: Store, corpus: str) -> bool:
    """From now on this corpus is another one: its source is to be read again. False when that is asked already."""
    return store.create(f"superseded/{corpus}/{_REREAD}.json", _document())


def successor(store: Store, corpus: str, parts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Parts of the key that stands for the superseded corpus of this key, made of `parts`; None when it stands as it is.

    Only what was forgotten of this very corpus enters, so that every other corpus keeps its key. The successor may itself be superseded.
    """
    names = [name.rpartition("/")[2].removesuffix(".json") for name in store.list(f"superseded/{corpus}")]
    if not names:
        return None
    changed = dict(parts)
    if samples := sorted({*parts.get("forgotten", ()), *names} - {_REREAD}):
        changed["forgotten"] = samples
    if _REREAD in names:
        changed["reread"] = parts.get("reread", 0) + 1
    return changed if changed != parts else None


def is_superseded(store: Store, corpus: str) -> bool:
    return bool(store.list(f"superseded/{corpus}"))


# ---- models ------------------------------------------------------------------------------------------------------------


def remember_model(store: Store, model: str, sample: str, split: str) -> None:
    """A model that saw the sample, and the split it was in: once the shards are gone nothing else says so."""
    store.create(f"forgotten/models/{model}/{sample}.json", _document(split=split))


def models_that_saw(store: Store, samples: frozenset[str]) -> dict[str, dict[str, str]]:
    """Model → sample → split, of these samples."""
    found: dict[str, dict[str, str]] = {}
    for name in store.list("forgotten/models"):
        model, sample = name.removesuffix(".json").split("/")[2:]
        if sample in samples:
            found.setdefault(model, {})[sample] = json.loads(store.read(name))["split"]
    return found


def _document(**facts: str) -> bytes:
    return f"{json.dumps({'format': FORMAT_VERSION, **facts}, sort_keys=True, ensure_ascii=False)}\n".encode()
