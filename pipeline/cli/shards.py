"""shards inspect, verify, retry; `forget` has a file of its own."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.cli import output
from pipeline.errors import NotFound
from pipeline.stores import store_with

NUM_SHOWN = 5
"""Keys that are named one by one."""


def inspect(arguments: Namespace) -> int:
    """Shards, samples, bytes and the ledger."""
    from tasks.shards.verify import inspect as look

    facts = look(_folder(arguments))
    if arguments.json:
        output.document(facts)
        return 0
    rows = [[shard["name"], output.count(shard["samples"]), output.size(shard["bytes"]), shard["sha256"]] for shard in facts["shards"]]
    output.table(["shard", "samples", "bytes", "sha256"], rows)
    output.say("\nledger: " + ", ".join(f"{output.count(number)} {name}" for name, number in facts["ledger"].items()))
    _reasons(facts)
    return 0


def _reasons(facts: dict[str, Any]) -> None:
    for reason, number in facts.get("quarantined", {}).items():
        output.say(f"  quarantined {reason}: {output.count(number)}")


def verify(arguments: Namespace) -> int:
    """Exit 0 when every byte is what the index says."""
    from pipeline.repairing import COPIED, repair
    from tasks.shards.verify import verify as find_problems

    folder = _folder(arguments)
    problems = find_problems(folder)
    repaired = repair(folder) if problems and arguments.repair else ""
    if arguments.json:
        output.document({"path": str(folder), "ok": not problems, "problems": problems, "repaired": bool(repaired)})
        return 1 if problems else 0
    for problem in problems:
        output.say(f"wrong: {problem}")
    if repaired == COPIED:
        output.say(f"{len(problems)} problems in the copy on this machine; it came down again and is right now, the bucket was not changed")
    elif repaired:
        output.say(f"{len(problems)} problems; what is wrong was taken out of the store: run the recipe again to make it anew")
    elif problems:
        output.say(f"{len(problems)} problems; to take out what is wrong, so that the next run makes it anew:")
        output.say(f"  medley shards verify {folder} --repair")
    else:
        output.say(f"{folder}: every shard, member and ledger row is as it was written")
    return 1 if problems else 0


def retry(arguments: Namespace) -> int:
    """Let the next run try records again that something outside their bytes kept out."""
    from pipeline.retry import retry as take_up

    taken = take_up(store_with(arguments.store, "corpus"), arguments.keys or None)
    if arguments.json:
        output.document(asdict(taken))
        return 0
    output.say(f"{len(taken.cleared)} verdicts cleared; {len(taken.readable)} records could not be read before and can be read now")
    if taken.unreadable:
        shown = ", ".join(taken.unreadable[:NUM_SHOWN]) + (", …" if len(taken.unreadable) > NUM_SHOWN else "")
        output.say(f"{len(taken.unreadable)} records still cannot be read: {shown}; mend that, then run this command again")
    if taken.cleared or taken.readable:
        output.say("the next run of the recipe tries these records again")
    elif not taken.unreadable:
        output.say("so there is nothing new to take up")
    return 0


def _folder(arguments: Namespace) -> Path:
    folder: Path = arguments.path.absolute()
    if not (folder / "shards.json").exists():
        raise NotFound(
            f"{folder} is no shards artifact (it has no shards.json); `medley run RECIPE --json` names the folder as `artifact` of the step"
        )
    return folder
