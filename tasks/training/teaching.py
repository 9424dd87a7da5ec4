"""What must hold between a teacher and its student before a training starts. Must not import ray or mlflow.

A batch is read once: a modality that both take has to be read alike. One that the teacher alone takes is read as the teacher does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.errors import InputError, LabelError
from tasks.models.load import LoadedModel
from tasks.models.policies import POLICIES
from tasks.registry import implementation
from tasks.shards.joined import AnyShards
from tasks.training.config import TrainConfig
from tasks.training.sources import fit_of
from tasks.training.transfer import Receiver, listed


def check_teacher(config: TrainConfig, teacher: LoadedModel, folder: Path, shard_set: AnyShards, student: Receiver) -> None:
    """Raises InputError or LabelError with what differs and what to change."""
    for modality in teacher.modalities:
        if modality not in shard_set.meta["modalities"] or modality not in shard_set.meta["fit_files"]:
            raise InputError(
                f"teacher: it takes {', '.join(teacher.modalities)}, and no sample of the split 'train' has {modality}; take a teacher "
                "without it, or add the medium to the corpus and to the shard step's `prepare`"
            )
        if modality not in config.readers():
            continue
        here, theirs = config.readers()[modality].model_dump(mode="json"), teacher.description["read"][modality]
        differing = {name: theirs.get(name) for name in {**here, **theirs} if here.get(name) != theirs.get(name)}
        if differing:
            told = ", ".join(f"{name}: {value} (here {here.get(name)})" for name, value in differing.items())
            raise InputError(
                f"teacher: it reads {modality} otherwise than the student, and a batch is read once: {told}; set these in "
                f"`read.{modality}` as the teacher has them, or train a teacher that reads as the student does"
            )
        if fit_of(teacher, folder, modality) != student.fits[modality]:
            raise InputError(
                f"teacher: what was learned about {modality} (tokenizer, normalisation) is not the same as in the shards, and a batch is "
                f"read once; set `fits: {{{modality}: teacher}}` to read {modality} as the teacher does"
            )
    _check_heads(config.policy, teacher, student)


def _check_heads(policy: Any, teacher: LoadedModel, student: Receiver) -> None:
    taught = getattr(implementation(POLICIES, policy.kind), "taught", None)  # one of the user's own may compare as it likes
    for name in taught(policy, student.model, teacher.model) if taught else ():
        ours, theirs = (each[name].get("classes") for each in (student.labels, teacher.labels))
        if ours != theirs:
            raise LabelError(
                f"head {name!r} has the classes {listed(ours)} in the shards and {listed(theirs)} in the teacher; name them alike where "
                "the corpora are ingested, or leave this head out of the policy's `heads`"
            )
