"""shards inspect, verify, retry."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from pipeline.cli import output
from pipeline.errors import NotFound
from pipeline.store import LocalStore


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
    from tasks.shards.verify import verify as find_problems

    folder = _folder(arguments)
    problems = find_problems(folder)
    repaired = bool(problems and arguments.repair)
    if repaired:
        _take_out(folder)
    if arguments.json:
        output.document({"path": str(folder), "ok": not problems, "problems": problems, "repaired": repaired})
        return 1 if problems else 0
    for problem in problems:
        output.say(f"wrong: {problem}")
    if repaired:
        output.say(f"{len(problems)} problems; what is wrong was taken out of the store: run the recipe again to make it anew")
    elif problems:
        output.say(f"{len(problems)} problems; to take out what is wrong, so that the next run makes it anew:")
        output.say(f"  medley shards verify {folder} --repair")
    else:
        output.say(f"{folder}: every shard, member and ledger row is as it was written")
    return 1 if problems else 0


def _take_out(folder: Path) -> None:
    from tasks.shards.verify import repair

    root = folder.parents[2]
    if not (root / "FORMAT").exists():
        raise NotFound(f"{folder} is not inside a store, so nothing can make it anew; copy it again from where it came from")
    store = LocalStore(root)
    repair(store, folder)
    store.remove_artifact(folder.name)


def retry(arguments: Namespace) -> int:
    """Clear stored verdicts, so that the next run tries those records again."""
    from tasks.shards.attempts import retry as clear

    store = LocalStore(arguments.store.absolute())
    cleared = clear(store)
    if arguments.json:
        output.document({"cleared": cleared})
    else:
        output.say(f"{len(cleared)} verdicts cleared; the next run of the recipe tries these records again")
    return 0


def _folder(arguments: Namespace) -> Path:
    folder: Path = arguments.path.absolute()
    if not (folder / "shards.json").exists():
        raise NotFound(
            f"{folder} is no shards artifact (it has no shards.json); `medley run RECIPE --json` names the folder as `artifact` of the step"
        )
    return folder
