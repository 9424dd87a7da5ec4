"""Which record goes into which shard: the plan, a pure function of the corpus.

In: a corpus, and what encoding depends on. Out: units of work, each the ordered rows of one shard, never across a split or a
partition; and the rows that go into none. Records are ordered by a hash, so shards are mixed, and cut where the hash says so: an
insertion or a deletion changes its neighbourhood only. Opens no source. Must not import ray or torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.contracts import SPLITS
from tasks.shards.corpus import UNREADABLE, Corpus, was_read
from tasks.shards.identity import Codec, Verdict, member_key, record_digest, record_key, unit_key

if TYPE_CHECKING:
    from tasks.shard import Sizes


@dataclass(frozen=True)
class Unit:
    """One shard to be."""

    split: str
    partition: str
    rows: tuple[int, ...]
    """Rows of the corpus, in the order of the shard."""
    num_bytes: int
    """Of the sources."""
    key: str


@dataclass(frozen=True)
class Identities:
    """Names of all rows of a corpus."""

    digests: Sequence[str]
    """record digests."""
    keys: Sequence[str]
    """record keys."""
    members: Mapping[str, Sequence[str | None]]
    """modality → member keys; None where there is nothing to encode."""


def identify(corpus: Corpus, codecs: Mapping[str, Codec], *, embed_labels: bool) -> Identities:
    """Name every record of the corpus, looking at the modalities of `codecs` alone."""
    modalities = [modality for modality in sorted(codecs) if modality in corpus.modalities]
    sources = {modality: corpus.digests(modality) for modality in modalities}
    ids = {modality: codecs[modality].id for modality in modalities}
    members = {
        modality: [member_key(ids[modality], source or "") if was_read(source) else None for source in sources[modality]]
        for modality in modalities
    }
    labels = {name: corpus.column(f"label.{name}") for name in corpus.labels} if embed_labels else {}
    digests, keys = [], []
    for row, key in enumerate(corpus.keys):
        present = {modality: source for modality in modalities if (source := sources[modality][row]) is not None}
        embedded = {name: values[row] for name, values in labels.items()} if embed_labels else None
        record = record_digest(key, present, embedded)
        digests.append(record)
        keys.append(record_key(record, [members[modality][row] or UNREADABLE for modality in present]))
    return Identities(digests, keys, members)


def plan_units(
    corpus: Corpus,
    rows: Sequence[int],
    identities: Identities,
    sizes: Sizes,
    *,
    salt: str,
    options: Mapping[str, Any],
    verdicts: Mapping[str, Verdict],
) -> list[Unit]:
    """Order and cut `rows` into units. `verdicts` are by record digest.

    Units come split by split (train, val, test), partition by partition, in hash order inside.
    """
    num_bytes = [sum(of_row) for of_row in zip(*(corpus.sizes(modality) for modality in corpus.modalities), strict=True)] or [
        0
    ] * corpus.num_records
    partitions = corpus.column("partition")
    groups: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        groups.setdefault((corpus.splits[row], partitions[row]), []).append(row)
    units = []
    for split, partition in sorted(groups, key=lambda group: (SPLITS.index(group[0]), group[1])):
        hashed = sorted((order_hash(salt, corpus.keys[row]), row) for row in groups[split, partition])
        ordered = [row for _, row in hashed]
        start = 0
        for end in cuts([name for name, _ in hashed], [num_bytes[row] for row in ordered], sizes):
            members = tuple(ordered[start:end])
            names = [identities.keys[row] for row in members]
            known = {identities.keys[row]: verdicts[identities.digests[row]] for row in members if identities.digests[row] in verdicts}
            units.append(Unit(split, partition, members, sum(num_bytes[row] for row in members), unit_key(names, options, known)))
            start = end
    return units


def order_hash(salt: str, key: str) -> bytes:
    """Where a record stands in its split and partition, 32 bytes."""
    return hashlib.sha256(f"{salt}\0{key}".encode()).digest()


def cuts(hashes: Sequence[bytes], num_bytes: Sequence[int], sizes: Sizes) -> list[int]:
    """Ends of the units over records in order, the last one included.

    A unit ends after a record whose hash says so, once it holds `min_records`; at `max_records` in any case; and before the record
    that would take it over `max_bytes`, unless it is empty. The mean is about `min + 0.52 * (max - min)` records.
    """
    threshold = (1 << 64) * 3 // (2 * max(2, sizes.max_records - sizes.min_records))
    ends, count, total = [], 0, 0
    for position, (name, size) in enumerate(zip(hashes, num_bytes, strict=True)):
        if count and total + size > sizes.max_bytes:
            ends.append(position)
            count = total = 0
        count += 1
        total += size
        wanted = count >= sizes.min_records and int.from_bytes(name[-8:], "big") < threshold
        if wanted or count >= sizes.max_records:
            ends.append(position + 1)
            count = total = 0
    if count:
        ends.append(len(hashes))
    return ends
