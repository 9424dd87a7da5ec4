"""Learning from a teacher (arXiv:1503.02531): a larger model, or one with more modalities. Must not import ray or mlflow.

The teacher rests: eval mode, no gradients, and no part of the policy's modules, so that no checkpoint holds it. It sees the same batch,
with what modality dropout left of the modalities that both take, as arXiv:2106.05237 advises.

Shape suffixes: B samples, K classes, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.contracts import Batch
from tasks.errors import InputError
from tasks.models.contracts import Setting, Step
from tasks.models.fused import FusedModel
from tasks.models.heads.classification import Classification
from tasks.models.heads.regression import Regression
from tasks.models.policies.config_teacher import COMPARED, DistillationConfig
from tasks.models.policies.supervised import Supervised
from tasks.models.tokens import WeightedSum

OWN = "teacher/{}"
"""The name of a distance among the losses."""
FEATURES = "features"


class Distillation(Supervised):
    """(1 - alpha) · the model's losses + alpha · the distances from the teacher, each with its head's weight."""

    def __init__(self, config: DistillationConfig, model: FusedModel, setting: Setting) -> None:
        super().__init__(config, model, setting)
        self.config = config
        teacher: FusedModel = setting.teacher.model.requires_grad_(requires_grad=False).eval()
        self._teacher = (teacher,)  # in a tuple, so that it is no module of this one
        self.heads = taught_heads(config, model, teacher)
        self.project: nn.Linear | None = None
        self.weights = {OWN.format(name): model.loss_weights[name] for name in self.heads}
        if config.features:
            width = next(iter(model.missing.values())).shape[0]
            self.project = nn.Linear(width, setting.teacher.config.width)
            self.weights[OWN.format(FEATURES)] = config.features

    @staticmethod
    def taught(config: DistillationConfig, student: FusedModel, teacher: FusedModel) -> list[str]:
        """Heads that learn from the teacher. Raises InputError for one that cannot."""
        return taught_heads(config, student, teacher)

    @property
    def factors(self) -> Mapping[str, float]:
        alpha = self.config.alpha
        own = {name: (1 - alpha) * weight for name, weight in self.model.loss_weights.items()}
        return own | {name: alpha * weight for name, weight in self.weights.items()}

    def losses(self, part: Batch) -> dict[str, WeightedSum]:
        """Those of the model, and the distances."""
        (teacher,) = self._teacher
        with self.setting.autocast():
            outputs = self.model.outputs(part.inputs, self.model.present_BM(part))
            with torch.no_grad():
                wanted = teacher.outputs(part.inputs, teacher.present_BM(part))
        found = self.model.losses(outputs, part)
        for name in self.heads:
            student = self.model.head(name)
            apart_B = DISTANCES[type(student)](student, outputs.heads[name], teacher.head(name), wanted.heads[name], self.config)
            found[OWN.format(name)] = WeightedSum((apart_B * part.weight).sum(), part.weight.sum())
        if self.project is not None:
            guess_BD = self.project(outputs.features.fused.mean_BD().float())
            apart_B = (guess_BD - wanted.features.fused.mean_BD().float()).square().mean(-1)
            found[OWN.format(FEATURES)] = WeightedSum((apart_B * part.weight).sum(), part.weight.sum())
        return found

    def total(self, means: Mapping[str, Tensor], share: float) -> Tensor:
        own = self.model.total({name: value for name, value in means.items() if name not in self.weights}, share)
        taught = torch.stack([weight * means[name] for name, weight in self.weights.items()]).sum()
        return (1 - self.config.alpha) * own + self.config.alpha * taught

    def step(self, step: Step, batch: Batch) -> tuple[Tensor, Tensor]:
        weights = self.model.loss_weight(batch) | dict.fromkeys(self.weights, batch.weight.sum())
        loss = step.backward(batch, self.losses, weights)
        return loss, step.update()


def taught_heads(config: DistillationConfig, student: FusedModel, teacher: FusedModel) -> list[str]:
    """Heads of both models that can be compared, those of `heads` or all. Raises InputError."""
    can = [name for name in student.learns_from if not _why_not(name, student, teacher)]
    for name in config.heads:
        if name not in can:
            why = _why_not(name, student, teacher) if name in student.learns_from else "the student has no such head"
            raise InputError(f"policy.heads: {name!r} cannot learn from the teacher: {why}; heads that can: {', '.join(can) or 'none'}")
    if not can:
        whys = "; ".join(f"{name}: {_why_not(name, student, teacher)}" for name in student.learns_from)
        ours = [name for name in student.learns_from if type(student.head(name)) in DISTANCES]
        cure = f"take a teacher with {' or '.join(ours)}, of the same kind" if ours else f"give both a head {' or '.join(COMPARED)}"
        raise InputError(f"policy 'distillation': no head can learn from the teacher: {whys}; {cure}")
    return list(config.heads) or can


def _why_not(name: str, student: FusedModel, teacher: FusedModel) -> str:
    if name not in teacher.learns_from:
        return f"the teacher has no such head; it has: {', '.join(teacher.learns_from)}"
    if type(student.head(name)) not in DISTANCES:
        return f"a head of the kind {student.config.heads[name].kind!r} is not compared, only {' and '.join(COMPARED)}"
    same = type(student.head(name)) is type(teacher.head(name))
    return "" if same else f"it is of another kind there, {teacher.config.heads[name].kind!r}"


def _between_classes(student: Any, logits_BK: Tensor, teacher: Any, wanted_BK: Tensor, config: DistillationConfig) -> Tensor:
    """Kullback-Leibler divergence from the teacher's softened probabilities, times the temperature's square."""
    del student, teacher
    said_BK, wanted_BK = ((each / config.temperature).log_softmax(-1) for each in (logits_BK, wanted_BK))
    apart_B = F.kl_div(said_BK, wanted_BK, reduction="none", log_target=True).sum(-1)
    return apart_B * config.temperature**2


def _between_numbers(student: Regression, output_B: Tensor, teacher: Regression, wanted_B: Tensor, config: DistillationConfig) -> Tensor:
    """Squared, in the student's standardised unit."""
    del config
    return (output_B - (teacher.predict(wanted_B) - student.mean) / student.std).square()


DISTANCES: dict[type[Any], Callable[..., Tensor]] = {Classification: _between_classes, Regression: _between_numbers}
"""Head of one of the kinds in `COMPARED` → distance of each sample."""
