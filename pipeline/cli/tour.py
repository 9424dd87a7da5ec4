"""Where to look after the demo."""

from __future__ import annotations

from typing import Any

from pipeline.cli import output
from pipeline.tracking import tracking


def tour(plan: Any) -> None:
    """Print the places that are worth a look, as far as they exist."""
    recipe, medley = plan.graph.recipe, output.program("medley")
    places = []
    for step in plan.steps.values():
        folder = plan.store.artifact_path(step.key)
        if (folder / "report.html").exists():
            places.append(("the report page", str(folder / "report.html")))
        if (folder / "shards.json").exists():
            places.append(("the shards", f"{medley} shards inspect {folder}"))
    if not places:
        return
    output.say("\nWhere to look:")
    places.append(("models and curves", f"{output.program('mlflow')} ui --backend-store-uri {tracking(plan).uri}"))
    places.append(("how it stands", f"{medley} status --store {plan.store.where}"))
    places.append(("run again (cached)", f"{medley} run {recipe.path} --store {plan.store.where}"))
    for about, how in places:
        output.say(f"  {about:<20} {how}")
