"""A process that decides on versions as promote steps do, one after the other, until it has made its number or is killed.

    python -m tests.chaos.deciders STORE WRITER COUNT TRACKING

Each decision has a key of its own, as a step has, so that one that is started again goes on where the log says it was. What a loser is told
goes to `STORE/told-WRITER.jsonl`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from pipeline.store import LocalStore
from tasks.contracts import Artifact, Tracking
from tasks.errors import StaleReport
from tasks.gating.config import GateConfig
from tasks.promote import Case, PromoteConfig, decide, read_report
from tasks.promotions import Entry, current, of_step, read_log
from tasks.tracking.aliases import follow
from tests.tasks.tracking.toys import report_folder

NAME, SAMPLES = "toys", 160
CONFIG = PromoteConfig(gate=GateConfig(head="digit", test="mcnemar", margin=0.05))


def key_of(writer: int, number: int) -> str:
    return f"writer-{writer}-decision-{number}"


def model_of(writer: int) -> str:
    return f"{writer + 1}" * 64


def case(folder: Path, writer: int, number: int, champion: Entry | None) -> Case:
    """Version WRITER + 1, evaluated against what is champion now; every third is worse, and the gate says so."""
    right = SAMPLES - 8 if number % 3 else SAMPLES // 2
    model = Artifact("model", model_of(writer), folder, step="model")
    rival = (champion.version, champion.model_key, np.arange(SAMPLES) < SAMPLES - 8) if champion else None
    place = folder / f"report-{writer}-{number % 3 == 0}-{champion.version if champion else 'none'}"
    if not place.exists():
        scratch = folder / f"report-{writer}-{number}-{champion.n if champion else 0}"
        report_folder(scratch, "r" * 64, model, np.arange(SAMPLES) < right, rival)
        scratch.rename(place)
    report = Artifact("report", "r" * 64, place, step="report")
    version = {"name": NAME, "version": str(writer + 1), "model_key": model.key}
    return Case(CONFIG, version, read_report(report), report, 0, "champion", key_of(writer, number))


def main(store: LocalStore, writer: int, count: int, tracking: Tracking) -> None:
    entries = read_log(store, NAME)
    for number in range(count):
        seen = of_step(entries, key_of(writer, number))
        while seen is None:
            folder = store.scratch()
            folder.mkdir()
            try:
                seen, entries = decide(case(folder, writer, number, current(entries, CONFIG.alias)), store, entries)
                follow(store, tracking, seen, "do it again", entries)
            except StaleReport as error:
                with (store.root / f"told-{writer}.jsonl").open("a") as file:
                    file.write(f"{json.dumps(str(error))}\n")
                entries = read_log(store, NAME, entries)


if __name__ == "__main__":
    main(LocalStore(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]), Tracking(sys.argv[4]))
