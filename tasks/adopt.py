"""A person makes true what MLflow says: an alias that was moved there by hand is taken over into the promotion log.

In: a name, an alias and a registered version. Out: an entry of the log, by that person, without numbers, since no gate was asked.
"""

from __future__ import annotations

import json

from tasks.contracts import Store, Tracking
from tasks.errors import CorruptArtifact, InputError
from tasks.promotions import Decision, Entry, Reference, append_after, barring, current, read_log
from tasks.standings import barred_sentence


def adopt(store: Store, tracking: Tracking, name: str, alias: str, version: str, *, by: str, reason: str) -> Entry:
    """Put a version in force under an alias that the log knows, without the gate. Again it repairs the aliases only.

    Raises InputError for a version that the store does not know or that is barred, and for an alias that nothing was ever promoted to;
    TrackingError when the entry stands but MLflow could not follow.
    """
    from tasks.tracking.aliases import follow

    entries = read_log(store, name)
    model_key = _model_key(store, name, version)
    while True:
        known = sorted({entry.alias for entry in entries if entry.action == "promoted"})
        if alias not in known:
            raise InputError(f"nothing was ever {name}@{alias} by the promotion log; aliases it has: {', '.join(known) or 'none'}")
        if barred := barring(entries, version, model_key):
            raise InputError(barred_sentence(version, barred))
        before = current(entries, alias)
        if before is not None and before.version == version:
            entry = before
            break
        baseline = Reference(before.version, before.model_key) if before else None
        made = Decision(
            action="promoted", alias=alias, version=version, model_key=model_key, baseline=baseline, reasons=(f"adopted: {reason}",), by=by
        )
        if (written := append_after(store, name, entries, made)) is not None:
            entry, entries = written, [*entries, written]
            break
        entries = read_log(store, name, entries)
    follow(store, tracking, entry, "give the same command again", entries)
    return entry


def _model_key(store: Store, name: str, version: str) -> str:
    place = f"versions/{name}/{version}.json"
    try:
        return str(json.loads(store.read(place))["model_key"])
    except FileNotFoundError:
        known = [found.rpartition("/")[2].removesuffix(".json") for found in store.list(f"versions/{name}")]
        raise InputError(
            f"version {version} of {name!r} was not registered by Medley into this store, so it cannot be traced and is not adopted; "
            f"versions that were: {', '.join(sorted(known, key=lambda number: (len(number), number))) or 'none'}"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptArtifact(f"{place} in the store is damaged ({error!r}); restore it from a backup") from error
