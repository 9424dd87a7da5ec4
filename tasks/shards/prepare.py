"""From a recipe and a corpus to a plan: codecs, screening, units.

In: the config and a corpus. Out: `Planned`, all that building and assembling need. Opens no source and no tar.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.contracts import TaskContext
from tasks.errors import InputError, LabelError
from tasks.modalities import MODALITIES
from tasks.modalities.fingerprint import codec_fingerprint
from tasks.registry import Config
from tasks.shards.attempts import read_verdicts
from tasks.shards.corpus import Corpus
from tasks.shards.identity import Codec
from tasks.shards.plan import Identities, Unit, identify, plan_units
from tasks.shards.screen import Left, check_labels, find_duplicates

if TYPE_CHECKING:
    from tasks.shard import ShardConfig


@dataclass(frozen=True)
class Planned:
    """What is to be made."""

    codecs: Mapping[str, Codec]
    identities: Identities
    units: tuple[Unit, ...]
    left: Mapping[int, Left]
    """Rows of the corpus that are in no unit, and why."""
    options: Mapping[str, Any]
    """What enters unit keys besides the records."""


def codecs(prepare: Mapping[str, Config]) -> dict[str, Codec]:
    """What the encoding of each modality depends on, on this machine."""
    return {
        name: Codec(name, MODALITIES[name].version, config.model_dump(mode="json"), codec_fingerprint({name: config}))
        for name, config in sorted(prepare.items())
    }


def prepare_plan(config: ShardConfig, corpus: Corpus, context: TaskContext) -> Planned:
    """Plan a corpus. Raises InputError when nothing could be written, LabelError for categories that train never saw."""
    _check_names(config, corpus, context)
    left = find_duplicates(corpus) if config.duplicates == "drop" else {}
    if config.unseen_labels != "keep":
        left |= check_labels(corpus, left, drop=config.unseen_labels == "drop")
    rows = [row for row in range(corpus.num_records) if row not in left]
    chosen = codecs(config.prepare)
    identities = identify(corpus, chosen, embed_labels=config.embed_labels)
    options = {"format": 1, "on_bad_member": config.on_bad_member, "embed_labels": config.embed_labels}
    verdicts = read_verdicts(context.store)
    units = plan_units(corpus, rows, identities, config.sizes, salt=config.salt, options=options, verdicts=verdicts)
    return Planned(chosen, identities, tuple(units), left, options)


def _check_names(config: ShardConfig, corpus: Corpus, context: TaskContext) -> None:
    if not corpus.num_records:
        raise InputError("the corpus has no records, so there is nothing to shard; check the source of the ingest step")
    reserved = sorted({"key", "group", "partition"} & set(corpus.labels))
    if reserved:
        raise LabelError(f"a label is named {', '.join(reserved)}, which labels.parquet uses itself; give it another name when ingesting")
    missing = sorted(set(config.prepare) - set(corpus.modalities))
    if len(missing) == len(config.prepare):
        raise InputError(
            f"prepare names {', '.join(missing)}, but the corpus has {', '.join(corpus.modalities) or 'no modality'}; prepare what is there"
        )
    if missing:
        context.sink.note(f"prepare names {', '.join(missing)}, which no record of the corpus has")
    unused = sorted(set(corpus.modalities) - set(config.prepare))
    if unused:
        context.sink.note(f"the corpus also has {', '.join(unused)}, which prepare does not name: left out of the shards")
