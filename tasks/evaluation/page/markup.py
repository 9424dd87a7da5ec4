"""HTML and SVG elements as strings, escaped unless proven to be markup.

`tag` is the only place where text becomes markup, so a label or caption can never become an element: whatever is not a `Markup` is
escaped, attributes always are. Control characters and lone surrogates become U+FFFD, which keeps the file valid UTF-8.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TypeAlias


class Markup(str):
    """A string that is markup already. Made by `tag` and `join` alone."""

    __slots__ = ()


Child: TypeAlias = "str | int | float | Iterable[Child] | None"
Attribute: TypeAlias = "str | int | float | bool | None"

_VOID = frozenset({"br", "hr", "img", "link", "meta", "wbr"})
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def escape(text: str) -> Markup:
    return Markup(html.escape(_UNPRINTABLE.sub("\ufffd", text), quote=True))


def join(*children: Child) -> Markup:
    """Children one after the other; None is left out, iterables are flattened."""
    return Markup("".join(_pieces(children)))


def tag(element: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """One element. `class_` is class, other underscores are hyphens; None and False leave an attribute out, True gives it no value."""
    opening = "".join([element, *(_attribute(key, value) for key, value in attributes.items())])
    if element in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{join(*children)}</{element}>")


def raw_block(name: str, content: str) -> Markup:
    """A `style` or `script` element around our own text, which must not hold a closing tag."""
    assert "</" not in content, f"{name} would be closed early"
    return Markup(f"<{name}>{content}</{name}>")


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, an ellipsis standing for the rest."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _pieces(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, str):
            yield escape(child)
        elif isinstance(child, int | float):
            yield _number(child)
        else:
            yield from _pieces(child)


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{_number(value) if isinstance(value, int | float) else escape(value)}"'


def _number(value: float) -> str:
    """At most two decimals: a hundredth of a pixel is enough."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
