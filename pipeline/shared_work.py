"""What a training resumes from, over a bucket: saved while a step runs, so that another machine can go on.

In: a step's work folder. Out: `saved/<key>/` in the bucket, removed once the step is published. A store in a folder needs none of this.

    saved/<key>/<n>.json               names every file with its hash; the highest n counts, and the older ones go
    saved/<key>/files/<sha256>/<file>

Only what stands in `RESUMED` is saved. A checkpoint gets its name in one move and never changes after that, and a resumed training drops
the metric lines that are newer than its checkpoint: so the files need not be of one moment. What comes down is checked, file by file, and
checkpoints check themselves once more; what is wrong is left out, and the training goes on from an older one or begins anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import StoreError
from pipeline.object_store import ObjectStore
from pipeline.store import LocalStore
from tasks.file_digest import sha256_of

log = logging.getLogger("medley")

SAVE_S = 30.0
"""How often what is new is saved."""
RESUMED = ("checkpoints", "metrics.jsonl")
"""What trainings keep in their work folder to resume from (`tasks.training.state` and `channel`)."""
_MARK = "saved.json"
"""In the work folder: which n this machine saved or took last."""


@contextlib.contextmanager
def saved(store: LocalStore, key: str) -> Iterator[None]:
    """Begin with what another machine saved, if that is newer; save while the block runs, and when it ends with an error."""
    if not isinstance(store, ObjectStore):
        yield
        return
    saver = _Saver(store, key)
    saver.restore()
    over = threading.Event()
    thread = threading.Thread(target=_go_on, args=(saver, over), name="work-saver", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        over.set()
        thread.join()
        saver.save()
        raise
    finally:
        over.set()
        thread.join()


def _go_on(saver: _Saver, over: threading.Event) -> None:
    while not over.wait(SAVE_S):
        saver.save()


class _Saver:
    def __init__(self, store: ObjectStore, key: str) -> None:
        self._bucket, self._home, self._folder = store.bucket, f"saved/{key}", store.work_dir(key)
        self._hashes: dict[tuple[str, int, int], str] = {}
        self._last: dict[str, Any] = {}

    def restore(self) -> None:
        """Take what is newer than what this machine knows."""
        n = self._newest()
        if n <= self._known():
            return
        for name in RESUMED:
            path = self._folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for relative, sha256 in json.loads(self._bucket.read(f"{self._home}/{n}.json")).items():
            path = self._folder / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self._bucket.download(self._name(relative, sha256), path)
                if sha256_of(path) != sha256:
                    path.unlink()
        (self._folder / _MARK).write_text(json.dumps(n))
        log.info("going on from what another machine saved (%s/%d.json)", self._home, n)

    def save(self) -> None:
        """Put what is not there yet, then the list of all. A bucket that is away is no reason to stop a step: publishing will say it."""
        try:
            self._save()
        except FileNotFoundError:
            log.debug("a checkpoint was dropped while it was being saved; the next time takes the one after it")
        except StoreError as error:
            log.warning("the checkpoints were not saved: %s", error)

    def _save(self) -> None:
        files = dict(self._put(path) for path in sorted(self._files()))  # the metric lines last: they reach as far as any checkpoint
        if files == self._last or not files:
            return
        n = self._newest() + 1
        if not self._bucket.create(f"{self._home}/{n}.json", json.dumps(files).encode()):
            return  # another run took over meanwhile: what it saves is newer
        self._last = files
        (self._folder / _MARK).write_text(json.dumps(n))
        needed = {f"{self._home}/{n}.json", *(self._name(*each) for each in files.items())}
        for name in self._bucket.entries(self._home):
            if name not in needed:
                self._bucket.delete(name)

    def _files(self) -> Iterator[Path]:
        for name in RESUMED:
            path = self._folder / name
            inside = path.rglob("*") if path.is_dir() else [path]
            yield from (each for each in inside if each.is_file() and "/." not in each.relative_to(self._folder).as_posix())

    def _put(self, path: Path) -> tuple[str, str]:
        relative, status = path.relative_to(self._folder).as_posix(), path.stat()
        version = (relative, status.st_size, status.st_mtime_ns)
        if version not in self._hashes:
            data = path.read_bytes() if "/" not in relative else path  # what is appended to is read once, so that hash and bytes agree
            sha256 = hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else sha256_of(data)
            if self._bucket.size(self._name(relative, sha256)) is None:
                self._bucket.replace(self._name(relative, sha256), data)
            self._hashes[version] = sha256
        return relative, self._hashes[version]

    def _name(self, relative: str, sha256: str) -> str:
        return f"{self._home}/files/{sha256}/{relative}"

    def _newest(self) -> int:
        stems = (name.removeprefix(f"{self._home}/").removesuffix(".json") for name in self._bucket.entries(self._home))
        return max((int(stem) for stem in stems if stem.isdigit()), default=0)

    def _known(self) -> int:
        try:
            return int(json.loads((self._folder / _MARK).read_bytes()))
        except (FileNotFoundError, ValueError):
            return 0
