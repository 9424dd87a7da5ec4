"""shards preview: a page with samples, statistics and examples of what was left out."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from pipeline.cli import output
from pipeline.cli.shards import _folder


def preview(arguments: Namespace) -> int:
    """Write the page and say where it is."""
    from tasks.preview.page import write_preview

    shards = _folder(arguments)
    page: Path = (arguments.output or Path(f"shards-{shards.name[:12]}.html")).absolute()
    facts = write_preview(page, shards, split=arguments.split, limit=arguments.limit)
    if arguments.json:
        output.document(facts)
    else:
        output.say(str(page))
    if arguments.open:
        import webbrowser

        webbrowser.open(page.as_uri())
    return 0
