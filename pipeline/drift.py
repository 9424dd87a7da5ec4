"""Drift: new data beside what a model was trained on, in seconds, and as one number for a schedule.

In: two sides (`drift_sides`). Out: a comparison with its words. Sketches of shards are kept (`sketches`), those of new data are made in
memory, and nothing of them is written. numpy and torch are imported when a sketch is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.drift_sides import ModelSide, NewSide, RecipeOptions, ReferenceSide, ShardsSide, find_new, find_reference, raw_records
from pipeline.places import Place
from pipeline.sketches import SAMPLES, kept, merged, sketched
from pipeline.store import LocalStore
from tasks.errors import InputError

if TYPE_CHECKING:
    from tasks.drift.compare import Comparison, Settings
    from tasks.drift.sketch import Sketch


@dataclass(frozen=True)
class DriftLevel:
    """What a trigger needs to know. Plain data."""

    effect: float
    """Largest effect that is significant (PSI beyond chance); 0.0 when none is."""
    significant: bool
    """Is any change significant, at `alpha` over all tests together?"""
    modality: str
    """The one that moved most; `label` for the class prior; empty when none did."""
    about: str
    """A sentence for the history."""


@dataclass(frozen=True)
class Asked:
    """What a comparison is to look at."""

    split: str = "train"
    """Of the reference."""
    against_split: str = ""
    """Of new shards; empty = every split, or every other one of the same shards."""
    modalities: tuple[str, ...] = ()
    """Empty = all."""
    samples: int = SAMPLES
    embeddings: bool = True
    """Also compare what the model sees, where the model is known."""
    since: datetime | None = None
    """Leave out requests before."""


@dataclass(frozen=True)
class Compared:
    """Both sides and what came of them."""

    reference: ReferenceSide
    new: NewSide
    sketches: tuple[Sketch, Sketch]
    comparison: Comparison
    notes: tuple[str, ...]
    facts: Mapping[str, Any]
    """`split`, and of requests `first` and `last`."""


def drift_level(
    store: LocalStore,
    reference: str,
    against: str,
    *,
    split: str = "train",
    modalities: Sequence[str] = (),
    alpha: float = 0.01,
    samples: int = 1000,
    seed: int = 0,
) -> DriftLevel:
    """How far new data are from what a model was trained on, by the raw features alone: no torch, about a second where the sketch is there.

    `reference`: `NAME@ALIAS`, `models:/NAME/3`, a recipe's path or a folder of shards. `against`: a folder, a table, a log of requests,
    shards or a corpus; a step's name where `reference` is a recipe. Raises InputError for too few samples, NotFound for what is not there.
    """
    from tasks.drift.compare import Settings
    from tasks.drift.words import headline, sentence

    asked = Asked(split=split, modalities=tuple(modalities), samples=samples, embeddings=False)
    place: Any = getattr(store, "url", store.root)
    side = find_reference(reference, place)
    found = compare_sides(side, find_new(against, side), asked, Settings(alpha, 0.0, seed)).comparison
    most = found.moved[0] if found.moved else ""
    return DriftLevel(found.effect(most) if most else 0.0, bool(most), most, sentence(found, most) if most else f"{headline(found)}.")


def run(
    given: str, against: str, asked: Asked, settings: Settings, place: Place | None = None, options: RecipeOptions | None = None
) -> Compared:
    """One comparison, as `medley drift` makes it."""
    reference = find_reference(given, place, options)
    return compare_sides(reference, find_new(against, reference), asked, settings)


def compare_sides(reference: ReferenceSide, new: NewSide, asked: Asked, settings: Settings) -> Compared:
    """Raises InputError for data that cannot be compared, and says why."""
    from tasks.drift.compare import check_sizes, compare
    from tasks.drift.sketch import check_size
    from tasks.drift.words import notes_of

    check_size(asked.samples)
    notes: list[str] = []
    prepare = _prepare(reference.shards)
    modalities = _modalities(asked.modalities, prepare)
    model = reference.model if asked.embeddings else None
    other, facts = _new_sketch(new, reference, asked, {name: prepare[name] for name in modalities}, model, notes)
    one = merged([kept(side, asked.split, asked.samples, model, notes) for side in reference.shards], asked.samples)
    one, other = one.only(modalities), other.only(modalities)
    check_sizes(one, other)
    notes += _shared(one, other)
    notes += notes_of((("the reference", one.facts), ("the new data", other.facts)))
    found = compare(one, other, settings)
    return Compared(reference, new, (one, other), found, (*notes, *found.notes), {"split": asked.split, **facts})


def _modalities(asked: Sequence[str], prepare: Mapping[str, Any]) -> tuple[str, ...]:
    from tasks.registry import closest

    for name in asked:
        if name not in prepare:
            raise InputError(f"--modalities {name}: the reference has {', '.join(prepare)}{closest(name, list(prepare))}")
    return tuple(asked) or tuple(prepare)


def _prepare(sides: Iterable[ShardsSide]) -> dict[str, Any]:
    """How the reference's media were prepared; InputError where the sets of a mixture differ."""
    from tasks.shards.read import ShardSet

    merged: dict[str, Any] = {}
    for side in sides:
        meta = ShardSet.open(side.path).meta
        for modality in meta["modalities"]:
            _same_prepare(modality, merged.setdefault(modality, meta["prepare"][modality]), meta["prepare"][modality], str(side.path))
    return merged


def _same_prepare(modality: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], where: str) -> None:
    if ours != theirs:
        names = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
        told = "; ".join(f"{name}: {ours.get(name)!r} there, {theirs.get(name)!r} here" for name in names)
        raise InputError(
            f"{where}: its {modality} was prepared otherwise than the reference's ({told}), so a difference would be that of the "
            "preparation; shard it with the reference's `prepare`, or compare its corpus or its raw files, which are prepared "
            "in memory as the reference was"
        )


def _new_sketch(
    new: NewSide, reference: ReferenceSide, asked: Asked, prepare: Mapping[str, Any], model: ModelSide | None, notes: list[str]
) -> tuple[Sketch, dict[str, Any]]:
    from tasks.drift import samples
    from tasks.drift.request_log import read_requests
    from tasks.shards.read import ShardSet

    if new.shards is not None:
        meta = ShardSet.open(new.path).meta
        for modality in sorted({*prepare} & {*meta["modalities"]}):
            _same_prepare(modality, prepare[modality], meta["prepare"][modality], new.name)
        splits = _splits(new.shards, reference, asked)
        return merged([kept(new.shards, split, asked.samples, model, notes) for split in splits], asked.samples), {"against_splits": splits}
    _check_known(prepare)
    facts: dict[str, Any] = {}
    if new.kind == "corpus":
        chosen = samples.of_corpus(new.path, prepare, asked.samples)
    elif new.kind == "requests":
        records, facts = read_requests(new.path, asked.since, prepare.get("text", {}).get("encoding", "utf-8"))
        chosen = samples.of_records(records, new.path.parent, prepare, asked.samples)
    else:
        listed, folder = raw_records(new.path)
        chosen = samples.of_records(listed, folder, prepare, asked.samples)
    return sketched(list(chosen.samples), chosen.records, chosen.label_kinds, model), facts


def _check_known(prepare: Mapping[str, Any]) -> None:
    """Raises InputError for a medium whose code is not here: raw data of it cannot be prepared."""
    from tasks.modalities import MODALITIES

    for modality in prepare:
        if modality not in MODALITIES:
            others = ", ".join(name for name in prepare if name in MODALITIES) or "others"
            raise InputError(
                f"the reference's {modality} is a medium of your own, which is known only where a recipe names its code; shard the new "
                f"data by that recipe and give the shards, or compare {others} alone with --modalities"
            )


def _splits(shards: ShardsSide, reference: ReferenceSide, asked: Asked) -> list[str]:
    """Which splits of new shards are the new data: all, but not what they are compared with."""
    from tasks.shards.read import ShardSet

    there = ShardSet.open(shards.path).splits
    if asked.against_split:
        return [asked.against_split]
    same = any(side.path.resolve() == shards.path.resolve() for side in reference.shards)
    left = [split for split in there if not (same and split == asked.split)]
    if not left:
        raise InputError(f"{shards.path} has no split beside {asked.split!r}, which is the reference; give other data with --against")
    return left


def _shared(one: Sketch, other: Sketch) -> list[str]:
    """Samples that stand on both sides hide drift."""
    import numpy as np

    shared = np.isin(other.record_N, one.record_N)
    for name in sorted({*one.numbers} & {*other.numbers}):
        place = {int(record): float(value) for record, value in zip(one.record_N, one.numbers[name], strict=True)}
        values = zip(other.record_N, other.numbers[name], strict=True)
        shared &= np.array([place.get(int(record), np.nan) == value or np.isnan(value) for record, value in values], dtype=bool)
    number = int(shared.sum())
    return [f"{number} samples of the new data are the reference's own, which hides drift: give what is new alone"] if number else []
