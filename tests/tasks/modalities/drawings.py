"""SVGs made for tests."""

from __future__ import annotations

XLINK = 'xmlns:xlink="http://www.w3.org/1999/xlink"'


def svg(body: str = "", size: str = 'width="80" height="60"', more: str = XLINK) -> bytes:
    """A document around `body`."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" {more} {size}>{body}</svg>'.encode()


def rect(more: str = 'fill="#ff0000"') -> str:
    return f'<rect width="80" height="60" {more}/>'
