"""The leaderboard as a page, a figure and a table, from the reports of the recipe beside this file.

    python examples/leaderboard/leaderboard.py                          leaderboard.html in the folder where it is called
    python examples/leaderboard/leaderboard.py --readme                 also the table and leaderboard.svg of the README
    python examples/leaderboard/leaderboard.py --partial                with the seeds that are finished

In: the store of the recipe. Nothing is trained here. Models are compared with the one of the lowest validation loss, which was chosen
without a look at the test split.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from drawing import figure, page, table
from numpy.typing import NDArray
from paired import Mean, Paired, compare, holm, mean

from pipeline import build_graph, load_recipe, make_plan, open_store
from pipeline.errors import PipelineError

HERE = Path(__file__).parent
HEAD = "digit"


class Model(NamedTuple):
    """One variant, over all its seeds."""

    placement: str
    """`early`, `late` or `hybrid`; `alone` for a modality alone."""
    name: str
    """The fusion, or the modality."""
    width: int
    parameters: int
    val_losses: dict[int, float]
    right: dict[int, NDArray[np.bool_]]
    """Seed → N, of the test split's samples in order of their keys."""


class Row(NamedTuple):
    """A model as it is shown."""

    model: Model
    accuracy: Mean
    val_loss: float
    against: Paired | None
    """None for the model that the others are compared with."""
    by_seed: float | None
    """Holm's, over all rows."""
    by_sample: float | None


class Board(NamedTuple):
    """All that is shown."""

    rows: list[Row]
    """The best on the test split first."""
    reference: Model
    seeds: list[int]
    num_samples: int
    late_over_single: list[tuple[str, Paired]]
    """What is claimed of late fusion, and what was found."""
    missing: list[str]
    """Steps without a report."""


def read(recipe: Path, store: Path | None, overrides: list[str]) -> tuple[list[Model], NDArray[np.int64], list[str]]:
    """Models with the seeds that are finished, the groups of the samples, and the names of reports that are not there."""
    loaded = load_recipe(recipe, overrides, None, store)
    graph = build_graph(loaded)
    plan = make_plan(graph, open_store(loaded.store))
    models: dict[tuple[str, str], Model] = {}
    missing, keys, groups = [], None, np.zeros(0, dtype=np.int64)
    for name, step in plan.steps.items():
        if step.task != "evaluate":
            continue
        if not step.cached:
            missing.append(name)
            continue
        trained = graph.parents(name)["model"]
        config: Any = graph.recipe.steps[trained].config
        predictions = pq.read_table(plan.store.artifact_path(step.key) / "predictions.parquet").sort_by("key").to_pydict()
        if keys not in (None, predictions["key"]):
            raise SystemExit(f"{name} was measured on other samples than the reports before it; evaluate all on the same shards")
        keys = predictions["key"]
        groups = np.unique(np.asarray(predictions["group"]), return_inverse=True)[1].astype(np.int64)
        alone = len(config.model.encoders) == 1
        kind = next(iter(config.model.encoders)) if alone else config.model.fusion.kind
        placement = "alone" if alone else config.model.placement
        summary = plan.steps[trained].summary
        model = models.setdefault((placement, kind), Model(placement, kind, config.model.width, summary["num_parameters"], {}, {}))
        model.val_losses[config.seed] = summary["val"][HEAD]["loss"]
        model.right[config.seed] = np.asarray(predictions[f"{HEAD}.prediction"]) == np.asarray(predictions[f"{HEAD}.label"])
    return list(models.values()), groups, missing


def board(models: list[Model], groups: NDArray[np.int64], missing: list[str]) -> Board:
    """Every model over the seeds that all of them have."""
    seeds = sorted(set.intersection(*(set(model.right) for model in models)))
    right = [np.stack([model.right[seed] for seed in seeds]) for model in models]
    losses = [float(np.mean([model.val_losses[seed] for seed in seeds])) for model in models]
    fused = [place for place, model in enumerate(models) if model.placement != "alone"]
    best = min(fused, key=lambda place: losses[place])
    against = {place: compare(right[place], right[best], groups) for place in range(len(models)) if place != best}
    by_seed = _adjusted({place: found.by_seed for place, found in against.items()})
    by_sample = _adjusted({place: found.by_sample for place, found in against.items()})
    rows = [
        Row(
            model,
            mean(right[place].astype(np.float64), groups),
            losses[place],
            against.get(place),
            by_seed.get(place),
            by_sample.get(place),
        )
        for place, model in enumerate(models)
    ]
    late_over_single = _late_over_single(models, right, losses, groups)
    ranked = sorted(rows, key=lambda row: -row.accuracy.value)
    return Board(ranked, models[best], seeds, right[0].shape[1], late_over_single, missing)


def _late_over_single(
    models: list[Model], right: list[NDArray[np.bool_]], losses: list[float], groups: NDArray[np.int64]
) -> list[tuple[str, Paired]]:
    """Decision-level fusion, and the late fusion of the lowest validation loss, over the modality that is best on the test split."""
    singles = [place for place, model in enumerate(models) if model.placement == "alone"]
    late = [place for place, model in enumerate(models) if model.placement == "late"]
    if not singles or not late:
        return []
    single = max(singles, key=lambda place: right[place].mean())
    chosen = {"chosen on val": min(late, key=lambda place: losses[place])}
    for place in late:
        if models[place].name == "voting":
            chosen["decision level"] = place
    return [
        (f"late {models[place].name} ({what}) minus {models[single].name} alone", compare(right[place], right[single], groups))
        for what, place in chosen.items()
    ]


def _adjusted(p_values: dict[int, float | None]) -> dict[int, float]:
    known = {place: value for place, value in p_values.items() if value is not None}
    return dict(zip(known, holm(list(known.values())), strict=True))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="leaderboard.py", description="The leaderboard from the reports of its recipe.")
    parser.add_argument("--recipe", type=Path, default=HERE / "recipe.yaml")
    parser.add_argument("--store", type=Path, default=None, help="the store, where it is not the recipe's")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", dest="overrides", help="as for `medley run`")
    parser.add_argument("--out", type=Path, default=Path("leaderboard.html"))
    parser.add_argument("--partial", action="store_true", help="go on without the reports that are not there yet")
    parser.add_argument("--readme", action="store_true", help="write leaderboard.svg and the table of README.md anew")
    options = parser.parse_args(arguments)
    try:
        models, groups, missing = read(options.recipe, options.store, options.overrides)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if missing and not options.partial:
        print(
            f"error: {len(missing)} reports are not in the store, the first is {missing[0]}; run `medley run {options.recipe}`, or give "
            "--partial for those that are there",
            file=sys.stderr,
        )
        return 2
    if not any(model.placement != "alone" for model in models):
        print(f"error: the store has no report of a fused model yet; run `medley run {options.recipe}`", file=sys.stderr)
        return 2
    found = board(models, groups, missing)
    options.out.write_text(page(found), encoding="utf-8")
    if options.readme:
        (HERE / "leaderboard.svg").write_text(figure(found, standalone=True), encoding="utf-8")
        _fill(HERE / "README.md", table(found))
    print(f"{options.out}: {len(found.rows)} models, seeds {', '.join(map(str, found.seeds))}, {found.num_samples} test samples")
    print(json.dumps({f"{row.model.placement} {row.model.name}": [round(number, 4) for number in row.accuracy] for row in found.rows}))
    return 0


def _fill(readme: Path, text: str) -> None:
    """Between the two marks of the README."""
    begin, end = "<!-- results: written by leaderboard.py -->", "<!-- end of results -->"
    before, _, rest = readme.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    readme.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
