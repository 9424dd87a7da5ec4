"""What drawing an SVG would cost, before it is drawn.

In: a checked tree. Out: nothing, or BadMember. A few hundred bytes can ask for a billion shapes, when each of ten groups uses the next one
ten times; so references are followed, and what they unfold to is counted, in shapes and in layers. Cost by pixel is for the renderer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.errors import BadMember
from tasks.modalities.svg_document import Element

MAX_SHAPES = 50_000
"""Elements once every reference is followed. Drawn over 512 x 512 pixels, one takes 0.1 ms, 0.7 ms when it is translucent."""
MAX_LAYERS = 20_000
"""Passes over the picture: groups with an opacity, masks, clips, steps of filters. One over 512 x 512 pixels takes about 1.5 ms."""
PASSES = {
    "feGaussianBlur": 60,
    "feDropShadow": 60,
    "feDiffuseLighting": 10,
    "feSpecularLighting": 10,
    "feTurbulence": 50,
}
"""Step of a filter → passes it takes as long as; of turbulence, an octave."""
MAX_DEPTH = 96
"""Elements inside one another once every reference is followed."""
LAYERING = ("opacity", "mask", "clip-path", "filter", "mix-blend-mode", "isolation")
HEAVY = frozenset({"pattern", "mask", "clipPath", "filter", "marker"})
MARKERS = ("marker", "marker-start", "marker-mid", "marker-end")

_NAMED = re.compile(r"url\s*\(\s*['\"]?\s*#([^'\")]+)", re.IGNORECASE)
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_DECLARATION = re.compile(r"([\w-]+)\s*:\s*([^;]*)")


@dataclass(frozen=True)
class Cost:
    """Of an element and all that it holds and refers to."""

    shapes: int
    layers: int
    depth: int


def check_cost(root: Element) -> None:
    """BadMember `image/too_large`, or `image/corrupt` when something refers to itself."""
    elements = list(_walk(root))
    named = {element.attributes["id"]: element for element in reversed(elements) if "id" in element.attributes}
    sheets = " ".join(element.text for element in elements if element.name == "style")
    shared = [named[name] for name in sorted(set(_NAMED.findall(sheets))) if name in named and named[name].name in HEAVY]
    cost = _Costs(named, shared, any(f"{name}:" in sheets.replace(" ", "") for name in LAYERING)).of(root, 1)
    if cost.shapes > MAX_SHAPES:
        raise BadMember("image/too_large", f"the SVG unfolds to {cost.shapes} shapes; at most {MAX_SHAPES} are drawn")
    if cost.layers > MAX_LAYERS:
        raise BadMember("image/too_large", f"the SVG asks for {cost.layers} layers and filter steps; at most {MAX_LAYERS} are drawn")


class _Costs:
    """Costs of elements, each found once."""

    def __init__(self, named: dict[str, Element], shared: list[Element], layered: bool) -> None:
        self._named, self._shared, self._layered = named, shared, layered
        self._known: dict[int, Cost] = {}
        self._open: set[int] = set()

    def of(self, element: Element, depth: int) -> Cost:
        known = self._known.get(id(element))
        if known is None:
            if id(element) in self._open:
                raise BadMember("image/corrupt", f"in the SVG, {element.name} {element.attributes.get('id', '')!r} refers to itself")
            self._open.add(id(element))
            known = self._known[id(element)] = self._sum(element, depth)
            self._open.discard(id(element))
        if depth + known.depth > MAX_DEPTH:
            raise BadMember("image/too_large", f"the SVG unfolds to more than {MAX_DEPTH} elements inside one another")
        return known

    def _sum(self, element: Element, depth: int) -> Cost:
        if depth > MAX_DEPTH:
            raise BadMember("image/too_large", f"the SVG unfolds to more than {MAX_DEPTH} elements inside one another")
        properties = _properties(element)
        shapes, layers, below = 1, _own_layers(element, properties) + self._layered, 0
        for child in element.children:
            cost = self.of(child, depth + 1)
            shapes, layers, below = shapes + cost.shapes, layers + cost.layers, max(below, cost.depth)
        for target, times in self._targets(element, properties):
            cost = self.of(target, depth + 1)
            shapes, layers, below = shapes + times * cost.shapes, layers + times * cost.layers, max(below, cost.depth)
        return Cost(shapes, layers, below + 1)

    def _targets(self, element: Element, properties: dict[str, str]) -> Iterator[tuple[Element, int]]:
        """What an element refers to, and how often that is drawn: a marker at every corner of a path."""
        corners = len(_NUMBER.findall(properties.get("d", "") + properties.get("points", ""))) // 2 + 2
        for name, value in properties.items():
            references = [value[1:]] if name == "href" and value[:1] == "#" else _NAMED.findall(value)
            for reference in references:
                if reference in self._named:
                    yield self._named[reference], corners if name in MARKERS else 1
        if element.name not in HEAVY and not element.name.startswith("fe"):
            for target in self._shared:
                if target.name != "marker" or "d" in properties or "points" in properties:
                    yield target, corners if target.name == "marker" else 1


def _walk(element: Element) -> Iterator[Element]:
    yield element
    for child in element.children:
        yield from _walk(child)


def _properties(element: Element) -> dict[str, str]:
    """Attributes, and the declarations of `style` over them."""
    found = dict(element.attributes)
    found.update(_DECLARATION.findall(found.pop("style", "")))
    return found


def _own_layers(element: Element, properties: dict[str, str]) -> int:
    """Passes over the picture that an element needs by itself."""
    if element.name == "feMorphology":
        raise BadMember("image/svg_filter", "the SVG has a filter with feMorphology, which takes minutes where its radius is large")
    if element.name == "feTurbulence":
        return PASSES[element.name] * _number(element, "numOctaves", 1)
    if element.name == "feConvolveMatrix":
        return 5 + _number(element, "order", 3) ** 2
    if element.name.startswith("fe"):
        return PASSES.get(element.name, 5)
    return sum(properties.get(name, "1").strip() not in {"1", "none", "normal", "auto", "1.0"} for name in LAYERING)


def _number(element: Element, name: str, default: int) -> int:
    """The largest number of an attribute, rounded up, at most a million."""
    numbers = [float(text) for text in _NUMBER.findall(element.attributes.get(name, ""))]
    return math.ceil(min(max(numbers, default=default), 1e6))
