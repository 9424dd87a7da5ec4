"""The samples of a tar, and what of it is none.

In: a path. Out: groups of members as the webdataset library makes them, and what can't be read, each with its reason. The headers of a tar
are walked to its end before its first sample is given, at about 1 kB a sample: only then is it known whose members are in two places.

What is a sample is for the webdataset library to say (`base_plus_ext`, `group_by_keys`). It opens and decodes nothing here: its own tar
reader gives bytes and no offsets, so the headers are walked in `tar_members` and the library groups places instead of bytes. It
runs in its secure mode all the same, for as long as it is used and without a change to the environment.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tasks.sources.tar_members import Member, Refused, members

META = re.compile(r"__[^/]*__($|/)")
"""Names that the library keeps for itself and passes over."""
APART = ("source/outside", "source/name")
"""Reasons for which a member's name says of no sample that it is part of it."""


@dataclass(frozen=True, slots=True)
class TarSample:
    """Members that share a name, or something that is no sample."""

    key: str
    """Empty for what belongs to no sample."""
    members: Mapping[str, Member] = field(default_factory=dict)
    """By extension, in lower case; each may be refused for itself."""
    refused: Refused | None = None
    """Why none of it is read."""
    offset: int = 0
    """Where in the tar a refused one begins."""


def samples(path: Path, ignored: Counter[str]) -> Iterator[TarSample]:
    """Every sample of a tar, then what was refused in it. Files without extension are counted in `ignored`."""
    from webdataset.tariterators import group_by_keys

    groups, refused = _groups(path, ignored)
    places = Counter(key for key, _ in groups)
    whole = [(key, _once(path, key, group)) for key, group in groups if places[key] == 1]
    with _secure():
        for sample in group_by_keys(_files(path, whole)):
            key = str(sample["__key__"])
            yield TarSample(key, {name: value for name, value in sample.items() if not name.startswith("__")})
    yield from _scattered(path, groups, places)
    yield from (TarSample("", refused=member.refused, offset=member.offset) for member in refused)


Group = list[tuple[str, Member]]
"""Extension, in lower case, and member, of some that stand side by side."""
Groups = list[tuple[str, Group]]
"""Each with its key."""


def _groups(path: Path, ignored: Counter[str]) -> tuple[Groups, list[Member]]:
    """What stands together, and refused members that belong to no sample."""
    from webdataset.tariterators import base_plus_ext

    groups: Groups = []
    refused: list[Member] = []
    for member in members(path):
        if member.refused and (not member.name or member.refused.reason in APART):
            refused.append(member)
            continue
        if META.match(member.name):
            continue
        key, extension = base_plus_ext(member.name)
        if key is None and member.refused:
            refused.append(member)
        elif key is None:
            ignored[""] += 1
        elif groups and groups[-1][0] == key:
            groups[-1][1].append((extension.lower(), member))
        else:
            groups.append((key, [(extension.lower(), member)]))
    return groups, refused


def _once(path: Path, key: str, group: Group) -> Group:
    """A sample's members, each extension once: of several with one, nobody knows which is meant."""
    found = dict(group)
    if len(found) == len(group):
        return group
    first: dict[str, Member] = {}
    for extension, member in group:
        before = first.setdefault(extension, member)
        if before is not member:
            why = f"{path}: {before.name!r} and {member.name!r} are one member of the sample {key!r}; rename or remove one"
            found[extension] = replace(before, refused=Refused("source/twice", why))
    return list(found.items())


def _scattered(path: Path, groups: Groups, places: Mapping[str, int]) -> Iterator[TarSample]:
    """One for each sample whose members are in two places."""
    seen: dict[str, Group] = {}
    why: dict[str, str] = {}
    for number, (key, group) in enumerate(groups):
        if key in seen and key not in why:
            places_of = f"{group[0][1].name!r} comes after others of {groups[number - 1][0]!r}"
            why[key] = (
                f"{path}: the members of {key!r} are in two places ({places_of}), so that readers would make two samples of it; "
                "pack the tar again with `tar --sort=name`"
            )
        if places[key] > 1:
            seen.setdefault(key, []).extend(group)
    for key, found in seen.items():
        refused = Refused("source/two_places", why[key])
        yield TarSample(key, {name: replace(member, refused=refused) for name, member in found}, refused, found[0][1].offset)


def _files(path: Path, groups: Groups) -> Iterator[dict[str, Any]]:
    """Members as the library's grouping takes them."""
    place = str(path)
    for _, group in groups:
        yield from ({"fname": member.name, "data": member, "__url__": place} for _, member in group)


@contextmanager
def _secure() -> Iterator[None]:
    """The webdataset library refuses commands, pickles and downloads meanwhile, as with WDS_SECURE=1."""
    from webdataset import utils

    before, utils.enforce_security = utils.enforce_security, True
    try:
        yield
    finally:
        utils.enforce_security = before
