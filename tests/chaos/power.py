"""Power cuts: what a disk may hold when the power goes in the middle of a build.

In: the calls of a build, recorded once. Out: folders as a file system may leave them after any prefix of these calls. What was synced is
there; of the rest anything may be missing:

- bytes of a file since its last fsync: all there, none, zeros in their place, or cut off anywhere, in the middle of a write too;
- names in a folder since its last fsync: each there or not, in the order of the calls (as a journal keeps it) or in any other. A rename
  is one change of two folders, as file systems promise: durable when either of them was synced.

Not modelled: a disk that says it has synced and has not, blocks that change by themselves, a file system that breaks.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.calls import Call, Hook

Found = Iterator[tuple[str, int]]
"""Paths and their nodes."""
ROOT = 0
"""The node of the folder itself."""


@dataclass(frozen=True)
class Names:
    """One change of names, whole or not at all: (folder, name, node), None where the name goes."""

    changes: tuple[tuple[int, str, int | None], ...]


@dataclass(frozen=True)
class Bytes:
    """Bytes of a file; with `size` it is cut to that."""

    node: int
    offset: int = 0
    data: bytes = b""
    size: int | None = None

    def on(self, content: bytes) -> bytes:
        if self.size is not None:
            return content[: self.size].ljust(self.size, b"\0")
        return content[: self.offset].ljust(self.offset, b"\0") + self.data + content[self.offset + len(self.data) :]


@dataclass(frozen=True)
class Sync:
    node: int


Operation = Names | Bytes | Sync


class Recorder(Hook):
    """Writes down what changes below a folder, as operations on nodes: a file keeps its node whatever it is called."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.operations: list[Operation] = []
        self.said: list[str] = []
        """What the call of each operation was, for a person."""
        self.folders: dict[int, dict[str, int]] = {ROOT: {}}
        self._next = 1

    def before(self, call: Call) -> None:
        if call.kind in ("sync", "link", "rename", "unlink", "rmdir"):
            self._adopt(call.path, call.kind == "rename")

    def after(self, call: Call) -> None:
        said = f"{call.kind} {call.path}{f' → {call.target}' if call.target else ''}{f' {len(call.data)} bytes' if call.data else ''}"
        match call.kind:
            case "create" | "mkdir" if call.path:
                self._make(call.path, call.kind == "mkdir", said)
            case "write":
                self._add(Bytes(self._node(call.path), call.offset, call.data), said)
            case "truncate":
                self._add(Bytes(self._node(call.path), size=call.size), said)
            case "sync":
                self._add(Sync(self._node(call.path)), said)
            case "link":
                self._add(Names((self._place(call.target, self._node(call.path)),)), said)
            case "rename":
                self._add(Names((self._place(call.path, None), self._place(call.target, self._node(call.path)))), said)
            case "unlink" | "rmdir":
                self._add(Names((self._place(call.path, None),)), said)

    def _make(self, path: str, is_folder: bool, said: str) -> None:
        if self._find(path) is not None:
            self._add(Bytes(self._node(path), size=0), said)
            return
        node, self._next = self._next, self._next + 1
        if is_folder:
            self.folders[node] = {}
        self._add(Names((self._place(path, node),)), said)

    def _adopt(self, path: str, with_all_below: bool) -> None:
        """Take in what came by another way than Python's calls: files that Arrow wrote."""
        real = self.root / path
        if self._find(path) is None and real.exists():
            self._make(path, real.is_dir(), f"found {path}")
            if real.is_file():
                self._add(Bytes(self._node(path), 0, real.read_bytes()), f"found the bytes of {path}")
        if with_all_below and real.is_dir():
            for below in sorted(real.iterdir()):
                self._adopt(f"{path}/{below.name}", with_all_below)

    def _add(self, operation: Operation, said: str) -> None:
        if isinstance(operation, Names):
            for folder, name, node in operation.changes:
                if node is None:
                    self.folders[folder].pop(name, None)
                else:
                    self.folders[folder][name] = node
        self.operations.append(operation)
        self.said.append(said)

    def _place(self, path: str, node: int | None) -> tuple[int, str, int | None]:
        folder, _, name = path.rpartition("/")
        return self._node(folder), name, node

    def _node(self, path: str) -> int:
        node = self._find(path)
        assert node is not None, f"nothing is known of {path}"
        return node

    def _find(self, path: str) -> int | None:
        node: int | None = ROOT
        for part in path.split("/") if path else ():
            node = self.folders.get(node, {}).get(part) if node is not None else None
        return node


@dataclass(frozen=True)
class State:
    """What a disk holds: path → node and bytes, None for a folder."""

    files: Mapping[str, tuple[int, bytes | None]]

    def write(self, folder: Path) -> None:
        """Make it so. What was one file under two names is one again."""
        first: dict[int, Path] = {}
        folder.mkdir(parents=True)
        for path, (node, content) in sorted(self.files.items()):
            if content is None:
                (folder / path).mkdir()
            elif node in first:
                os.link(first[node], folder / path)
            else:
                first[node] = folder / path
                first[node].write_bytes(content)

    def digest(self, without: str = "") -> str:
        """Equal for equal contents under equal names; `without` leaves out what begins so."""
        found = hashlib.sha256()
        for path, (_, content) in sorted(self.files.items()):
            if not (without and path.startswith(without)):
                found.update(f"{path}\0{'folder' if content is None else len(content)}\0".encode() + (content or b""))
        return found.hexdigest()


@dataclass(frozen=True)
class Cut:
    """One power cut: a state, and how it came about."""

    position: int
    """Operations before it."""
    variant: str
    state: State


def cuts(recorder: Recorder, seed: int, num_random: int) -> Iterator[Cut]:
    """After each operation: five plain outcomes, and as many random ones as asked for, each a function of (seed, position)."""
    power = Power(frozenset(recorder.folders))
    for position, operation in enumerate(recorder.operations, 1):
        power.add(operation)
        chance = random.Random(f"{seed} {position}")
        pending = power.unsynced_names
        yield Cut(position, "nothing that was not synced", power.cut([], "lost", chance))
        for how in ("kept", "lost", "zeros", "half"):
            yield Cut(position, f"all names, bytes {how}", power.cut(pending, how, chance))
        for number in range(num_random):
            ordered = pending[: chance.randint(0, len(pending))]
            some = [change for change in pending if chance.random() < 0.5]
            yield Cut(position, f"random {number}", power.cut(ordered if number % 2 else some, "any", chance))


@dataclass
class Power:
    """What is durable and what is not after some operations."""

    folders: frozenset[int]
    """Nodes that are folders."""
    names: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    contents: dict[int, bytes] = field(default_factory=dict)
    unsynced_names: list[Names] = field(default_factory=list)
    unsynced_bytes: dict[int, list[Bytes]] = field(default_factory=dict)

    def add(self, operation: Operation) -> None:
        match operation:
            case Names():
                self.unsynced_names.append(operation)
            case Bytes(node=node):
                self.unsynced_bytes.setdefault(node, []).append(operation)
            case Sync(node=node):
                for change in self.unsynced_bytes.pop(node, ()):
                    self.contents[node] = change.on(self.contents.get(node, b""))
                self._sync_names(node)

    def _sync_names(self, folder: int) -> None:
        left: list[Names] = []
        for change in self.unsynced_names:
            if all(place != folder for place, _, _ in change.changes):
                left.append(change)
                continue
            _apply(change, self.names)
            gone = {(place, name) for place, name, _ in change.changes}
            left = [other for other in left if not {(place, name) for place, name, _ in other.changes} & gone]
        self.unsynced_names = left

    def cut(self, kept: Sequence[Names], how: str, chance: random.Random) -> State:
        """The disk after a power cut that kept these names; `how` says what became of bytes that were not synced."""
        names = {folder: dict(entries) for folder, entries in self.names.items()}
        for change in kept:
            _apply(change, names)
        found = dict(_walk(names, self.folders))
        contents = {node: None if node in self.folders else self._content(node, how, chance) for node in sorted(set(found.values()))}
        return State({path: (node, contents[node]) for path, node in found.items()})

    def _content(self, node: int, how: str, chance: random.Random) -> bytes:
        content, changes = self.contents.get(node, b""), self.unsynced_bytes.get(node, [])
        if how == "any":
            how = chance.choice(("kept", "lost", "zeros", "half", "torn"))
        if how == "lost":
            return content
        if how == "torn" and changes:
            number = chance.randrange(len(changes))
            last = changes[number]
            changes = [*changes[:number], Bytes(node, last.offset, last.data[: chance.randrange(len(last.data) + 1)], last.size)]
        whole = content
        for change in changes:
            whole = Bytes(node, change.offset, bytes(len(change.data)), change.size).on(whole) if how == "zeros" else change.on(whole)
        return whole[: max(len(content), len(whole) // 2)] if how == "half" else whole


def _apply(change: Names, names: dict[int, dict[str, int]]) -> None:
    for folder, name, node in change.changes:
        if node is None:
            names.get(folder, {}).pop(name, None)
        else:
            names.setdefault(folder, {})[name] = node


def _walk(
    names: Mapping[int, Mapping[str, int]], folders: frozenset[int], folder: int = ROOT, above: str = ""
) -> Iterator[tuple[str, int]]:
    for name, node in names.get(folder, {}).items():
        yield f"{above}{name}", node
        if node in folders:
            yield from _walk(names, folders, node, f"{above}{name}/")
