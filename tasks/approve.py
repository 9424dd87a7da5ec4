"""A person settles what waits: a pending version becomes what it was to become, or it does not.

In: a name and a version that a promote step with `requires_approval` left pending. Out: an entry of the promotion log that answers the
pending one, and MLflow's aliases after it. What came into force meanwhile is never overruled.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.contracts import Store, Tracking
from tasks.errors import InputError, StaleReport
from tasks.promotions import Decision, Entry, append_after, barring, read_log
from tasks.standings import answer, barred_sentence, outcome, overtaken, overtaken_sentence


def approve(store: Store, tracking: Tracking, name: str, version: str, *, by: str, reason: str = "", reject: bool = False) -> Entry:
    """Approve or reject the newest pending decision on a version. The entry that answers it.

    Again it repairs the aliases only. Raises InputError when nothing of this version is pending, or it was answered otherwise; StaleReport
    when another version came into force since it was decided; TrackingError when the answer stands but MLflow could not follow.
    """
    from tasks.tracking.aliases import follow

    entries = read_log(store, name)
    while True:
        pending = _pending(entries, name, version)
        if settled := answer(entries, pending):
            _check_same(settled, reject=reject)
            break
        decision = _decision(entries, pending, by, reason, reject=reject)
        if (settled := append_after(store, name, entries, decision)) is not None:
            entries = [*entries, settled]
            break
        entries = read_log(store, name, entries)
    follow(store, tracking, settled, "give the same command again", entries)
    return settled


def _pending(entries: Sequence[Entry], name: str, version: str) -> Entry:
    found = next((entry for entry in reversed(entries) if entry.action == "pending" and entry.version == version), None)
    if found is None:
        open_ = [entry.version for entry in entries if outcome(entries, entry)[0] == "pending"]
        last = next((entry for entry in reversed(entries) if entry.version == version), None)
        said = f"was {last.action} by entry {last.n} of the log" if last else "was never decided on"
        raise InputError(
            f"version {version} of {name!r} does not wait for approval: it {said}; versions that wait: "
            f"{', '.join(dict.fromkeys(open_)) or 'none'}"
        )
    return found


def _check_same(settled: Entry, *, reject: bool) -> None:
    if (settled.action == "refused") != reject:
        said = "rejected" if settled.action == "refused" else "approved"
        undo = (
            f"`medley rollback {settled.name}@{settled.alias} --version {settled.version} --reason …` takes it back"
            if settled.action == "promoted"
            else "train and evaluate again to have it decided anew"
        )
        raise InputError(f"version {settled.version} of {settled.name!r} was {said} by {settled.by} already (entry {settled.n}); {undo}")


def _decision(entries: Sequence[Entry], pending: Entry, by: str, reason: str, *, reject: bool) -> Decision:
    if not reject:
        if barred := barring(entries, pending.version, pending.model_key):
            raise InputError(barred_sentence(pending.version, barred))
        if newer := overtaken(entries, pending):
            raise StaleReport(overtaken_sentence(pending, newer))
    return Decision(
        action="refused" if reject else "promoted",
        alias=pending.alias,
        version=pending.version,
        model_key=pending.model_key,
        report_key=pending.report_key,
        baseline=pending.baseline,
        reasons=(reason,) if reason else (),
        numbers=pending.numbers,
        best=pending.best,
        leads=pending.leads,
        rules=pending.rules,
        by=by,
        answers=pending.n,
    )
