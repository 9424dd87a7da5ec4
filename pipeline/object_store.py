"""A store in a bucket: the same names and promises as a folder, with copies on this machine.

In: finished files. Out: objects that never change their content. *Create if absent* is a conditional put. What tasks read as files comes
down into `root`, a folder laid out as a local store is, so that hard links and `pread` work there; it may be deleted whenever nothing runs.
Knows nothing of recipes; must not import ray or torch.

In the bucket:

    FORMAT
    artifacts/<2>/<key>/manifest.json           made last, by a conditional put: what it names was there before it
    artifacts/<2>/<key>/<sha256>/<file>         its files; a shard is named where it lies in the pool, not put a second time
    pool/ verdicts/ promotions/ versions/ …     objects of the tasks
    large/<name>/<sha256>                       the bytes of a file of more than 1 GiB: under <name> only its metadata lead there (`bucket`)
    leases/<key>/                               who makes what at the moment (`leases`)
    pins/<run>.json                             what a run at work stands on, and its signs of life (`pins`)
    runs/<run>/                                 copies of journals and logs (`shared_runs`)
    saved/<key>/                                copies of checkpoints, while a step is unfinished (`shared_work`)

On this machine alone: the rest of `work/`, `tmp/`, the marks of attempts, a sqlite database of MLflow.
"""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline import disk
from pipeline.bucket import Bucket, Patience, large
from pipeline.errors import StoreError, Torn
from pipeline.store import LocalStore, explained
from tasks.contracts import FORMAT_VERSION, Json
from tasks.file_digest import sha256_of

NEAR = ("work", "tmp", "trash", "mlflow", "gc.lock", "runs", "pool/attempts")
"""What stays on this machine."""
OF = "BUCKET"
"""A file among the copies that says of which store they are."""
AT_ONCE = 4
"""Files of an artifact that are under way at the same time."""
DIGEST_LETTERS = 16
"""So many of a file's hash stand in its name: two runs that made different bytes under one key never write over each other."""


@dataclass(frozen=True)
class ObjectStore(LocalStore):
    """A store in a bucket. `root` holds this machine's copies. Pickles to workers, which have a folder of their own."""

    url: str = ""
    patience: Patience = field(default_factory=Patience)

    @property
    def where(self) -> str:
        return self.url

    @functools.cached_property
    def bucket(self) -> Bucket:
        return Bucket(self.url, self.patience)

    def ready(self) -> None:
        """Check that the bucket can be read and written, and that there is a folder for copies. Raises StoreError."""
        LocalStore.open(self.root)
        content = LocalStore(self.root).read("FORMAT")
        if self.create("FORMAT", content) and self.create("FORMAT", content):
            raise StoreError(
                f"the server of {self.url} made one object twice: it does not honour `If-None-Match: *` on a put, and without that two "
                "runs overwrite each other; upgrade it, or keep the store in a folder"
            )
        self.check_layout()
        with explained(self.root):
            (self.root / OF).write_text(self.url)

    # ---- objects ----

    def local_path(self, name: str) -> Path:
        """Where an object lies as a local file; it comes down first. Of an artifact, only where it is or will be: see `bring`."""
        path = super().local_path(name)
        if not _is_near(name) and PurePosixPath(name).parts[0] != "artifacts" and not path.exists():
            self._fetch(name, path)
        return path

    def read(self, name: str) -> bytes:
        return super().read(name) if _is_near(name) else self.bucket.read(self._checked(name))

    def exists(self, name: str) -> bool:
        return super().exists(name) if _is_near(name) else self.bucket.size(self._checked(name)) is not None

    def list(self, prefix: str) -> list[str]:
        return super().list(prefix) if _is_near(prefix) else list(self.bucket.entries(self._checked(prefix)))

    def delete(self, name: str) -> None:
        if not _is_near(name):
            self.bucket.delete(self._checked(name))
            for part in self.bucket.entries(large(name)) if name.endswith(".tar") else ():
                self.bucket.delete(part)
        with explained(self.root):
            super().local_path(name).unlink(missing_ok=True)

    def create(self, name: str, data: bytes) -> bool:
        return super().create(name, data) if _is_near(name) else self.bucket.create(self._checked(name), data)

    def publish(self, path: Path, name: str) -> bool:
        if _is_near(name):
            return super().publish(path, name)
        if path.is_dir():
            raise StoreError(f"{name}: a folder becomes visible in a bucket only as an artifact, by its manifest")
        won = self.bucket.create(self._checked(name), path)
        if won:
            self._keep(path, super().local_path(name))
        else:
            path.unlink()
        return won

    def _checked(self, name: str) -> str:
        super().local_path(name)
        return name

    def _fetch(self, name: str, path: Path) -> None:
        scratch = self.scratch()
        with explained(self.root), contextlib.suppress(FileNotFoundError):
            self.bucket.download(name, scratch)
            self._keep(scratch, path)

    def _keep(self, scratch: Path, path: Path) -> None:
        """A copy of what is in the bucket now, in place of an older one."""
        with explained(self.root):
            disk.make_folders(path.parent, self.root)
            scratch.replace(path)

    # ---- artifacts ----

    def publish_artifact(self, folder: Path, manifest: dict[str, Json]) -> bool:
        """Put the files, then the manifest, if there is none. False when another run was first: what it made stays as it is."""
        key = manifest["key"]
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        linked = self._linked() if any((folder / name).stat().st_nlink > 1 for name in names) else {}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            files = dict(zip(names, pool.map(lambda name: self._put(folder / name, name, _home(key), linked), names), strict=True))
        data = json.dumps({"format": FORMAT_VERSION, **manifest, "files": files}, indent=1, sort_keys=True).encode() + b"\n"
        won = self.bucket.create(f"{_home(key)}/manifest.json", data)
        with explained(self.root):
            if won:
                (folder / "manifest.json").write_bytes(data)
                self._keep_artifact(folder, key)
            else:
                shutil.rmtree(folder)
        return won

    def _put(self, path: Path, relative: str, home: str, linked: dict[int, str]) -> dict[str, Json]:
        """One file of an artifact into the bucket, unless it is there; what the manifest says of it. What the pool has carries its hash."""
        status = path.stat()
        if status.st_ino in linked:
            return {"bytes": status.st_size, "object": linked[status.st_ino]}
        sha256 = sha256_of(path)
        name = f"{home}/{sha256[:DIGEST_LETTERS]}/{relative}"
        if self.bucket.size(name) != status.st_size:
            self.bucket.replace(name, path)
        return {"bytes": status.st_size, "sha256": sha256, "object": name}

    def _linked(self) -> dict[int, str]:
        """Where hard links to the copies of the pool's tars lead: inode → name."""
        tars = self.root.joinpath("pool").glob("**/*.tar")
        return {path.stat().st_ino: path.relative_to(self.root).as_posix() for path in tars}

    def bring(self, key: str) -> Path:
        """The folder of a published artifact, on this machine. Each file is checked by the manifest when it comes down, later by its size.

        Raises StoreError when the artifact is not in the bucket, is not what its manifest says, or does not fit on the disk.
        """
        manifest, folder = self.manifest(key), self.artifact_path(key)
        if manifest is None:
            raise StoreError(f"artifact {key[:12]} is not in the store {self.url}; run the recipe that made it")
        if self._is_whole(folder, manifest):
            return folder
        scratch = self.scratch()
        with explained(self.root):
            self._check_room(manifest["files"])
            scratch.mkdir(parents=True)
            try:
                with ThreadPoolExecutor(AT_ONCE) as pool:
                    list(pool.map(lambda each: self._take(scratch / each[0], *each), manifest["files"].items()))
                (scratch / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
                self._keep_artifact(scratch, key)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return folder

    def bring_tables(self, key: str) -> None:
        """The tables of a published artifact alone, into its folder on this machine: what says which samples it holds."""
        manifest, folder = self.manifest(key), self.artifact_path(key)
        for relative, entry in (manifest or {"files": {}})["files"].items():
            path = folder / relative
            if "/" not in relative and relative.endswith(".parquet") and not (path.exists() and path.stat().st_size == entry["bytes"]):
                scratch = self.scratch()
                self._take(scratch, relative, entry)
                self._keep(scratch, path)

    def damaged(self, key: str) -> tuple[str, ...]:
        """Objects of a published artifact that are gone, or are not what its manifest says. Reads each of them."""
        found = []
        for relative, entry in (self.manifest(key) or {"files": {}})["files"].items():
            scratch = self.scratch()
            try:
                self._take(scratch, relative, entry)
            except StoreError as error:
                if error.__cause__ is not None and not isinstance(error.__cause__, Torn | FileNotFoundError):
                    raise  # the bucket did not answer: nothing is known
                found.append(entry["object"])
            finally:
                scratch.unlink(missing_ok=True)
        return tuple(found)

    def drop_copy(self, key: str) -> None:
        """Remove what this machine has of an artifact, with the copies of the pool that it links to; the bucket stays as it is."""
        for entry in (self.manifest(key) or {"files": {}})["files"].values():
            if entry["object"].startswith("pool/"):
                super().local_path(entry["object"]).unlink(missing_ok=True)
        if self.artifact_path(key).exists():
            super().remove_artifact(key)

    def _check_room(self, files: dict[str, Any]) -> None:
        needed, free = sum(entry["bytes"] for entry in files.values()), shutil.disk_usage(self.root).free
        if needed > free:
            raise StoreError(
                f"{self.root}, the folder for copies of {self.url}, has {free:,} bytes free and {needed:,} are to come down; "
                "free some space, or point MEDLEY_CACHE at a larger disk"
            )

    def _take(self, path: Path, relative: str, entry: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        name = entry["object"]
        try:
            if name.startswith("pool/"):
                path.hardlink_to(self.local_path(name))
            else:
                self.bucket.download(name, path)
        except FileNotFoundError as error:
            raise StoreError(
                f"{self.url}/{name}, which is {relative} of an artifact, is gone; `medley run` makes the artifact anew "
                f"once {self.url}/{_home_of(name)} is deleted"
            ) from error
        if path.stat().st_size != entry["bytes"] or ("sha256" in entry and sha256_of(path) != entry["sha256"]):
            if name.startswith("pool/"):
                super().local_path(name).unlink()
            raise StoreError(f"{self.url}/{name} is not what its manifest says; delete it, and the manifest, and run again to rebuild it")

    def _is_whole(self, folder: Path, manifest: dict[str, Any]) -> bool:
        try:
            if json.loads((folder / "manifest.json").read_bytes()) != manifest:
                return False
            return all((folder / relative).stat().st_size == entry["bytes"] for relative, entry in manifest["files"].items())
        except (FileNotFoundError, ValueError):
            return False

    def _keep_artifact(self, folder: Path, key: str) -> None:
        """In place of an older copy, which another process may be reading: whoever has it open keeps it."""
        target = self.artifact_path(key)
        disk.make_folders(target.parent, self.root)
        if target.exists():
            disk.remove_folder(target, self.scratch())
        disk.publish_folder(folder, target)

    def remove_artifact(self, key: str) -> None:
        """Take the manifest away, and with it the artifact; then its files."""
        self.bucket.delete(f"{_home(key)}/manifest.json")
        for name in self.bucket.entries(_home(key)):
            self.bucket.delete(name)
        if self.artifact_path(key).exists():
            super().remove_artifact(key)

    def discard_work(self, key: str) -> None:
        super().discard_work(key)
        for name in self.bucket.entries(f"saved/{key}"):
            self.bucket.delete(name)


def _home(key: str) -> str:
    return f"artifacts/{key[:2]}/{key}"


def _home_of(name: str) -> str:
    return "/".join(PurePosixPath(name).parts[:3])


def _is_near(name: str) -> bool:
    return any(name == near or name.startswith(f"{near}/") for near in NEAR)
