"""Every call of this process that touches the disk below a folder, in the hands of a test.

In: a folder and a `Hook`. Out: `os` and `open` as they are, except that the hook is asked before each call below the folder, and told
after it. Python's own calls all come by here, whoever makes them: the store, `pathlib`, `shutil`, logging, and Parquet through `open`. What
Arrow writes by itself to a path does not; `tests/chaos/power.py` finds such files when they are synced or moved.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WRITES = {"create", "write", "sync", "link", "rename", "unlink", "mkdir", "rmdir", "chmod", "truncate"}


@dataclass(frozen=True)
class Call:
    """One call, before or after it was made."""

    kind: str
    """open (for reading), or one of WRITES."""
    path: str
    """Relative to the folder."""
    target: str = ""
    """Of link and rename."""
    offset: int = 0
    data: bytes = b""
    """What is written at `offset`."""
    size: int = 0
    """Of truncate."""


GONE = -1
"""What a hook returns for a write of a process that is dead: nothing is written, and Python's buffers are content."""


class Hook:
    """Looks on. `before` may raise instead of the call; for a write it may return how many bytes are to be written, or GONE."""

    def before(self, call: Call) -> int | None:
        return None

    def after(self, call: Call) -> None: ...


@contextlib.contextmanager
def watched(root: Path, hook: Hook) -> Iterator[None]:
    """For the length of a block, every call below `root` goes through the hook."""
    around = _Around(os.path.realpath(root), hook)
    kept = {(module, name): getattr(module, name) for module, name in _PATCHED}
    try:
        for (module, name), real in kept.items():
            setattr(module, name, getattr(around, f"{name}_" if module is os else "stream")(real))
        yield
    finally:
        for (module, name), real in kept.items():
            setattr(module, name, real)


_OS = ("open", "write", "pwrite", "fsync", "ftruncate", "link", "rename", "replace", "unlink", "remove", "mkdir", "rmdir", "chmod")
_PATCHED: list[tuple[Any, str]] = [*((os, name) for name in _OS), (io, "open"), (builtins, "open")]


class _Around:
    def __init__(self, root: str, hook: Hook) -> None:
        self.root, self.hook = root + os.sep, hook

    def below(self, path: Any, dir_fd: int | None = None) -> str | None:
        """The path relative to the folder, or None when it is elsewhere."""
        if isinstance(path, int):
            try:
                full = os.readlink(f"/proc/self/fd/{path}")
            except OSError:
                return None
        else:
            base = os.readlink(f"/proc/self/fd/{dir_fd}") if dir_fd is not None else os.getcwd()
            full = os.path.normpath(os.path.join(base, os.fspath(path)))
        return full[len(self.root) :] if isinstance(full, str) and (full + os.sep).startswith(self.root) else None

    def around(self, call: Call, act: Callable[[], Any]) -> Any:
        self.hook.before(call)
        result = act()
        self.hook.after(call)
        return result

    def written(self, path: str, offset: int, data: bytes, act: Callable[[bytes], int]) -> int:
        few = self.hook.before(Call("write", path, offset=offset, data=data))
        if few == GONE:
            return len(data)
        done = act(data if few is None else data[:few])
        self.hook.after(Call("write", path, offset=offset, data=data[:done]))
        return done

    # ---- os ----

    def open_(self, real: Any) -> Any:
        def call(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            name = self.below(path, dir_fd)
            if name is None or flags & os.O_DIRECTORY:
                return int(real(path, flags, mode, dir_fd=dir_fd))
            new = flags & (os.O_CREAT | os.O_TRUNC) and (flags & os.O_TRUNC or not os.path.exists(self.root + name))
            kind = "create" if new else "open"
            return int(self.around(Call(kind, name), lambda: real(path, flags, mode, dir_fd=dir_fd)))

        return call

    def write_(self, real: Any) -> Any:
        def call(descriptor: int, data: Any) -> int:
            name = self.below(descriptor)
            if name is None:
                return int(real(descriptor, data))
            return self.written(name, os.fstat(descriptor).st_size, bytes(data), lambda part: real(descriptor, part))  # all of ours append

        return call

    def pwrite_(self, real: Any) -> Any:
        def call(descriptor: int, data: Any, offset: int) -> int:
            name = self.below(descriptor)
            if name is None:
                return int(real(descriptor, data, offset))
            return self.written(name, offset, bytes(data), lambda part: real(descriptor, part, offset))

        return call

    def fsync_(self, real: Any) -> Any:
        def call(file: Any) -> None:
            name = self.below(file if isinstance(file, int) else file.fileno())
            if name is None:
                real(file)
            else:
                self.around(Call("sync", name), lambda: real(file))

        return call

    def ftruncate_(self, real: Any) -> Any:
        def call(descriptor: int, size: int) -> None:
            name = self.below(descriptor)
            if name is None:
                real(descriptor, size)
            else:
                self.around(Call("truncate", name, size=size), lambda: real(descriptor, size))

        return call

    def _two(self, real: Any, kind: str) -> Any:
        def call(path: Any, target: Any, **options: Any) -> None:
            name, other = self.below(path, options.get("src_dir_fd")), self.below(target, options.get("dst_dir_fd"))
            if name is None or other is None:
                real(path, target, **options)
            else:
                self.around(Call(kind, name, other), lambda: real(path, target, **options))

        return call

    def link_(self, real: Any) -> Any:
        return self._two(real, "link")

    def rename_(self, real: Any) -> Any:
        return self._two(real, "rename")

    replace_ = rename_

    def _one(self, real: Any, kind: str) -> Any:
        def call(path: Any, *rest: Any, dir_fd: int | None = None, **options: Any) -> None:
            name = self.below(path, dir_fd)
            if dir_fd is not None:
                options["dir_fd"] = dir_fd
            if name is None:
                real(path, *rest, **options)
            else:
                self.around(Call(kind, name), lambda: real(path, *rest, **options))

        return call

    def unlink_(self, real: Any) -> Any:
        return self._one(real, "unlink")

    remove_ = unlink_

    def mkdir_(self, real: Any) -> Any:
        return self._one(real, "mkdir")

    def rmdir_(self, real: Any) -> Any:
        return self._one(real, "rmdir")

    def chmod_(self, real: Any) -> Any:
        return self._one(real, "chmod")

    # ---- open ----

    def stream(self, real: Any) -> Any:
        def call(file: Any, mode: str = "r", buffering: int = -1, *text: Any, **options: Any) -> Any:
            name = self.below(file)
            if name is None or isinstance(file, int):
                return real(file, mode, buffering, *text, **options)
            if not set(mode) & set("wax+"):
                return self.around(Call("open", name), lambda: real(file, mode, buffering, *text, **options))
            new = "w" in mode or not os.path.exists(self.root + name)
            raw = self.around(
                Call("create" if new else "open", name), lambda: _Raw(file, mode.replace("b", "").replace("t", ""), self, name)
            )
            if "b" in mode and buffering == 0:
                return raw
            size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
            binary = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
            return binary if "b" in mode else io.TextIOWrapper(binary, *text, **options)

        return call


class _Raw(io.FileIO):
    """A file whose writes go through the hook."""

    def __init__(self, file: Any, mode: str, around: _Around, name: str) -> None:
        super().__init__(file, mode)
        self._around, self._name, self._appends = around, name, "a" in mode

    def write(self, data: Any) -> int:
        offset = os.fstat(self.fileno()).st_size if self._appends else self.tell()
        return self._around.written(self._name, offset, bytes(data), super().write)
