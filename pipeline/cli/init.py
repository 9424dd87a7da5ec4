"""init: a commented recipe from a look at a folder."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from pipeline.cli import output
from pipeline.errors import RecipeError


def init(arguments: Namespace) -> int:
    """Look, write, check what was written, say what was seen."""
    from pipeline.draft.choose import choose
    from pipeline.draft.survey import survey
    from pipeline.draft.write import recipe_text

    path: Path = arguments.output
    _refuse_existing(path)
    seen = survey(arguments.folder)
    plan = choose(seen)
    text = recipe_text(seen, plan, path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        _refuse_existing(path)
    except OSError as error:
        raise RecipeError(f"{path} cannot be written ({error.strerror}); name another file with --output") from error
    _checked(path)
    if arguments.json:
        output.document(_document(seen, plan, path))
    else:
        _say(seen, path)
    for note in plan.notes:
        sys.stderr.write(f"{note}\n")
    return 0


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise RecipeError(f"{path} is there already and is left as it is; name another file with --output, or move it away")


def _checked(path: Path) -> None:
    from pipeline import graph as graphs
    from pipeline import recipe

    graphs.build(recipe.load(path))


def _say(seen: Any, path: Path) -> None:
    has = ", ".join(f"{name} in {output.count(number)}" for name, number in seen.modalities.items())
    output.say(f"{seen.source.path}: {output.count(seen.records)} records, {output.size(seen.num_bytes)}; {has}")
    for name, classes in seen.labels.items():
        output.say(f"label {name}: {f'{len(classes):,} classes' if classes else 'a number'}")
    for note in seen.notes:
        output.say(f"note: {note}")
    shown = os.path.relpath(path) if path.absolute().is_relative_to(Path.cwd()) else path
    output.say(
        f"wrote {shown}, a first recipe with a comment on every guess; next:\n  medley plan {shown}\n  medley run {shown} --limit 200"
    )


def _document(seen: Any, plan: Any, path: Path) -> dict[str, Any]:
    return {
        "recipe": str(path.absolute()),
        "source": seen.source.model_dump(mode="json"),
        "records": seen.records,
        "bytes": seen.num_bytes,
        "modalities": dict(seen.modalities),
        "labels": {name: {"kind": "category" if classes else "number", "classes": classes} for name, classes in seen.labels.items()},
        "splits": dict(seen.splits),
        "ignored": dict(seen.ignored),
        "columns": [{"column": column.name, "role": column.role, "about": column.about} for column in seen.columns],
        "notes": [*seen.notes, *plan.notes],
    }
