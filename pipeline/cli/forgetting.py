"""shards forget: a sample out of the store, for good."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from pipeline.cli import output
from pipeline.errors import NotFound
from pipeline.store import LocalStore
from pipeline.stores import existing_store

if TYPE_CHECKING:
    from pipeline.forget import Survey
    from pipeline.witnesses import Witness

SHOWN = 20
"""Lines of a list that are printed; --json has all."""


def forget(arguments: Namespace) -> int:
    """Say what would go; with --yes, take it away."""
    from pipeline.forget import forget as take_away
    from pipeline.forget import survey

    store = existing_store(arguments.store)
    if arguments.yes:
        found = take_away(store, arguments.keys, arguments.reason, unseen=arguments.unseen)
        found = replace(found, notes=(*found.notes, *_untold(found, arguments, store)))
    else:
        found = survey(store, arguments.keys, unseen=arguments.unseen)
    if arguments.json:
        output.document({"store": store.where, "forgotten": arguments.yes, **asdict(found)})
    else:
        _tell(found, arguments, store)
    return 0


def _untold(found: Survey, arguments: Namespace, store: LocalStore) -> Iterator[str]:
    """Mark the versions in MLflow too, where there is one; yields what could not be done."""
    from pipeline.marks import tell
    from pipeline.tracking import existing_tracking

    try:
        tracking = existing_tracking(store, arguments.tracking)
    except NotFound:
        return
    yield from tell(tracking, found.marks)


def _tell(found: Survey, arguments: Namespace, store: LocalStore) -> None:
    _list("these artifacts hold them and go", (f"{each.kind}  {each.key[:12]}  {each.about}{_unread(each.keys)}" for each in found.holders))
    counted = {
        "tars of the pool; what else is in them is kept for copying": len(found.pool.units),
        "tars of the pool that were never finished": len(found.pool.unfinished),
        **{f"leftovers in {place}/": number for place, number in Counter(name.split("/")[0] for name in found.leftovers).items()},
        "logs and lists that name them, which lose the name alone": len(found.logs),
    }
    _list("and of the rest of the store", (f"{output.count(number)} {what}" for what, number in counted.items() if number))
    _list(
        "these are other samples with the same bytes and stay; forget them too if they are the same to you",
        (f"{twin.key}  ({twin.modality} of {twin.of})" for twin in found.twins),
    )
    _list("these models saw them and stay; train anew without them, or roll them back", map(_model, found.models))
    marked = (f"{each.name}/{each.version}  entry {each.entry} of its log" for each in found.marks)
    _list("these versions are marked as having seen forgotten samples", marked)
    _list("these models were made from what is no longer in the store: whether they saw them is not known", map(_model, found.unknown))
    _list("the sources are never touched; these files still hold them", found.sources)
    for note in found.notes:
        output.say(f"note: {note}")
    if not arguments.yes:
        words = ["medley", "shards", "forget", *arguments.keys, "--store", store.where]
        words += ["--reason", arguments.reason] if arguments.reason else []
        words += ["--unseen"] if arguments.unseen else []
        output.say(f"nothing was changed; to forget {_samples(found)}, for good:\n  {shlex.join([*words, '--yes'])}")
    elif set(found.marked) == set(found.keys) and not (found.holders or found.pool.units or found.leftovers or found.logs):
        output.say(f"{_samples(found)} forgotten before; nothing of it was left")
    else:
        output.say(f"{_samples(found)} forgotten; the next run of each recipe makes its outputs anew without it")


def _samples(found: Survey) -> str:
    return f"{len(found.keys)} sample{'s' if len(found.keys) > 1 else ''}"


def _unread(keys: tuple[str, ...]) -> str:
    return "" if keys else "  (it cannot be read, so it may hold them)"


def _model(model: Witness) -> str:
    names = ", ".join((*model.versions, *model.aliases)) or "never registered"
    seen = f" ({' and '.join(model.splits)})" if model.splits else ""
    return f"{model.key[:12]}  {model.about}: {names}{seen}"


def _list(title: str, lines: Iterable[str]) -> None:
    lines = list(lines)
    if not lines:
        return
    output.say(f"{title}:")
    for line in lines[:SHOWN]:
        output.say(f"  {line}")
    if len(lines) > SHOWN:
        output.say(f"  … and {len(lines) - SHOWN} more; --json lists all")
