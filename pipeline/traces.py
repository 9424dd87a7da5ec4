"""Where in a store some samples are.

In: a store and keys. Out: the artifacts that hold them, the splits they were in, the files they came from, and samples with the same bytes
under other keys. An artifact holds a sample when a table of it has the key, whatever its kind, so a new kind of artifact is found as well.
Changes nothing; must not import ray or torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.store import LocalStore

CORPUS, SHARDS = "records.parquet", "index.parquet"
"""Tables that say more than keys: where the bytes are; in which split a sample was written."""


@dataclass(frozen=True)
class Holder:
    """An artifact that holds some of the samples."""

    key: str
    kind: str
    about: str
    """Step and recipe, for a person."""
    keys: tuple[str, ...]
    """Those it holds; empty for one that cannot be read."""
    splits: tuple[tuple[str, str], ...] = ()
    """Of shards: sample key → split, for the samples that are written in them."""


@dataclass(frozen=True)
class Twin:
    """A sample that is not asked for and has bytes of one that is."""

    key: str
    modality: str
    of: str


@dataclass
class Traces:
    """What was found."""

    holders: list[Holder] = field(default_factory=list)
    uris: dict[str, None] = field(default_factory=dict)
    """Files that the samples came from, each once, in order."""
    twins: list[Twin] = field(default_factory=list)

    @property
    def keys(self) -> set[str]:
        return {key for holder in self.holders for key in holder.keys}


def traces(store: LocalStore, keys: Collection[str]) -> Traces:
    """Look through every artifact: the key column of each table, and of corpora the digests of their members."""
    wanted = pa.array(sorted(set(keys)), pa.string())
    found, corpora = Traces(), []
    for artifact in artifacts(store):
        tables = list(_tables(artifact))
        there = [_column(path, wanted) for path in tables]
        held = sorted({key for each in there if each is not None for key in each})
        if held or None in there:
            found.holders.append(_holder(store, artifact, held))
        corpora += [path for path in tables if path.name == CORPUS and None not in there]
    digests: dict[tuple[str, str], str] = {}
    for path in corpora:
        for row in _rows(path, wanted):
            key = row["key"]
            found.uris |= {uri: None for name, uri in sorted(row.items()) if name.endswith(".uri") and uri and uri.startswith("/")}
            digests |= {(name.removesuffix(".sha256"), value): key for name, value in row.items() if name.endswith(".sha256") and value}
    found.twins = _twins(corpora, digests, set(keys))
    return found


def every_key(store: LocalStore) -> list[str]:
    """All keys of all artifacts, sorted."""
    columns = [pq.read_table(path, columns=["key"], partitioning=None)["key"] for each in artifacts(store) for path in _tables(each)]
    return sorted({key for column in columns for key in column.unique().to_pylist()})


def artifacts(store: LocalStore) -> list[Path]:
    """Folders of the published artifacts."""
    return sorted(store.local_path("artifacts").glob("??/" + "?" * 64))


def _tables(artifact: Path) -> Iterator[Path]:
    """Tables with a key column, and those that cannot be read."""
    for path in sorted(artifact.glob("*.parquet")):
        try:
            if "key" in pq.read_schema(path).names:
                yield path
        except (OSError, ValueError):
            yield path


def _column(path: Path, wanted: pa.Array) -> list[str] | None:
    """Which of the wanted keys a table has; None when it cannot be read."""
    try:
        column = pq.read_table(path, columns=["key"], partitioning=None)["key"]
    except (OSError, ValueError):
        return None
    keys: list[str] = column.filter(pc.is_in(column, value_set=wanted)).to_pylist()
    return keys


def _holder(store: LocalStore, artifact: Path, held: list[str]) -> Holder:
    manifest = store.manifest(artifact.name) or {}
    about = f"{manifest.get('step', 'a step')} of {manifest.get('recipe', 'a recipe')}"
    splits: list[tuple[str, str]] = []
    if held and (artifact / SHARDS).exists():
        table = pq.read_table(artifact / SHARDS, columns=["key", "split"], partitioning=None)
        rows = table.filter(pc.is_in(table["key"], value_set=pa.array(held, pa.string()))).to_pylist()
        splits = [(row["key"], row["split"]) for row in rows]
    return Holder(artifact.name, manifest.get("kind", "no manifest"), about, tuple(held), tuple(splits))


def _rows(path: Path, wanted: pa.Array) -> list[dict[str, str]]:
    """Key, locators and digests of the wanted rows of a corpus."""
    names = [name for name in pq.read_schema(path).names if name == "key" or name.endswith((".uri", ".sha256"))]
    table = pq.read_table(path, columns=names, partitioning=None)
    rows: list[dict[str, str]] = table.filter(pc.is_in(table["key"], value_set=wanted)).to_pylist()
    return rows


def _twins(corpora: Iterable[Path], digests: dict[tuple[str, str], str], keys: Collection[str]) -> list[Twin]:
    found: dict[tuple[str, str], Twin] = {}
    for path in corpora:
        for column in [name for name in pq.read_schema(path).names if name.endswith(".sha256")]:
            modality = column.removesuffix(".sha256")
            wanted = pa.array([value for of, value in digests if of == modality], pa.string())
            table = pq.read_table(path, columns=["key", column], partitioning=None)
            for row in table.filter(pc.is_in(table[column], value_set=wanted)).to_pylist():
                if row["key"] not in keys:
                    found[row["key"], modality] = Twin(row["key"], modality, digests[modality, row[column]])
    return [found[place] for place in sorted(found)]
