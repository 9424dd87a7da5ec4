"""A page as one file: no link leaves its folder, a content security policy forbids it to load or send anything.

In: a title and what stands on the page. Out: HTML. Style and script are two files beside this one; the policy names their digests, so that
nothing else on the page can ever run. What every page of ours shares is here: its top, its sections.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources

from tasks.evaluation.page.markup import Markup, raw_block, shorten, tag


def heading(kind: str, title: str, lede: str, notes: Sequence[str] = ()) -> Markup:
    """The top of a page."""
    eyebrow = tag("p", _mark(), f"Medley · {kind}", class_="eyebrow")
    return tag("header", eyebrow, tag("h1", shorten(title, 80)), tag("p", lede, class_="lede"), _notes(notes))


def section(title: str, lead: str, content: Markup) -> Markup:
    return tag("section", tag("h2", title), tag("p", lead, class_="lead") if lead else None, content)


def beside(file: str, words: str) -> Markup:
    """A line that leads to another page of the same folder."""
    return tag("p", tag("a", words, href=file), class_="beside")


def document(title: str, body: Markup) -> str:
    """A whole page around `body`."""
    style, script = _own_file("page.css"), _own_file("page.js")
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        raw_block("style", style),
    )
    page = tag("html", head, tag("body", tag("main", body), raw_block("script", script)), lang="en")
    return f"<!doctype html>\n{page}\n"


def _own_file(name: str) -> str:
    return resources.files("tasks.evaluation.page").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"


def listed(names: Sequence[str]) -> str:
    """`audio, image and text`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _notes(notes: Sequence[str]) -> Markup | None:
    if not notes:
        return None
    return tag("ul", [tag("li", shorten(note, 400)) for note in notes[:20]], class_="notes", aria_label="Notes")


def _mark() -> Markup:
    """Three strands that become one."""
    paths = {"one": "M2 4 C9 4 9 10 16 10", "two": "M2 10 H22", "three": "M2 16 C9 16 9 10 16 10"}
    return tag(
        "svg",
        [tag("path", d=path, class_=f"strand {name}") for name, path in paths.items()],
        viewBox="0 0 24 20",
        width=24,
        height=20,
        aria_hidden="true",
    )
