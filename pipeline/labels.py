"""What variants are called, and long families in one line.

In: what a variant sets. Out: a name such as `model[fusion.kind=concat,seed=0]`, which is also a file's name; and back from such a name
to its family. Imports nothing of ours.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

FOLD_ABOVE = 8
"""Members of a family that are listed one by one; more of them are one line."""
_MAX_LABEL = 120
"""Characters; a step's name is also a file name."""


def label(sets: Mapping[str, Any], paths: Sequence[str]) -> str:
    """`fusion.kind=concat,seed=0`: what a variant sets, on one short line. `paths` are those of all its siblings."""
    text = ",".join(f"{_tail(key, paths)}={_shown(value)}" for key, value in sets.items()) or "as-is"
    return text if len(text) <= _MAX_LABEL else f"{text[: _MAX_LABEL - 7]}~{_digest(text, 6)}"


def _tail(key: str, paths: Sequence[str]) -> str:
    """The last two parts of a path, or as many as tell it from its siblings."""
    keys = key.split(".")
    for length in range(2, len(keys)):
        tail = ".".join(keys[-length:])
        if not any(other != key and f".{other}".endswith(f".{tail}") for other in paths):
            return tail
    return key


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and isinstance(value.get("kind"), str):
        kind = _shown(value["kind"])
        return kind if len(value) == 1 else f"{kind}~{_digest(value, 4)}"
    if isinstance(value, list) and value and not any(isinstance(item, list | Mapping) for item in value):
        return "-".join(map(_shown, value))
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    plain = re.sub(r"[^A-Za-z0-9_.+-]+", "_", text)[:32].strip("_")
    return plain if plain == text else f"{plain}~{_digest(value, 4)}"


def _digest(value: Any, length: int) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:length]


def family_of(name: str) -> str:
    """The step of the recipe behind a step's name."""
    return name.partition("[")[0]


def label_of(name: str) -> str:
    """What stands in the brackets of a step's name."""
    return name.partition("[")[2].removesuffix("]")


def in_list(key: str) -> bool:
    """Whether an input is an entry of a list, `shards[0]`, and not a variant of a family."""
    return label_of(key).isdigit()


def folded(names: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names in lines: `model × 24` with its members for a long family, else each by itself."""
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(family_of(name), []).append(name)
    for name in names:
        family = members[family_of(name)]
        if len(family) <= FOLD_ABOVE:
            yield name, (name,)
        elif name == family[0]:
            yield f"{family_of(name)} × {len(family)}", tuple(family)
