"""An SVG as a tree of what is drawn, with nothing in it that leads out of the file.

In: bytes of unknown worth. Out: elements of SVG with attributes of SVG; or BadMember. The tree, not the file, is what gets rendered, so
that no other parser's opinion of the file matters. Left out because they draw nothing: comments, metadata, animations, links' targets,
other namespaces. Left out because it would differ between machines: text, which needs fonts. Refused because the picture would not be
what its author saw: scripts, HTML inside, references to files and addresses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat  # never resolves an external entity, and entities of the file's own are refused below

from tasks.errors import BadMember

SVG, XLINK, XML = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink", "http://www.w3.org/XML/1998/namespace"
MAX_BYTES = 16_000_000
MAX_ELEMENTS = 100_000
MAX_DEPTH = 64
"""Elements inside one another; each may cost a layer of the picture's size."""

# fmt: off
DRAWN = frozenset((
    "svg", "g", "defs", "symbol", "use", "switch", "a", "style", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon",
    "image", "linearGradient", "radialGradient", "stop", "pattern", "clipPath", "mask", "marker", "filter", "feBlend", "feColorMatrix",
    "feComponentTransfer", "feComposite", "feConvolveMatrix", "feDiffuseLighting", "feDisplacementMap", "feDistantLight", "feDropShadow",
    "feFlood", "feFuncA", "feFuncB", "feFuncG", "feFuncR", "feGaussianBlur", "feImage", "feMerge", "feMergeNode", "feMorphology",
    "feOffset", "fePointLight", "feSpecularLighting", "feSpotLight", "feTile", "feTurbulence",
))
# fmt: on
EMBEDDING = frozenset({"image", "feImage"})
"""Elements that may hold a picture as a `data:` address; what it holds is for the renderer to check."""

_ADDRESS = re.compile(r"url\s*+\(\s*+(?!['\"]?\s*#)([^)]{0,60})", re.IGNORECASE)
_TRUNCATED = frozenset({3, 5})
"""expat: no element found, unclosed token."""


@dataclass
class Element:
    """An element that is drawn, or that drawn ones refer to."""

    name: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    text: str = ""
    """Of `style` alone."""


def looks_like_xml(data: bytes) -> bool:
    """A `<` comes first, after a byte-order mark and white space."""
    start = data[:256].removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith((b"<", b"\xff\xfe<\x00", b"\xfe\xff\x00<"))


def parse_svg(data: bytes) -> Element:
    """BadMember `image/format|truncated|corrupt|too_large`, `image/svg_entities|svg_external|svg_script|svg_html`."""
    if len(data) > MAX_BYTES:
        raise BadMember("image/too_large", f"an SVG of {len(data)} bytes; at most {MAX_BYTES} are read")
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    parser.EntityDeclHandler = _refuse_entity
    parser.SkippedEntityHandler = _refuse_skipped
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise BadMember("image/truncated" if error.code in _TRUNCATED else "image/corrupt", f"not well-formed XML: {error}") from error
    except (LookupError, UnicodeError) as error:  # an encoding that Python does not know
        raise BadMember("image/corrupt", f"the encoding of the SVG: {error}") from error
    assert builder.root is not None, "expat reports a document without elements"
    return builder.root


class _Builder:
    """What expat calls."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._left_out = 0
        """Elements open inside of one that is left out, that one included."""
        self._count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise BadMember("image/too_large", f"the SVG has more than {MAX_ELEMENTS} elements")
        if len(self._open) + self._left_out >= MAX_DEPTH:
            raise BadMember("image/too_large", f"the SVG has more than {MAX_DEPTH} elements inside one another")
        namespace, _, name = tag.rpartition(" ")
        if self.root is None and (namespace, name) != (SVG, "svg"):
            raise BadMember("image/format", f"XML whose first element is {name!r} of {namespace or 'no namespace'}, not `svg` of {SVG}")
        if self._left_out or namespace != SVG or name not in DRAWN:
            if not self._left_out and namespace == SVG:
                self._refuse_active(name)
            self._left_out += 1
            return
        element = Element(name, _attributes(name, attributes))
        if self.root is None:
            self.root = element
        else:
            self._open[-1].children.append(element)
        self._open.append(element)

    def end(self, tag: str) -> None:
        del tag
        if self._left_out:
            self._left_out -= 1
            return
        element = self._open.pop()
        if element.name == "style":
            _check_css(element.text, "style")

    def characters(self, text: str) -> None:
        if not self._left_out and self._open[-1].name == "style":
            self._open[-1].text += text

    def _refuse_active(self, name: str) -> None:
        """Illustrator puts its own copy of a picture into a `foreignObject`, with the SVG beside it in a `switch`: that one is left out."""
        if name == "script":
            raise BadMember("image/svg_script", "the SVG holds a script, which is never run; save it as a picture without one")
        if name == "foreignObject" and self._open[-1].name != "switch":
            raise BadMember("image/svg_html", "the SVG holds a `foreignObject`, whose content is no SVG; save it as plain SVG")


def _attributes(element: str, given: dict[str, str]) -> dict[str, str]:
    """Those of SVG, checked; `xlink:href` is called `href`."""
    kept = {}
    for tag, value in given.items():
        namespace, _, name = tag.rpartition(" ")
        if name == "href" and namespace in {"", XLINK}:
            if element != "a" and value.strip() and (not namespace or " href" not in kept):
                kept["href"] = _reference(element, value.strip())
        elif not namespace and not name.startswith("on"):
            _check_css(value, f"{element} {name}")
            kept[name] = value
        elif namespace == XML and name == "space":
            kept["xml:space"] = value
    return kept


def _reference(element: str, value: str) -> str:
    if value.startswith("#") or (element in EMBEDDING and value[:5].lower() == "data:"):
        return value
    raise _external(f"{element} href={value[:60]!r}")


def _check_css(text: str, where: str) -> None:
    """Style sheets and attributes: no address but `#name`, nothing imported, and no escapes that could hide either."""
    found = _ADDRESS.search(text)
    if found:
        raise _external(f"{where}: url({found[1]})")
    lowered = text.lower()
    if "@import" in lowered:
        raise _external(f"{where}: @import")
    if "\\" in text and ("style" in where or "(" in text):
        raise _external(f"{where}: a backslash, which can hide an address")


def _external(detail: str) -> BadMember:
    return BadMember("image/svg_external", f"{detail}: nothing outside of the SVG is read; put what it needs into the file itself")


def _refuse_entity(name: str, *rest: object) -> None:
    del rest
    raise BadMember("image/svg_entities", f"the SVG declares the entity {name!r}; save it as plain SVG, without a DOCTYPE of its own")


def _refuse_skipped(name: str, *rest: object) -> None:
    del rest
    raise BadMember("image/svg_entities", f"the SVG uses the entity {name!r}, which is declared somewhere else")
