"""ingest and shard in processes of their own, which are watched: what they open for writing, whom they call, what memory they take.

`run` writes nothing outside of `folder`. The watch is an audit hook that every Python process below it installs at its start; the home,
the working and the temporary folder of those processes are empty ones of their own, so that a file that appears there is found.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

HOOK = """
import os, sys
inside, log = os.environ["WATCH_INSIDE"], os.environ["WATCH_LOG"]
kept = (inside, "/dev/null", log)
def watch(event, args):
    said = ""
    if event == "open" and isinstance(args[0], (str, bytes)) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        if not os.path.abspath(os.fsdecode(args[0])).startswith(kept):
            said = f"opened {args[0]!r} for writing"
    elif event in ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "socket.connect", "marshal.loads_code", "ctypes.dlopen_remote"):
        said = f"{event} {args!r}"
    elif event == "pickle.find_class" and (args[0], args[1]) in (("builtins", "getattr"), ("posix", "system"), ("os", "system")):
        said = f"unpickled {args!r}"
    if said:
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, said.encode() + b"\\n")
        os.close(descriptor)
sys.addaudithook(watch)
"""
AROUND = ("home", "here", "temporary")
"""Folders of the watched processes that must stay empty."""


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    summary: dict[str, Any]
    """Of the step `shard`; empty when it failed."""
    failed: str
    """Class and message of the error that ended it."""
    peak_mb: int
    """Memory that the largest of the processes held at once, in MiB."""
    seen: list[str]
    """What the watch found, one line each."""
    shards: Path


def run(folder: Path, name: str, source: dict[str, Any], **settings: Any) -> Outcome:
    """Ingest what `source` says and shard it into `folder/<name>`; the store is `folder/store`."""
    return run_all(folder, {name: settings}, source)[name]


def run_all(folder: Path, wanted: dict[str, dict[str, Any]], source: dict[str, Any]) -> dict[str, Outcome]:
    """One after the other with other settings. Memory and what was seen are of all of them."""
    watch = folder / "watch"
    log = watch / "seen.txt"
    for path in (watch, *(folder / around for around in AROUND)):
        path.mkdir(exist_ok=True)
    (watch / "sitecustomize.py").write_text(HOOK)
    log.unlink(missing_ok=True)
    environment = os.environ | {"PYTHONPATH": f"{watch}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder / "home")}
    environment |= {"TMPDIR": str(folder / "temporary"), "WATCH_INSIDE": str(folder / "store"), "WATCH_LOG": str(log)}
    environment |= {"WATCH_INSIDE": f"{folder}/", "PYTHONWARNINGS": "ignore"}
    command = ["/bin/sh", "-c", '"$@"; exit $?', "sh"]  # a small process between: the kernel counts the caller's memory as its child's
    command += [sys.executable, "-m", "tests.chaos.watched", str(folder), json.dumps(source), json.dumps(wanted)]
    done = subprocess.run(command, cwd=folder / "here", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    seen = log.read_text().splitlines() if log.exists() else []
    return {name: Outcome(made["summary"], made["failed"], answer["peak_mb"], seen, folder / name) for name, made in answer["made"].items()}


def outside(folder: Path) -> list[str]:
    """Files in the folders that must stay empty."""
    return sorted(str(path.relative_to(folder)) for around in AROUND for path in (folder / around).rglob("*"))


def main() -> None:
    folder, source, wanted = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
    made = {name: _make(folder, name, source, settings) for name, settings in wanted.items()}
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) >> 10
    print(json.dumps({"made": made, "peak_mb": peak}))


def _make(folder: Path, name: str, source: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    from pipeline.store import LocalStore
    from tasks.contracts import Artifact
    from tasks.errors import TaskError
    from tasks.ingest import IngestConfig, ingest
    from tasks.shard import ShardConfig, shard
    from tests.tasks.shards.corpora import context

    run_of = context(LocalStore.open(folder / "store"), key=name.encode().hex().ljust(64, "0"))
    corpus = Artifact("corpus", "c" * 64, folder / f"{name}-corpus")
    for path in (corpus.path, folder / name):
        path.mkdir()
    try:
        ingest(IngestConfig.model_validate({"source": source}), {}, corpus.path, run_of)
        return {"summary": shard(ShardConfig.model_validate(settings), {"corpus": corpus}, folder / name, run_of), "failed": ""}
    except TaskError as error:
        return {"summary": {}, "failed": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
