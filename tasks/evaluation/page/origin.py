"""Where the model comes from and how to make it again: the graph, the keys, the commands, the recipe."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from tasks.evaluation.page.dag import dag
from tasks.evaluation.page.markup import Markup, join, shorten, tag

MAX_RECIPE = 20_000

Report = Mapping[str, Any]


def origin_section(report: Report, recipe_text: str) -> Markup:
    lineage = report["lineage"]
    graph = None
    if lineage["steps"]:
        graph = tag(
            "div", dag(lineage["steps"], lineage["step"]), class_="scroll graph", role="region", tabindex=0, aria_label="Graph of the run"
        )
    return join(graph, tag("div", _identity(report), _again(report, recipe_text), class_="pair even"), _recipe(recipe_text))


def _identity(report: Report) -> Markup:
    lineage, baseline = report["lineage"], report["baseline"]
    parameters = report["model"]["num_parameters"]
    entries = [
        ("Run", lineage["run"]),
        ("This report", lineage["key"]),
        ("Model", report["model"]["key"]),
        ("Parameters", f"{parameters:,}" if parameters else ""),
        ("Shards", report["shards"]["key"]),
        ("Baseline", f"{baseline['reference']}  {baseline['key']}" if baseline else ""),
        ("Code revision", lineage["code_revision"]),
        ("Seed", str(report["seed"])),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in sorted(lineage["libraries"].items()) if version)),
    ]
    return tag(
        "div",
        tag("h3", "Identity"),
        tag("dl", [join(tag("dt", name), tag("dd", tag("code", shorten(value, 900)))) for name, value in entries if value], class_="facts"),
    )


def _again(report: Report, recipe_text: str) -> Markup:
    lineage = report["lineage"]
    file = f"{lineage['recipe']}.yaml" if recipe_text and lineage["recipe"] else "recipe.yaml"
    file, step = shlex.quote(file), shlex.quote(lineage["step"] or "report")
    lines = [f"medley plan {file}", f"medley run {file} --until {step}"]
    return tag(
        "div",
        tag("h3", "Make it again"),
        tag(
            "p",
            "The same sources, recipe and seed give the same keys; a step whose key is in the store is not run again, and the plan says "
            "where code or libraries differ from those named here. ",
            f"Save the recipe below as {file}, in a folder where its source paths hold." if recipe_text else "",
            class_="prose",
        ),
        tag("pre", tag("code", "\n".join(lines)), tabindex=0),
    )


def _recipe(recipe_text: str) -> Markup | None:
    if not recipe_text:
        return None
    return tag("details", tag("summary", "The recipe"), tag("pre", tag("code", shorten(recipe_text, MAX_RECIPE)), tabindex=0))
