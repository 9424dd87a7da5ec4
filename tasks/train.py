"""Train a fused model on shards. In: shards, and models to begin with or to learn from: `init`, `teacher`. Out: a model folder that needs
no recipe to be opened.

The training itself runs in `tasks.training`, in this process or in Ray Train's workers; this file holds what can be said
before anything starts, and the writing of the artifact. `TrainConfig` is its config.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contracts import Inputs, Json, Summary, TaskContext
from tasks.errors import CorruptArtifact, InputError, Stopped
from tasks.modalities import MODALITIES
from tasks.models.config import parts
from tasks.models.policies import POLICIES
from tasks.models.policies.config import SupervisedConfig
from tasks.models.pretrained import digests, placed, with_architecture
from tasks.registry import identity as identity_of
from tasks.shards.amounts import amount
from tasks.shards.shares import listed
from tasks.training.config import TrainConfig
from tasks.training.config_transfer import TransferConfig
from tasks.training.neighbours import misfits

__all__ = ["TrainConfig", "estimate", "identity", "lint", "numbers", "train"]

if TYPE_CHECKING:
    from tasks.shards.joined import AnyShards
    from tasks.tracking.writer import Status
    from tasks.training.sources import Sources
    from tasks.training.state import Checkpoint


def train(config: TrainConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """Train, or go on where an earlier attempt with the same key ended, and write the model.

    Raises InputError before anything starts when config and shards do not fit; Stopped after a checkpoint when asked to stop.
    """
    from tasks.shards.joined import Joined, open_shards
    from tasks.training import state
    from tasks.training.agreement import check_agreement
    from tasks.training.checks import check_shards, probe_model
    from tasks.training.own_parts import check_own
    from tasks.training.reach import check_reach
    from tasks.training.sources import Sources, fit_places, fits

    folder = context.code_dir or Path.cwd()
    config = config.model_copy(update={"model": with_architecture(config.model, folder)})
    there = config.model_copy(update={"model": placed(config.model, folder)})
    given = listed(inputs, "shards")
    shard_set = open_shards([artifact.path.absolute() for artifact in given], config.mixture)
    check_shards(config, shard_set, max(1, context.resources.workers))
    if isinstance(shard_set, Joined):
        check_agreement(config, shard_set, [artifact.step or str(artifact.path) for artifact in given], context.sink.note)
    sources = Sources(*(inputs[name].path.absolute() if name in inputs else None for name in ("init", "teacher")))
    _check_sources(config, inputs, context)
    shapes, labels, num_parameters = probe_model(there, shard_set, sources, context.sink.note)
    seed = context.seed if config.seed is None else config.seed
    root = context.work_dir / state.FOLDER
    final = state.newest(root, context.sink.note)
    if final is None or not final.progress.finished:
        fitted = fits(config, shard_set, sources)
        check_own(there, shard_set, shapes, labels, fitted)
        check_reach(there, shard_set, shapes, labels, fitted, context.sink.note)
        _run(there, [str(artifact.path.absolute()) for artifact in given], sources, seed, num_parameters, context)
        final = state.newest(root, context.sink.note)
        assert final is not None and final.progress.finished
    fit_folders, fit_files = fit_places(config, shard_set, sources)
    description = {
        "model": config.model.model_dump(mode="json"),
        "read": {modality: read.model_dump(mode="json") for modality, read in config.readers().items()},
        **_provenance(config, shard_set, fit_files),
        "shapes": shapes,
        "labels": {name: labels[name] for name in config.model.heads},
        **({"objectives": asked} if (asked := {name: labels[name] for name in config.model.objectives if name in labels}) else {}),
        "seed": seed,
        "num_parameters": num_parameters,
    }
    return _write(config, final, description, fit_folders, output_dir, context)


def identity(config: TrainConfig, base_dir: Path) -> dict[str, Json]:
    """Versions of the parts the model is made of, and digests of the user's own code and of weights from outside: they enter the key."""
    found: dict[str, Json] = {"model": parts(config.model)}
    if pretrained := digests(config.model, base_dir):
        found["pretrained"] = pretrained
    if config.policy != SupervisedConfig():
        found["policy"] = identity_of(POLICIES, config.policy.kind)
    varied = {modality for each in (config.augment, *getattr(config.policy, "views", {}).values()) for modality in each}
    if varied:
        found["augment"] = {modality: entry.version for modality in sorted(varied) if (entry := MODALITIES[modality].augment)}
    return found


def estimate(config: TrainConfig, base_dir: Path, inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:  # noqa: ARG001
    """Records it trains on and validates with, each counted once however many epochs there are."""
    first, *others = listed(inputs, "shards") or [{}]
    amounts = [amount(first, ["train", "val"]), *(amount(other, ["train"]) for other in others)]
    known = set.intersection(*(set(each) for each in amounts))
    return {name: sum(each[name] for each in amounts) for name in ("records", "bytes") if name in known}


def lint(config: TrainConfig, inputs: dict[str, Any]) -> list[str]:
    """What cannot work, seen from the configs alone. `inputs` may hold the configs of the steps before, and `given`: the step's inputs."""
    return [*(_unnamed(config, inputs["given"]) if "given" in inputs else []), *misfits(config, inputs)]


def numbers(config: TrainConfig, inputs: dict[str, Any]) -> list[str]:  # noqa: ARG001 - the signature of every task's hook
    """Where the summary will have numbers, or numbers below: dotted paths. A head of the user's own names its metrics itself."""
    known = {name: getattr(head, "measures", None) for name, head in config.model.heads.items()}
    measured = [path for name, own in known.items() for path in ([f"val.{name}.{metric}" for metric in own] if own else [f"val.{name}"])]
    measured += [f"val.{name}.loss" for name in config.model.objectives]
    return [*measured, "train_loss", "best_epoch", "num_parameters", "samples_per_s", "seconds"]


def _check_sources(config: TrainConfig, inputs: Inputs, context: TaskContext) -> None:
    """Whether the models that the config speaks of are there; `init` may stand for none yet, and the first model then begins anew."""
    asked = next((step.inputs for step in context.lineage.steps if step.name == context.step), {})
    for problem in _unnamed(config, {*inputs, *asked}):
        raise InputError(problem)
    if "init" in asked and "init" not in inputs:
        context.sink.note(f"{asked['init']} stands for no model yet: this training begins anew")
    if "teacher" in asked and "teacher" not in inputs:
        raise InputError(
            f"teacher: {asked['teacher']} stands for no model yet; promote one to that alias, or name a step that trains the teacher"
        )


def _unnamed(config: TrainConfig, given: Set[str]) -> list[str]:
    """Settings that need an input which the step lacks, and inputs that nothing needs."""
    of_fits = set(config.fits.values())
    teaches = getattr(config.policy, "needs_teacher", False)
    rows = [
        (
            "init" not in given and config.transfer != TransferConfig(),
            "transfer: there is no input `init` to take from; name a step or models:/NAME@ALIAS in `init:`, or leave this out",
        ),
        *(
            (
                name not in given and name in of_fits,
                f"fits: there is no input `{name}` to take fits from; name a step or models:/NAME@ALIAS in `{name}:`, or leave this out",
            )
            for name in ("init", "teacher")
        ),
        (
            "teacher" not in given and teaches,
            f"policy: {config.policy.kind!r} learns from a teacher; name a step or models:/NAME@ALIAS in `teacher:`",
        ),
        (
            "teacher" in given and not teaches,
            f"teacher: policy {config.policy.kind!r} does not learn from a teacher; set `policy: distillation`, or leave `teacher` out",
        ),
    ]
    return [sentence for applies, sentence in rows if applies]


def _run(config: TrainConfig, shards: Sequence[str], sources: Sources, seed: int, num_parameters: int, context: TaskContext) -> None:
    """Launch the training, with its curves in the tracking server when there is one."""
    from tasks.training.launch import launch, spec_json

    context.work_dir.mkdir(parents=True, exist_ok=True)
    spec = spec_json(
        {
            "config": config.model_dump(mode="json"),
            "shards": shards,
            "sources": {name: str(folder) for name, folder in asdict(sources).items() if folder},
            "work_dir": str(context.work_dir.absolute()),
            "seed": seed,
            "threads": context.resources.cpus,
            "gpu": bool(context.resources.gpus),
            "code_dir": str(context.code_dir.absolute()) if context.code_dir else "",
        }
    )
    if not context.tracking.uri:
        launch(spec, context, _unlogged)
        return
    from tasks.tracking.runs import open_training_run

    writer = open_training_run(context, {**_flat(spec["config"]), "seed": seed, "num_parameters": num_parameters})
    status: Status = "FAILED"
    try:
        launch(spec, context, writer.log)
        status = "FINISHED"
    except (Stopped, KeyboardInterrupt):
        status = "KILLED"
        raise
    finally:
        writer.close(status)


def _write(
    config: TrainConfig, final: Checkpoint, description: dict[str, Json], fits: dict[str, Path], output_dir: Path, context: TaskContext
) -> Summary:
    """The model folder, from the checkpoint that `select` names."""
    from tasks.models.load import save_model
    from tasks.models.lora import merged
    from tasks.training.channel import METRICS

    progress = final.progress
    best = progress.best if config.select == "best" and progress.best else None
    chosen = _best(final.path.parent, best["steps"]) if best else final
    weights = {name: part.weight for name, part in {**config.model.heads, **config.model.objectives}.items()}
    counts = {"epochs": config.epochs, "steps": progress.steps, "best_epoch": best["epoch"] if best else config.epochs}
    kept = chosen.average() or chosen.model()
    save_model(output_dir, merged(kept, config.lora.scale) if config.lora else kept, {**description, **counts}, fits)
    if (context.work_dir / METRICS).exists():
        shutil.copyfile(context.work_dir / METRICS, output_dir / METRICS)
    return {
        **counts,
        "train_loss": sum(weights[name] * value for name, value in progress.train.items() if name in weights),
        "val": best["val"] if best else progress.val,
        "num_parameters": description["num_parameters"],
        "samples_per_s": round(progress.samples / progress.train_seconds, 1) if progress.train_seconds else 0.0,
        "seconds": round(progress.seconds, 3),
    }


def _best(root: Path, steps: int) -> Checkpoint:
    """The checkpoint with the lowest validation loss. What came after it can't replace it, so when it is damaged all of them go."""
    from tasks.training import state

    try:
        return state.read(state.at(root, steps))
    except CorruptArtifact as error:
        shutil.rmtree(root)
        raise CorruptArtifact(f"{error}; it was the best one, so run the same command again: the training begins anew") from error


def _provenance(config: TrainConfig, shard_set: AnyShards, fit_files: Mapping[str, list[str]]) -> dict[str, Json]:
    """What the model keeps of the shards it was trained on."""
    read = config.model.read_modalities
    return {
        "prepare": {modality: shard_set.meta["prepare"][modality] for modality in read},
        "modalities": sorted(config.model.encoders),
        "fit_files": dict(fit_files),
    }


def _flat(config: Mapping[str, Json], prefix: str = "") -> dict[str, Json]:
    """Nested keys joined by dots."""
    flat: dict[str, Json] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _unlogged(values: dict[str, float], step: int) -> None:
    """Where curves go that no tracking server takes: they stand in metrics.jsonl."""
