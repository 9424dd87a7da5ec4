"""Weights of the model that `init` names, put into one that begins: which parts fit, and why others do not. Must not import ray or mlflow.

A part fits when it is of the same kind and all its weights have the same names and sizes here and there, and when they mean the same: of an
encoder what it reads (a token's number, say), of a head its classes or the tokens it says, of a fusion the modalities. An encoder that
begins with the one of another modality takes what stands behind the layer that reads the medium, which begins anew.
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
_READING = ".embed."
"""Where encoders of several media keep the layer that reads theirs."""


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
    note(f"taken from init: {', '.join(_told(part, said.map.get(part, part), to) for part in wanted if part not in refused)}")
    for part, why in refused.items():
        note(f"not taken from init, begins anew: {part}: {why}")
    for part in wanted:
        if part not in refused and (changes := _changes(to, part, given, said.map.get(part, part))):
            note(f"taken from init, with other settings: {part}: {changes}")


def _taken(part: str, source: str, to: Receiver, given: LoadedModel, folder: Path) -> dict[str, Tensor] | str:
    """The weights for a part, by their names behind its place; or why it can't be taken."""
    there = places(given.config)
    if source not in there:
        return f"init has no {source}; it has: {', '.join(there)}"
    one, other = _setting(to.config.model, part), _setting(given.config, source)
    ours, theirs = (getattr(setting, "kind", "weight") for setting in (one, other))
    if ours != theirs:
        return f"it is of kind {ours!r} here, and {source} of init is of kind {theirs!r}"
    own = dict(_weights(to.model, places(to.config.model)[part]))
    found = dict(_weights(given.model, there[source]))
    if _crosses(part, source):
        own, found = ({name: value for name, value in each.items() if not name.startswith(_READING)} for each in (own, found))
    if problems := differences(own, found):
        return problems
    return _meanings(part, source, to, given, folder) or found


def _crosses(part: str, source: str) -> bool:
    """Whether an encoder begins with the one of another modality."""
    return part != source and part.startswith("encoders.")


def _meanings(part: str, source: str, to: Receiver, given: LoadedModel, folder: Path) -> str:
    """Why equal weights would mean something else here; empty = they mean the same."""
    group, _, name = part.partition(".")
    coded = name if group == "encoders" and part == source else getattr(_setting(to.config.model, part), "target", None)
    if coded is not None and _coded(fit_of(given, folder, coded)) != _coded(to.fits[coded]):
        return (
            f"what was learned about {coded} is not the same, so that a code means something else here (another tokenizer or vocabulary); "
            f"set `fits: {{{coded}: init}}` to read {coded} as init does"
        )
    if part in ("fusion", "log_variances"):
        here, there = (list(each.modalities if part == "fusion" else each.loss_weights) for each in (to.model, given.model))
        if here != there:
            return f"it is of {', '.join(here)} here and of {', '.join(there)} in init"
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
    """Name behind the place → weight: parameters, and statistics that run along, as of batch norm. Other buffers follow from the config."""
    running = [f"{name}." for name, module in model.named_modules() if hasattr(module, "running_mean") or hasattr(module, "learn")]
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


def _told(part: str, source: str, to: Receiver) -> str:
    """A part that is taken, and from which it is."""
    if part == source:
        return part
    place = places(to.config.model)[part]
    anew = _crosses(part, source) and any(name.startswith(_READING) for name, _ in _weights(to.model, place))
    return f"{part} (from {source}{', but for the layer that reads the medium' if anew else ''})"


def _changes(to: Receiver, part: str, given: LoadedModel, source: str) -> str:
    """Settings that differ though the weights fit, and how an encoder's medium is read."""
    settings = (_setting(to.config.model, part), _setting(given.config, source))
    here, there = (each.model_dump(mode="json") if each is not None else {} for each in settings)
    group, _, name = part.partition(".")
    if group == "encoders" and part == source:
        here |= {f"read.{field}": value for field, value in to.config.read[name].model_dump(mode="json").items()}
        there |= {f"read.{field}": value for field, value in given.description["read"][name].items()}
    return ", ".join(f"{name} {there.get(name)} → {here.get(name)}" for name in {**there, **here} if there.get(name) != here.get(name))


def listed(classes: Any) -> str:
    """The first of a head's classes."""
    if classes is None:
        return "none"
    return ", ".join(map(str, classes[:_SHOWN])) + (f" and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else "")
