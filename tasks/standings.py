"""What the promotion log amounts to: the best champion ever, what waits for a person, and where each alias stands.

In: entries of the log. Out: answers; nothing is read or written. MLflow's aliases are set to `aliases(entries)`. Imports nothing slow.

`champion` is what stands in for a name unless a recipe says otherwise. Two more aliases follow from it and cannot be asked for by a
recipe: `previous`, which a rollback would return to, and `best`, by which an evaluate step names the best champion ever. `challenger` is
the version that waits for approval to become champion, or else what a recipe promoted under that alias.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.promotions import Entry, Reference, barring, current, is_barred

CHAMPION, CHALLENGER, PREVIOUS, BEST = "champion", "challenger", "previous", "best"


def answer(entries: Sequence[Entry], pending: Entry) -> Entry | None:
    """The entry that approved or rejected a pending one."""
    return next((entry for entry in entries[pending.n :] if entry.answers == pending.n), None)


def waiting(entries: Sequence[Entry], alias: str = CHAMPION) -> Entry | None:
    """The newest pending entry of an alias that can still be approved."""
    return next(
        (entry for entry in reversed(entries) if entry.action == "pending" and entry.alias == alias and _is_open(entries, entry)), None
    )


def overtaken(entries: Sequence[Entry], pending: Entry) -> Entry | None:
    """The entry because of which a pending one can no longer be approved: another version came into force, or this one was barred."""
    before, now = current(entries[: pending.n - 1], pending.alias), current(entries, pending.alias)
    if is_barred(entries, pending.version, pending.model_key):
        return next(entry for entry in entries if entry.action == "rollback" and _same(entry, pending))
    if (before and before.model_key) == (now and now.model_key):
        return None
    later = (entry for entry in reversed(entries) if entry.n > pending.n)  # a rollback bars under every alias
    return next(
        (entry for entry in later if entry.action == "rollback" or (entry.action, entry.alias) == ("promoted", pending.alias)), None
    )


def best(entries: Sequence[Entry], alias: str = CHAMPION) -> Entry | None:
    """The best champion ever: the first, until one was measured better by a standard error, and so on. A barred one doesn't count."""
    found: Entry | None = None
    for entry in entries:
        if entry.action != "promoted" or entry.alias != alias or is_barred(entries, entry.version, entry.model_key):
            continue
        if found is None or entry.leads:
            found = entry
    return found


def best_for(entries: Sequence[Entry], alias: str, model_key: str) -> Reference | None:
    """What a model is held against as the best champion ever; for a champion itself what it was held against when it was decided on.

    As with `baseline_for`, a run that made the champion stays cached when nothing else has changed since.
    """
    champion, found = current(entries, alias), best(entries, alias)
    if champion is not None and champion.model_key == model_key and champion.best is not None:
        return champion.best
    return Reference(found.version, found.model_key) if found and found.model_key != model_key else None


def named(entries: Sequence[Entry], alias: str) -> Entry | None:
    """The entry behind an alias, also behind one that follows from others."""
    if alias == BEST:
        return best(entries)
    if alias == PREVIOUS:
        champion = current(entries, CHAMPION)
        return current(entries, CHAMPION, without=champion) if champion else None
    if alias == CHALLENGER and (candidate := waiting(entries)):
        return candidate
    return current(entries, alias)


def aliases(entries: Sequence[Entry]) -> dict[str, str]:
    """Every alias that was ever given and those that follow from `champion`, with its version; empty where none is in force."""
    known = {entry.alias for entry in entries if entry.action == "promoted"}
    if CHAMPION in known:
        known |= {PREVIOUS, BEST}
    if any(entry.action == "pending" and entry.alias == CHAMPION for entry in entries):
        known.add(CHALLENGER)
    return {alias: entry.version if (entry := named(entries, alias)) else "" for alias in sorted(known)}


def outcome(entries: Sequence[Entry], entry: Entry) -> tuple[str, list[str]]:
    """What became of a decision by now, and why: promoted, refused or pending. A rollback refuses it afterwards, an answer settles it."""
    if entry.action in ("promoted", "pending") and (barred := barring(entries, entry.version, entry.model_key)):
        return "refused", [*entry.reasons, barred_sentence(entry.version, barred)]
    if entry.action != "pending":
        return entry.action, list(entry.reasons)
    if settled := answer(entries, entry):
        why = f": {'; '.join(settled.reasons)}" if settled.reasons else ""
        said = "approved" if settled.action == "promoted" else "rejected"
        return settled.action, [*entry.reasons, f"{said} by {settled.by or 'nobody named'} (entry {settled.n} of the log){why}"]
    if newer := overtaken(entries, entry):
        return "refused", [*entry.reasons, overtaken_sentence(entry, newer)]
    return "pending", list(entry.reasons)


def barred_sentence(version: str, barred: Entry) -> str:
    """Why a version cannot be promoted any more."""
    why = f" ({'; '.join(barred.reasons)})" if barred.reasons else ""
    return f"version {version} is barred: entry {barred.n} of the log rolled its model back{why}; train another model"


def overtaken_sentence(pending: Entry, newer: Entry) -> str:
    """Why a pending version cannot be approved any more."""
    happened = f"version {newer.version} became {newer.alias}" if newer.action == "promoted" else f"version {newer.version} was rolled back"
    return (
        f"version {pending.version} was compared with what was {pending.alias} at entry {pending.n}, and since then {happened} (entry "
        f"{newer.n}, {newer.time}); `medley run RECIPE` evaluates it against what is {pending.alias} now"
    )


def _is_open(entries: Sequence[Entry], pending: Entry) -> bool:
    return answer(entries, pending) is None and overtaken(entries, pending) is None


def _same(entry: Entry, other: Entry) -> bool:
    return entry.version == other.version or entry.model_key == other.model_key
