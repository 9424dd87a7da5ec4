"""`python -m benchmarks NAME [--rounds N]`: measure one claim, or `all`.

A table for a person goes to stderr; stdout ends with one JSON line

    {"name", "ok", "ratios": {metric: {"median", "low", "high", "goal", "ok"}}}

Exit code 0: every goal is met; 1: one is missed, or a benchmark broke off (its `ratios` are then empty and `error` says why).
Each benchmark is a module with `run(rounds: int) -> dict`, which returns that document.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import traceback
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Machine

BENCHMARKS = {
    "startup": "benchmarks.startup",
    "trace": "benchmarks.trace",
    "dag": "benchmarks.dag",
    "nothing_new": "benchmarks.nothing_new",
    "gate": "benchmarks.gate",
    "decoders": "benchmarks.decoders",
    "audio": "benchmarks.audio",
    "reading": "benchmarks.reading",
    "loader": "benchmarks.loader",
    "order": "benchmarks.order",
    "resume": "benchmarks.resume",
    "memory": "benchmarks.memory",
    "model": "benchmarks.model",
    "passthrough": "benchmarks.passthrough",
    "drift": "benchmarks.drift",
    "sharding": "benchmarks.sharding",
    "stamps": "benchmarks.stamps",
    "digits": "benchmarks.digits",
    "transfer": "benchmarks.transfer",
    "stamps_model": "benchmarks.stamps_model",
    "few_labels": "benchmarks.few_labels",
    "factorisation": "benchmarks.factorisation",
    "adaptation": "benchmarks.adaptation",
    "transcription": "benchmarks.transcription",
    "captioning": "benchmarks.captioning",
    "spoken_digits": "benchmarks.spoken_digits",
    "questions": "benchmarks.questions",
    "objectives": "benchmarks.objectives",
    "retrieval": "benchmarks.retrieval",
    "schedule": "benchmarks.schedule",
    "submit": "benchmarks.submit",
}
"""Name → module, in the order of `all`: the quick ones first."""


def measure(name: str, rounds: int) -> dict[str, Any]:
    """One benchmark's document; a benchmark that breaks off counts as missed and doesn't stop the others."""
    try:
        with Machine() as machine:
            document: dict[str, Any] = importlib.import_module(BENCHMARKS[name]).run(rounds)
    except Exception as error:  # noqa: BLE001  whatever breaks one benchmark, the others are still measured
        traceback.print_exc()
        return {"name": name, "ok": False, "ratios": {}, "error": f"{type(error).__name__}: {error}"}
    show(document, machine.facts)
    return document


def show(document: dict[str, Any], facts: dict[str, float]) -> None:
    """The table for a person, on stderr."""
    table = Table(title=document["name"], caption=", ".join(f"{name} {value:g}" for name, value in facts.items()))
    for column in ("metric", "median", "95 % interval", "goal", ""):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name, entry in document["ratios"].items():
        goal = "reported" if entry["goal"] is None else f"{entry['goal']:g}"
        verdict = "" if entry["goal"] is None else "met" if entry["ok"] else "MISSED"
        table.add_row(name, f"{entry['median']:g}", f"{entry['low']:g} to {entry['high']:g}", goal, verdict)
    Console(stderr=True).print(table)


def joined(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The last line of `all`: every metric under `benchmark.metric`."""
    ratios = {f"{document['name']}.{metric}": entry for document in documents for metric, entry in document["ratios"].items()}
    errors = {document["name"]: document["error"] for document in documents if "error" in document}
    return {"name": "all", "ok": all(document["ok"] for document in documents), "ratios": ratios} | ({"error": errors} if errors else {})


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure one claim of Medley, or all of them.")
    parser.add_argument("name", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="interleaved rounds, at least 1 (default 7)")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: needs at least 1")
    documents = []
    for name in BENCHMARKS if options.name == "all" else [options.name]:
        documents.append(measure(name, options.rounds))
        print(json.dumps(documents[-1]), flush=True)
    if options.name == "all":
        print(json.dumps(joined(documents)), flush=True)
    return 0 if all(document["ok"] for document in documents) else 1


if __name__ == "__main__":
    sys.exit(main())
