"""cluster up, status, down."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.cli import output
from pipeline.errors import RecipeError


def up(arguments: Namespace) -> int:
    """Say what would start, ask, start it."""
    from cluster import launcher

    file = _read(arguments.file)
    say = _voice(arguments)
    _show(file, say)
    _checked(launcher.check_launch, file)
    _confirmed(arguments, f"start {file.name!r}", say)
    launcher.up(file, say)
    say("")
    for line in _afterwards(file):
        say(line)
    if arguments.json:
        output.document({**_document(file), "up": True})
    return 0


def status(arguments: Namespace) -> int:
    """What the cluster says of itself; exit code 1 when it is not up."""
    from cluster import launcher

    file = _read(arguments.file)
    found = launcher.status(file)
    if arguments.json:
        output.document({**_document(file), **asdict(found)})
    elif found.up:
        output.say(found.report)
    else:
        output.say(f"{file.name!r} is not up; `medley cluster up {_shown(file.path)}` starts it")
    return 0 if found.up else 1


def down(arguments: Namespace) -> int:
    """Say what would stop, ask, stop it."""
    from cluster import launcher

    file = _read(arguments.file)
    say = _voice(arguments)
    say(f"{file.name!r} ({file.provider}): every node of it stops, and so does what runs there; {_kept(file)}")
    _confirmed(arguments, f"stop {file.name!r}", say)
    launcher.down(file, say)
    if arguments.json:
        output.document({**_document(file), "up": False})
    return 0


def _read(path: Path) -> Any:
    from cluster.description import read

    return _checked(read, path)


def _checked(look: Callable[[Any], Any], given: Any) -> Any:
    """The user's file is input: what is wrong with it ends with exit code 2."""
    from cluster.errors import ClusterFileError

    try:
        return look(given)
    except ClusterFileError as error:
        raise RecipeError(*error.problems) from error


def _voice(arguments: Namespace) -> Callable[[str], None]:
    """Where lines for a person go: stdout belongs to the document when there is one."""
    return _to_stderr if arguments.json else output.say


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")


def _show(file: Any, say: Callable[[str], None]) -> None:
    say(f"{_shown(file.path)}: cluster {file.name!r} on {file.provider}, at most {file.max_workers} nodes beside the head")
    for node in file.nodes:
        number = str(node.at_least) if node.at_least == node.at_most else f"{node.at_least} to {node.at_most}"
        has = ", ".join(f"{amount:g} {name}" for name, amount in node.resources.items()) or "what Ray finds there"
        say(f"  {node.name:<10} {'head' if node.head else number:<8} {node.machine or 'machines as node_config says'}; {has}")
    settings = file.settings
    say(f"  store      {settings.store or 'as the recipe says (metadata.medley.store is not given)'}")
    say(f"  tracking   {settings.tracking or 'as the recipe says (metadata.medley.tracking is not given)'}")
    say(f"  jobs       {settings.address or 'give --address when submitting (metadata.medley.address is not given)'}")
    say(f"  auth       {AUTH[settings.auth]}")


AUTH = {
    "token": "nodes talk to holders of the token alone",
    "none": "none: nodes talk to everyone who reaches their ports",
}


def _afterwards(file: Any) -> list[str]:
    settings = file.settings
    lines = [f"{file.name!r} is up; nodes beside the head come when work asks for them: medley cluster status {_shown(file.path)}"]
    if settings.address.startswith(("http://127.0.0.1", "http://localhost")):
        lines.append(f"its job server, brought here while this runs: ray dashboard {_shown(file.path)}")
    if settings.address:
        store = f" --store {settings.store}" if settings.store else ""
        lines.append(f"a run on it: medley submit RECIPE --address {settings.address}{store}")
    return lines


def _kept(file: Any) -> str:
    return f"the store {file.settings.store} stays" if file.settings.store else "what is on their own disks may be lost"


def _confirmed(arguments: Namespace, what: str, say: Callable[[str], None]) -> None:
    """Only a yes goes on."""
    if arguments.yes:
        return
    if not sys.stdin.isatty():
        raise RecipeError(f"nothing was done: there is no terminal to ask on; add --yes to {what}")
    say(f"{what}? [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RecipeError("nothing was done")


def _document(file: Any) -> dict[str, Any]:
    return {
        "file": str(file.path),
        "cluster": file.name,
        "provider": file.provider,
        "max_workers": file.max_workers,
        "nodes": [asdict(node) for node in file.nodes],
        "settings": file.settings.model_dump(),
    }


def _shown(path: Path) -> str:
    return os.path.relpath(path) if path.absolute().is_relative_to(Path.cwd()) else str(path)
