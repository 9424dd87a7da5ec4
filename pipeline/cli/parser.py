"""The verbs and their arguments. Imports nothing heavy, so that `medley --help` answers at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.cli.options import (
    EXIT_CODES,
    Parser,
    add,
    calling,
    head_options,
    person_options,
    plan_options,
    recipe_options,
    run_options,
    setting_options,
    store_option,
)

DESCRIPTION = "From a raw multimodal corpus to a trained, evaluated, registered and promoted model: one recipe, one command."


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Arguments of one call; `.verb` is the function to call with them."""
    return _parser().parse_args(argv)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="medley", description=DESCRIPTION, epilog=EXIT_CODES)
    parser.add_argument("--version", dest="versions", action="store_true", help="print versions of medley and of what it stands on")
    parser.set_defaults(verb=calling("pipeline.cli.planning:version"))
    verbs = parser.add_subparsers(title="verbs", metavar="")

    demo = add(verbs, "demo", "run the digits example end to end", "pipeline.cli.running:demo")
    run_options(demo)

    _init_verb(verbs)
    check = add(verbs, "check", "check a recipe and change nothing", "pipeline.cli.planning:check")
    recipe_options(check)
    plan = add(verbs, "plan", "show what would run, what is cached, and why", "pipeline.cli.planning:plan")
    recipe_options(plan)
    plan_options(plan)
    run = add(verbs, "run", "run a recipe; the same command resumes it", "pipeline.cli.running:run")
    recipe_options(run)
    plan_options(run)
    run_options(run)
    run.add_argument("--origin", type=Path, metavar="FILE", help="for a copy that `medley submit` packed: where the recipe lies")
    graph = add(verbs, "graph", "print the steps and how they hang together", "pipeline.cli.planning:graph")
    recipe_options(graph)
    graph.add_argument("--format", choices=("text", "mermaid"), default="text", help="(default: %(default)s)")

    status = add(verbs, "status", "show a run, the newest by default", "pipeline.cli.history:status")
    status.add_argument("run", nargs="?", help="a run's id, or its beginning")
    status.add_argument("--all", action="store_true", help="list all runs")
    store_option(status)
    logs = add(verbs, "logs", "print the log of a step, or attach to a job on a cluster", "pipeline.cli.history:logs")
    logs.add_argument("run", help="a run's id, or its beginning; `last` is the newest; or a job's id, or its beginning with --address")
    logs.add_argument("step", nargs="?", help="a step; without it, the run's journal")
    head_options(logs)
    store_option(logs)
    report = add(verbs, "report", "print where the newest report page is", "pipeline.cli.history:report")
    report.add_argument("run", nargs="?", help="a run's id, or its beginning")
    report.add_argument("--open", action="store_true", help="open it in the browser")
    store_option(report)

    _shards_verbs(verbs)
    _schedule_verb(verbs)
    _drift_verb(verbs)
    _cluster_verbs(verbs)
    _cluster_file_verbs(verbs)

    _promotion_verbs(verbs)
    rollback = add(verbs, "rollback", "bar a promoted version and bring back the one before", "pipeline.cli.registry:rollback")
    rollback.add_argument("model", help="NAME@ALIAS, such as digits@champion")
    rollback.add_argument("--version", default="", help="the version to bar (default: the one in force)")
    rollback.add_argument("--reason", required=True, help="why; kept in the promotion log")
    person_options(rollback)
    store_option(rollback)

    _trace_verbs(verbs)
    _store_verbs(verbs)
    schema = add(verbs, "schema", "print the recipe's JSON Schema, for editors", "pipeline.cli.planning:schema")
    schema.set_defaults(json=True)
    return parser


def _shards_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    parser = verbs.add_parser("shards", help="look into shards", description="look into shards")
    shards = parser.add_subparsers(title="verbs", metavar="", required=True)
    for name, about in (("inspect", "list shards and the ledger"), ("verify", "re-hash every shard and name what is wrong")):
        verb = add(shards, name, about, f"pipeline.cli.shards:{name}")
        verb.add_argument("path", type=Path, help="folder of a shards artifact")
        if name == "verify":
            verb.add_argument("--repair", action="store_true", help="take what is wrong out of the store; the next run makes it anew")
    preview = add(shards, "preview", "write a page of samples, statistics and what was left out", "pipeline.cli.previewing:preview")
    preview.add_argument("path", type=Path, help="folder of a shards artifact")
    preview.add_argument("--split", metavar="S", help="samples of this split alone (default: of each)")
    preview.add_argument("--limit", type=int, default=12, metavar="N", help="samples of a split (default: %(default)s)")
    preview.add_argument("--output", type=Path, metavar="FILE", help="where to write it (default: shards-KEY.html)")
    preview.add_argument("--open", action="store_true", help="open it in the browser")
    retry = add(shards, "retry", "take up records that something outside their bytes kept out", "pipeline.cli.shards:retry")
    retry.add_argument("keys", nargs="*", metavar="KEY", help="only these records (default: all)")
    store_option(retry)
    forget = add(shards, "forget", "say what holds samples, and with --yes take them out for good", "pipeline.cli.forgetting:forget")
    forget.add_argument("keys", nargs="+", metavar="KEY", help="key of a sample, as the ledger and the index have it")
    forget.add_argument("--reason", default="", help="why; kept for good, so write nothing personal")
    forget.add_argument("--unseen", action="store_true", help="also mark keys that the store does not hold: no ingest takes them in")
    forget.add_argument("--yes", action="store_true", help="do it; without this, nothing is changed")
    forget.add_argument("--tracking", default="", help="MLflow URI, to mark versions there too; default: the store's own database")
    store_option(forget)


def _drift_verb(verbs: argparse._SubParsersAction[Parser]) -> None:
    drift = add(verbs, "drift", "compare new data with what a model was trained on; 3 = it drifted", "pipeline.cli.drifting:drift")
    drift.add_argument("reference", help="NAME@ALIAS, a recipe's YAML file, or the folder of a shards artifact")
    drift.add_argument(
        "--against", required=True, metavar="NEW", help="folder, table, log of requests, shards, corpus, or step of the recipe"
    )
    drift.add_argument("--split", default="train", metavar="S", help="split of the reference (default: %(default)s)")
    drift.add_argument("--against-split", default="", metavar="S", help="split of new shards (default: each)")
    drift.add_argument("--modalities", default="", metavar="A,B", help="compare these alone (default: all)")
    drift.add_argument("--alpha", type=float, default=0.01, metavar="P", help="chance of any false alarm (default: %(default)s)")
    drift.add_argument("--level", type=float, default=0.1, metavar="PSI", help="smallest change that counts (default: %(default)s)")
    drift.add_argument("--samples", type=int, default=2000, metavar="N", help="samples of each side (default: %(default)s)")
    drift.add_argument("--seed", type=int, default=0, metavar="N", help="of permutations (default: %(default)s)")
    drift.add_argument("--since", default="", metavar="TIME", help="leave out requests before, such as 2026-03-01")
    drift.add_argument("--no-embeddings", action="store_true", help="do not ask the model what it sees: raw features alone")
    drift.add_argument("--step", default="", help="the recipe's shard step that is meant, if it has several")
    drift.add_argument("--page", type=Path, metavar="FILE", help="write a page with both distributions of every feature")
    drift.add_argument("--open", action="store_true", help="open the page in the browser")
    setting_options(drift)


def _init_verb(verbs: argparse._SubParsersAction[Parser]) -> None:
    init = add(verbs, "init", "write a commented recipe from a look at a folder", "pipeline.cli.init:init")
    init.add_argument("folder", type=Path, help="a folder of media, or a table (Parquet, CSV, TSV, JSONL)")
    init.add_argument("--output", type=Path, default=Path("recipe.yaml"), metavar="FILE", help="where to write it (default: %(default)s)")


def _schedule_verb(verbs: argparse._SubParsersAction[Parser]) -> None:
    about = "run a recipe by its `schedule:`, in the foreground until it is stopped"
    schedule = add(verbs, "schedule", about, "pipeline.cli.scheduling:schedule")
    recipe_options(schedule)
    run_options(schedule)
    instead = schedule.add_mutually_exclusive_group()
    instead.add_argument("--once", action="store_true", help="run what is due now and end; for cron and Kubernetes")
    instead.add_argument("--list", action="store_true", help="show the triggers and when they are due")
    instead.add_argument("--history", type=int, nargs="?", const=20, metavar="N", help="show the last N entries of its log (default: 20)")
    instead.add_argument("--pause", nargs="?", const="", metavar="REASON", help="begin no more runs, on any machine; one that goes on ends")
    instead.add_argument("--resume", action="store_true", help="go on; what passed meanwhile is left out")
    instead.add_argument("--emit", choices=("kubernetes", "crontab"), help="write what runs it there, and run nothing")
    schedule.add_argument("--image", help="with --emit kubernetes: the container image that holds Medley")
    schedule.add_argument("--namespace", default="default", help="with --emit kubernetes (default: %(default)s)")


def _cluster_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    submit = add(verbs, "submit", "run a recipe on a cluster from outside; joins it when it runs already", "pipeline.cli.jobs:submit")
    recipe_options(submit)
    plan_options(submit)
    submit.add_argument("--workers", type=int, metavar="N", help="at most N data tasks at once; changes no output")
    submit.add_argument("--env", action="append", default=[], metavar="NAME", help="pass a variable of this environment to the job")
    submit.add_argument("--include", action="append", default=[], metavar="PATH", help="pack this file or folder beside the recipe as well")
    submit.add_argument("--detach", action="store_true", help="end once the job is submitted, do not follow its log")
    head_options(submit)
    jobs = add(verbs, "jobs", "list the jobs of a cluster", "pipeline.cli.jobs:jobs")
    jobs.add_argument("--all", action="store_true", help="also those that `medley submit` did not start")
    head_options(jobs)
    stop = add(verbs, "stop", "stop a job of a cluster; its finished steps are kept", "pipeline.cli.jobs:stop")
    stop.add_argument("job", help="a job's id, or its beginning")
    head_options(stop)


def _cluster_file_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    parser = verbs.add_parser("cluster", help="start, look at and stop a cluster", description="start, look at and stop a cluster")
    cluster = parser.add_subparsers(title="verbs", metavar="", required=True)
    abouts = {
        "up": "say what a cluster file would start, ask, and start it",
        "status": "show nodes, what is on its way, and what is in use; exit code 1 when it is not up",
        "down": "stop every node of a cluster",
    }
    for name, about in abouts.items():
        verb = add(cluster, name, about, f"pipeline.cli.cluster:{name}")
        verb.add_argument("file", type=Path, nargs="?", default=Path("ray_cluster.yaml"), help="the cluster's file (default: %(default)s)")
        if name != "status":
            verb.add_argument("--yes", action="store_true", help="do not ask")


def _promotion_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    promote = add(verbs, "promote", "decide on a version; with --dry-run only say how, and why", "pipeline.cli.promoting:promote")
    promote.add_argument("what", help="the recipe's YAML file; or NAME/3, by the rules of the last decision")
    promote.add_argument("--dry-run", action="store_true", help="show the decision with all its numbers and write nothing")
    promote.add_argument("--alias", default="champion", help="for NAME/3: the alias it is to get (default: %(default)s)")
    person_options(promote)
    setting_options(promote)
    promote.set_defaults(until=None, strict_code=False, workers=None, address=None)
    approve = add(verbs, "approve", "let a version become what the gate left pending, or not", "pipeline.cli.promoting:approve")
    approve.add_argument("name", help="the registered model")
    approve.add_argument("version", help="its pending version, such as 3")
    approve.add_argument("--reject", action="store_true", help="it does not become it")
    approve.add_argument("--reason", default="", help="why; kept in the promotion log")
    person_options(approve)
    store_option(approve)
    aliases = add(verbs, "aliases", "compare MLflow's aliases with the promotion log, and set them right", "pipeline.cli.promoting:aliases")
    aliases.add_argument("name", help="the registered model")
    aliases.add_argument("--look", action="store_true", help="change nothing; exit code 1 when they differ")
    aliases.add_argument(
        "--adopt", default="", metavar="ALIAS=VERSION", help="put this version in force without the gate, as was done in MLflow"
    )
    aliases.add_argument("--reason", default="", help="why it is adopted; kept in the promotion log")
    person_options(aliases)
    store_option(aliases)


def _trace_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    trace = add(verbs, "trace", "say what a version was made from, or where a sample went", "pipeline.cli.tracing:trace")
    trace.add_argument("what", help="NAME@ALIAS or NAME/3: a version; else the key of a sample")
    trace.add_argument(
        "--samples", action="store_true", help="list the ledger of the shards behind a version: CSV, or JSON lines with --json"
    )
    trace.add_argument("--key", action="store_true", help="take it for the key of a sample, even where it reads as NAME/3")
    trace.add_argument("--tracking", default="", help="MLflow URI, to see whether its aliases agree; default: the store's own database")
    store_option(trace)
    parser = verbs.add_parser("audit", help="check the promotion log", description="check the promotion log")
    audit = parser.add_subparsers(title="verbs", metavar="", required=True)
    about = "find what was edited, deleted or reordered; exit code 1 when something was"
    verify = add(audit, "verify", about, "pipeline.cli.auditing:audit_verify")
    verify.add_argument("name", nargs="?", default="", help="a registered model (default: all)")
    verify.add_argument("--tracking", default="", help="MLflow URI; default: the database inside the store")
    verify.add_argument("--no-tracking", action="store_true", help="do not ask MLflow")
    store_option(verify)


def _store_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    parser = verbs.add_parser("store", help="look after a store", description="look after a store")
    store = parser.add_subparsers(title="verbs", metavar="", required=True)
    about = "hash every file of every artifact again and name what is wrong; exit code 1 when something is"
    verify = add(store, "verify", about, "pipeline.cli.auditing:store_verify")
    verify.add_argument("key", nargs="?", default="", help="only the artifacts whose key begins so (default: all)")
    store_option(verify)
    gc = add(verbs, "gc", "say what the store no longer needs, and delete it with --yes", "pipeline.cli.storing:gc")
    gc.add_argument(
        "--keep-runs", type=int, default=5, metavar="N", help="keep what the last N runs of each recipe made (default: %(default)s)"
    )
    gc.add_argument("--grace-s", type=float, default=3600.0, metavar="SECONDS", help="keep what is younger (default: %(default).0f)")
    gc.add_argument("--yes", action="store_true", help="delete it; without this, nothing is changed")
    store_option(gc)
