"""Weights of the model that `init` names, put into one that begins: which parts fit, and why others do not. Must not import ray or mlflow.

A part fits when it is of the same kind and all its weights have the same names and sizes here and there. Of an encoder, what it reads must
mean the same (a token's number, say); of a head, its classes must be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from tasks.contracts import Fit, Json
from tasks.errors import InputError
from tasks.models.config import ModelConfig
from tasks.models.encoders.weights import differences
from tasks.models.fused import FusedModel
from tasks.models.load import LoadedModel
from tasks.models.parts import chosen, places, within
from tasks.training.config import TrainConfig
from tasks.training.sources import fit_of, open_source

_SHOWN = 5


@dataclass(frozen=True)
class Receiver:
    """The model that begins, and what decides what its weights mean."""

    model: FusedModel
    config: TrainConfig
    labels: Mapping[str, Mapping[str, Json]]
    fits: Mapping[str, Fit]


def transfer(to: Receiver, folder: Path, note: Callable[[str], None]) -> None:
    """Copy the parts that `transfer:` names, or all that fit. `note` is told what was taken and what was not.

    Raises InputError naming every part that should be taken and does not fit, or when nothing fits.
    """
    given = open_source(folder)
    said, config = to.config.transfer, to.config.model
    named = chosen([*said.take, *said.map], config)
    wanted = named if said.take else list(places(config))
    weights = {part: _taken(part, said.map.get(part, part), to, given, folder) for part in wanted}
    refused = {part: found for part, found in weights.items() if isinstance(found, str)}
    must = [f"{part}: {why}" for part, why in refused.items() if part in named]
    if must or len(refused) == len(wanted):
        problems = must or [f"{part}: {why}" for part, why in refused.items()]
        raise InputError(
            f"{'this' if must else 'nothing'} of `init` can{'not' if must else ''} be taken: {'; '.join(problems)}. Give the part the same "
            "kind and sizes as there, or leave it out of `transfer`" + ("" if must else ", or train without `init`")
        )
    for part, found in weights.items():
        if not isinstance(found, str):
            to.model.load_state_dict({f"{places(config)[part]}{name}": value for name, value in found.items()}, strict=False)
    taken = [part if said.map.get(part, part) == part else f"{part} (from {said.map[part]})" for part in wanted if part not in refused]
    note(f"taken from init: {', '.join(taken)}")
    for part, why in refused.items():
        note(f"not taken from init, begins anew: {part}: {why}")
    for part in wanted:
        if part not in refused and (changes := _changes(config, part, given.config, said.map.get(part, part))):
            note(f"taken from init, with other settings: {part}: {changes}")


def _taken(part: str, source: str, to: Receiver, given: LoadedModel, folder: Path) -> dict[str, Tensor] | str:
    """The weights for a part, by their names behind its place; or why it can't be taken."""
    there = places(given.config)
    if source not in there:
        return f"init has no {source}; it has: {', '.join(there)}"
    one, other = _setting(to.config.model, part), _setting(given.config, source)
    if getattr(one, "kind", None) != getattr(other, "kind", None):
        return f"it is of kind {one.kind!r} here, and {source} of init is of kind {other.kind!r}"
    own = dict(_weights(to.model, places(to.config.model)[part]))
    found = dict(_weights(given.model, there[source]))
    if problems := differences(own, found):
        return problems
    return _meanings(part, source, to, given, folder) or found


def _meanings(part: str, source: str, to: Receiver, given: LoadedModel, folder: Path) -> str:
    """Why equal weights would mean something else here; empty = they mean the same."""
    group, _, name = part.partition(".")
    if group == "encoders" and part == source and _coded(fit_of(given, folder, name)) != _coded(to.fits[name]):
        return (
            f"what was learned about {name} is not the same, so that a code means something else here (another tokenizer or vocabulary); "
            f"set `fits: {{{name}: init}}` to read {name} as init does"
        )
    if group == "heads":
        ours, theirs = (each.get("classes") for each in (to.labels[name], given.labels[source.partition(".")[2]]))
        if ours != theirs:
            return f"its classes are {listed(ours)} here and {listed(theirs)} in init"
    return ""


def _coded(fit: Fit) -> tuple[Any, Any]:
    """What gives codes their meaning: files, and values other than measured numbers."""
    return dict(fit.files), {name: value for name, value in fit.values.items() if name != "count" and not _measured(value)}


def _measured(value: Json) -> bool:
    return isinstance(value, float) or (isinstance(value, list) and bool(value) and all(isinstance(each, float) for each in value))


def _weights(model: FusedModel, place: str) -> Iterator[tuple[str, Tensor]]:
    """Name behind the place → weight: parameters, and the running statistics of batch norm. Other buffers follow from the config."""
    running = [f"{name}." for name, module in model.named_modules() if hasattr(module, "running_mean")]
    parameters = {name for name, _ in model.named_parameters()}
    for name, value in model.state_dict().items():
        if within(name, place) and (name in parameters or name.startswith(tuple(running))):
            yield name.removeprefix(place), value


def _setting(config: ModelConfig, part: str) -> Any:
    """The config of a part; None for single weights."""
    group, _, name = part.partition(".")
    found: dict[str, Any] = {
        "encoders": config.encoders.get(name),
        "branches": config.branch_trunk,
        "heads": config.heads.get(name),
        "objectives": config.objectives.get(name),
        "fusion": config.fusion,
        "trunk": config.joint_trunk,
    }
    return found.get(group)


def _changes(config: ModelConfig, part: str, other: ModelConfig, source: str) -> str:
    """Settings that differ though the weights fit."""
    here, there = (each.model_dump(mode="json") if each is not None else {} for each in (_setting(config, part), _setting(other, source)))
    return ", ".join(f"{name} {there.get(name)} → {here.get(name)}" for name in {**there, **here} if there.get(name) != here.get(name))


def listed(classes: Any) -> str:
    """The first of a head's classes."""
    if classes is None:
        return "none"
    return ", ".join(map(str, classes[:_SHOWN])) + (f" and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else "")
