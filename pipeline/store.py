"""The store: a folder of objects and artifacts that are there whole or not at all.

In: finished files. Out: names that never change their content. Everything rests on one primitive beyond read, write and list:
*create if absent*, here a hard link of a synced file. A folder is published by renaming it. Knows nothing of recipes; must not
import ray or torch. Layout:

    FORMAT                          version of this layout
    artifacts/<2>/<key>/            one published artifact; `manifest.json` inside
    pool/ verdicts/ promotions/     objects of the tasks
    seals/ versions/                hashes of the promotion log's entries; registered versions
    schedule/<name>/ticks/          the logs of schedules
    forgotten/ superseded/          samples that no ingest takes in, and the corpora that held them
    sketches/<key>/                 what the samples of some shards are like: see `tasks/drift`
    runs/<run>/                     journals and logs
    work/<key>/                     what an unfinished step resumes from
    tmp/                            not yet published
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline import disk
from pipeline.errors import StoreError
from tasks.contracts import FORMAT_VERSION, Artifact, Json
from tasks.file_digest import sha256_of

LAYOUT_VERSION = 1


@dataclass(frozen=True)
class LocalStore:
    """A store in a local (or network-mounted) folder. Implements `tasks.contracts.Store`; pickles to workers."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> LocalStore:
        """Make the folder when it is missing, and check that it can be written. Raises StoreError."""
        store = cls(root.absolute())
        with explained(store.root):
            disk.make_folders(store.root / "tmp", Path(store.root.anchor))
            store.create("FORMAT", f"{json.dumps({'medley_store': LAYOUT_VERSION})}\n".encode())
            probe = store.scratch()
            probe.touch()
            probe.unlink()
        store.check_layout()
        return store

    @property
    def where(self) -> str:
        """What a person gives as `store:` or `--store` to mean this store."""
        return str(self.root)

    def ready(self) -> None:
        """As `open` does for a new one: check that it can be used."""
        LocalStore.open(self.root)

    def check_layout(self) -> None:
        """Raises StoreError for a folder written by a newer Medley, or that is no store at all."""
        try:
            found = json.loads(self.read("FORMAT"))["medley_store"]
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self.root / 'FORMAT'} is not a store's format file; point `store:` (or --store) at another folder"
            ) from error
        if found > LAYOUT_VERSION:
            raise StoreError(f"{self.root} has store layout {found}, this Medley reads up to {LAYOUT_VERSION}; upgrade medley-pipeline")

    # ---- objects ----

    def local_path(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or name.startswith("/"):
            raise ValueError(f"not a name inside the store: {name!r}")
        return self.root.joinpath(*parts)

    def read(self, name: str) -> bytes:
        with readable(self.root):
            return self.local_path(name).read_bytes()

    def exists(self, name: str) -> bool:
        with readable(self.root):
            return self.local_path(name).exists()

    def list(self, prefix: str) -> list[str]:
        folder = self.local_path(prefix)
        return sorted(path.relative_to(self.root).as_posix() for path in folder.rglob("*") if path.is_file())

    def delete(self, name: str) -> None:
        with explained(self.root):
            disk.remove_file(self.local_path(name))

    def create(self, name: str, data: bytes) -> bool:
        target = self.local_path(name)
        if target.exists():
            return False
        with explained(self.root):
            scratch = self.scratch()
            scratch.write_bytes(data)
            return self.publish(scratch, name)

    def scratch(self) -> Path:
        folder = self.root / "tmp"
        with explained(self.root):
            folder.mkdir(parents=True, exist_ok=True)
        return folder / uuid.uuid4().hex

    def publish(self, path: Path, name: str) -> bool:
        target = self.local_path(name)
        with explained(self.root):
            disk.make_folders(target.parent, self.root)
            return disk.publish_folder(path, target) if path.is_dir() else disk.publish_file(path, target)

    # ---- artifacts ----

    def artifact(self, key: str) -> Artifact | None:
        """The published artifact of a key, or None. Raises StoreError for one of a newer format."""
        manifest = self.manifest(key)
        if manifest is None:
            return None
        return Artifact(kind=manifest["kind"], key=key, path=self.artifact_path(key), summary=manifest["summary"], step=manifest["step"])

    def manifest(self, key: str) -> dict[str, Json] | None:
        """What the runner wrote beside an artifact's files."""
        path = self.artifact_path(key) / "manifest.json"
        try:
            manifest: dict[str, Json] = json.loads(self.read(f"artifacts/{key[:2]}/{key}/manifest.json"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StoreError(f"{path} is damaged; remove the folder {path.parent} and run again to rebuild it") from error
        if manifest["format"] > FORMAT_VERSION:
            raise StoreError(
                f"{path} has artifact format {manifest['format']}, this Medley reads up to {FORMAT_VERSION}; upgrade medley-pipeline"
            )
        return manifest

    def artifact_path(self, key: str) -> Path:
        """Where the artifact of a key is, or will be."""
        return self.local_path(f"artifacts/{key[:2]}/{key}")

    def bring(self, key: str) -> Path:
        """The folder of a published artifact, on this machine."""
        return self.artifact_path(key)

    def publish_artifact(self, folder: Path, manifest: dict[str, Json]) -> bool:
        """Add the manifest to a finished folder and make it visible in one move. False when another run was first."""
        key = manifest["key"]
        with explained(self.root):
            manifest = {"format": FORMAT_VERSION, **manifest, "files": dict(_listed(folder))}
            (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        return self.publish(folder, f"artifacts/{key[:2]}/{key}")

    def remove_artifact(self, key: str) -> None:
        """Take a published artifact away, in one move first, so that no reader sees half of it."""
        gone = self.scratch()
        with explained(self.root):
            disk.remove_folder(self.artifact_path(key), gone)

    def work_dir(self, key: str) -> Path:
        """The folder a step of this key resumes from; made when missing."""
        folder = self.local_path(f"work/{key}")
        with explained(self.root):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def discard_work(self, key: str) -> None:
        """Remove what an unfinished step left, once it is published."""
        shutil.rmtree(self.local_path(f"work/{key}"), ignore_errors=True)


def _listed(folder: Path) -> Iterator[tuple[str, dict[str, Json]]]:
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        status = path.stat()
        entry: dict[str, Json] = {"bytes": status.st_size}
        if status.st_nlink == 1:  # a hard link to the pool is hashed in shards.json already
            entry["sha256"] = sha256_of(path)
        yield path.relative_to(folder).as_posix(), entry


@contextlib.contextmanager
def explained(root: Path) -> Iterator[None]:
    """Says of a disk that cannot be written, is full or fails, what to do about it. Raises StoreError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT):
            raise StoreError(
                f"the store {root} cannot be written ({error.strerror}); make it writable, or point `store:` or --store at a folder that is"
            ) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"the store {root} is full ({error.strerror}); free some space and run the same command again: finished work is kept"
            ) from error
        raise StoreError(
            f"the disk of the store {root} failed ({error.strerror or error}); look after the disk, then run the same command again: "
            "finished work is kept"
        ) from error


@contextlib.contextmanager
def readable(root: Path) -> Iterator[None]:
    """Says of a store that cannot be read what to do about it; what is not there is the caller's matter. Raises StoreError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(
            f"the store {root} cannot be read ({error.strerror or error}); make it readable, or look after its disk, "
            "then run the same command again"
        ) from error
