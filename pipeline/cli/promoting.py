"""promote, approve, aliases: what a person decides about versions."""

from __future__ import annotations

import contextlib
import getpass
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import promoting
from pipeline.cli import output
from pipeline.errors import RecipeError
from pipeline.store import LocalStore
from pipeline.stores import known_store
from pipeline.tracking import store_tracking
from tasks.contracts import Tracking
from tasks.errors import TrackingError
from tasks.promotions import Decision, Entry

REFUSED = 3


def promote(arguments: Namespace) -> int:
    """Decide on a recipe's version or on a registered one; with --dry-run only say how."""
    if _is_recipe(arguments.what):
        return _recipe(arguments)
    unfit = [f"--{name.replace('_', '-')}" for name in ("set", "limit") if getattr(arguments, name)]
    if unfit:
        raise RecipeError(f"{', '.join(unfit)} belongs to a recipe, and {arguments.what!r} names a version")
    store = known_store(arguments.store or Path(".medley"))
    case = promoting.of_version(store, arguments.what, arguments.alias, arguments.by or user())
    if arguments.dry_run:
        return _show([promoting.preview(case, store)], arguments, dry=True)
    there, tell = tracking(arguments, store), herald(arguments)
    tell_astray(store, there, str(case.version["name"]))
    entry = promoting.carry_out(case, store, there)
    tell(entry)
    return _show([promoting.Weighed(entry.name, entry)], arguments, dry=False)


def approve(arguments: Namespace) -> int:
    """Settle a pending decision."""
    from tasks.approve import approve as settle

    store = known_store(arguments.store)
    there, tell = tracking(arguments, store), herald(arguments)
    tell_astray(store, there, arguments.name)
    by = arguments.by or user()
    entry = settle(store, there, arguments.name, arguments.version, by=by, reason=arguments.reason, reject=arguments.reject)
    tell(entry)
    if arguments.json:
        output.document(asdict(entry))
    else:
        now = f"is {entry.alias} now" if entry.action == "promoted" else f"does not become {entry.alias}"
        output.say(f"version {entry.version} of {entry.name} {now} (entry {entry.n} of the promotion log, by {entry.by})")
    return 0


def aliases(arguments: Namespace) -> int:
    """Compare MLflow with the log; repair it, or adopt what it says."""
    from tasks.tracking.aliases import project

    store = known_store(arguments.store)
    there = tracking(arguments, store)
    if arguments.adopt:
        return _adopt(arguments, store, there)
    logged, found = promoting.compared(store, there, arguments.name)
    wrong = {each.alias: each.found for each in found}
    if found and not arguments.look:
        project(store, there, arguments.name)
    if arguments.json:
        output.document({"name": arguments.name, "log": logged, "astray": wrong, "repaired": bool(found) and not arguments.look})
    else:
        rows = [[alias, version or "none", wrong.get(alias, version) or "none"] for alias, version in logged.items()]
        output.table(["alias", "log", "MLflow"], rows)
        for each in found:
            output.say(f"\n{each}" if arguments.look else f"\n{each.repaired}")
    return 1 if found and arguments.look else 0


def tracking(arguments: Namespace, store: LocalStore) -> Tracking:
    """Where MLflow is by --tracking, or in the store."""
    return Tracking(arguments.tracking) if arguments.tracking else store_tracking(store, "medley")


def herald(arguments: Namespace) -> Callable[[Entry], None]:
    """What tells the webhooks of `--recipe` of an entry. The recipe is read now: a mistake in it stops the verb before it decides."""
    if not arguments.webhooks_of:
        return lambda _entry: None
    from pipeline import recipe
    from pipeline.heralds import tell

    loaded = recipe.load(arguments.webhooks_of)

    def told(entry: Entry) -> None:
        for sentence in tell(loaded, entry):
            sys.stderr.write(f"{sentence}\n")

    return told


def tell_astray(store: LocalStore, there: Tracking, name: str) -> None:
    """Aliases that were moved in MLflow, on stderr, before the verb at hand sets them back. When MLflow is away, following it says so."""
    from tasks.tracking.aliases import astray

    with contextlib.suppress(TrackingError):
        for found in astray(store, there, name):
            sys.stderr.write(f"{found.repaired}\n")


def _adopt(arguments: Namespace, store: LocalStore, there: Tracking) -> int:
    from tasks.adopt import adopt

    if not arguments.reason:
        raise RecipeError("--adopt needs --reason: the gate was not asked, so the log has to say why")
    tell = herald(arguments)
    alias, version = promoting.alias_of(arguments.adopt)
    entry = adopt(store, there, arguments.name, alias, version, by=arguments.by or user(), reason=arguments.reason)
    tell(entry)
    if arguments.json:
        output.document(asdict(entry))
    else:
        output.say(f"version {entry.version} of {entry.name} is {entry.alias} by entry {entry.n} of the promotion log, without the gate")
    return 0


def _recipe(arguments: Namespace) -> int:
    from pipeline.cli import running
    from pipeline.cli.planning import load_plan

    arguments.recipe = Path(arguments.what)
    plan = load_plan(arguments)
    if arguments.dry_run:
        return _show(promoting.of_recipe(plan), arguments, dry=True)
    steps = [step.name for step in plan.steps.values() if step.task == "promote"]
    arguments.until = steps[0] if len(steps) == 1 else None
    return running.run(arguments)


def _is_recipe(what: str) -> bool:
    return Path(what).suffix in (".yaml", ".yml") or Path(what).is_file()


def _show(weighed: list[promoting.Weighed], arguments: Namespace, *, dry: bool) -> int:
    if arguments.json:
        output.document([{"name": each.name, "dry_run": dry, **asdict(each.decision)} for each in weighed])
    else:
        for each in weighed:
            _say(each.name, each.decision, dry=dry)
    return REFUSED if any(each.decision.action == "refused" for each in weighed) else 0


_WOULD = {"promoted": "would become {alias}", "pending": "would wait for approval to become {alias}", "refused": "would not become {alias}"}
_DOES = {"promoted": "is {alias} now", "pending": "waits for approval to become {alias}", "refused": "does not become {alias}"}


def _say(name: str, decision: Decision, *, dry: bool) -> None:
    said = (_WOULD if dry else _DOES)[decision.action].format(alias=decision.alias)
    output.say(f"version {decision.version} of {name} {said}{'; nothing was written' if dry else ''}")
    for reason in decision.reasons:
        output.say(f"  {reason}")
    output.say("")
    output.table(["number", "value"], _rows(decision.numbers, ""))


def _rows(numbers: Mapping[str, Any], prefix: str) -> Iterator[list[str]]:
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            yield from _rows(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            for item in value:
                numbers_of = {key: item[key] for key in ("candidate", "baseline", "difference", "p_corrected")}
                yield from _rows(numbers_of, f"{prefix}{item['part']} {item['name']}.")
        elif value is not None:
            yield [f"{prefix}{name}", f"{value:.6g}" if isinstance(value, float) else str(value)]


def user() -> str:
    """Who is at the keyboard; empty when the system does not know."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for the user
        return ""
