"""drift: new data beside what a model was trained on."""

from __future__ import annotations

import math
import sys
from argparse import Namespace
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.cli import output
from pipeline.errors import RecipeError

DRIFTED = 3


def drift(arguments: Namespace) -> int:
    """Exit 0 when nothing moved, 3 when something did."""
    from pipeline.drift import Asked, run
    from pipeline.drift_sides import RecipeOptions
    from tasks.drift.compare import Settings

    asked = Asked(
        split=arguments.split,
        against_split=arguments.against_split,
        modalities=tuple(filter(None, arguments.modalities.split(","))),
        samples=arguments.samples,
        embeddings=not arguments.no_embeddings,
        since=_since(arguments.since),
    )
    settings = Settings(arguments.alpha, arguments.level, arguments.seed)
    options = RecipeOptions(arguments.step, tuple(arguments.set), arguments.limit)
    found = run(arguments.reference, arguments.against, asked, settings, arguments.store, options)
    page = _page(arguments, found)
    if arguments.json:
        output.document(_document(found, page))
    else:
        _say(found, page)
    return DRIFTED if found.comparison.moved else 0


def _since(text: str) -> datetime | None:
    if not text:
        return None
    try:
        since = datetime.fromisoformat(text)
    except ValueError as error:
        raise RecipeError(f"--since {text}: not a time; write it as 2026-03-01 or 2026-03-01T09:30:00+01:00") from error
    return since if since.tzinfo else since.replace(tzinfo=UTC)


def _page(arguments: Namespace, found: Any) -> Path | None:
    if not (arguments.page or arguments.open):
        return None
    from tasks.drift.page import write_page

    path: Path = (arguments.page or Path("drift.html")).absolute()
    try:
        write_page(path, found.comparison, found.sketches, found.reference.name, found.new.name, found.notes)
    except OSError as error:
        raise RecipeError(f"{path} cannot be written ({error.strerror}); name another file with --page") from error
    if arguments.open:
        import webbrowser

        webbrowser.open(path.as_uri())
    return path


def _say(found: Any, page: Path | None) -> None:
    from tasks.drift.words import headline, sentences

    comparison = found.comparison
    first, second = comparison.sizes
    output.say(headline(comparison))
    output.say(f"  {output.count(second)} samples of {found.new.name} beside {output.count(first)} of {found.reference.name}\n")
    for line in sentences(comparison):
        output.say(line)
    for note in found.notes:
        sys.stderr.write(f"note: {note}\n")
    if page is not None:
        output.say(f"\n{page}")


def _document(found: Any, page: Path | None) -> dict[str, Any]:
    from tasks.drift.sketch import described
    from tasks.drift.words import headline, sentence

    comparison = found.comparison
    groups = {
        group: {
            "moved": group in comparison.moved,
            "effect": comparison.effect(group),
            "words": sentence(comparison, group),
            "tests": [_plain(asdict(test)) for test in comparison.of(group)],
        }
        for group in comparison.groups
    }
    return {
        "drifted": bool(comparison.moved),
        "words": headline(comparison),
        "moved": list(comparison.moved),
        "reference": {
            "name": found.reference.name,
            "shards": [side.key for side in found.reference.shards],
            "samples": comparison.sizes[0],
        },
        "new": {"name": found.new.name, "kind": found.new.kind, "samples": comparison.sizes[1], **found.facts},
        "alpha": comparison.settings.alpha,
        "level": comparison.settings.level,
        "seed": comparison.settings.seed,
        "groups": groups,
        "sketches": [_plain(described(sketch)) for sketch in found.sketches],
        "notes": list(found.notes),
        "page": str(page) if page else "",
    }


def _plain(value: Any) -> Any:
    """JSON knows no nan."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
