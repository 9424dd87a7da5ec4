"""Policies: what one training step does.

An entry is built as `Class(config, model, setting)`; `tasks.models.contracts.Policy` says what it can do.
"""

from tasks.models.policies.config import SupervisedConfig
from tasks.models.policies.config_adversarial import AdversarialPolicyConfig
from tasks.models.policies.config_few_labels import PseudoLabelsConfig, ReptileConfig
from tasks.models.policies.config_teacher import DistillationConfig
from tasks.registry import Entry

POLICIES: dict[str, Entry] = {
    "supervised": Entry(SupervisedConfig, "tasks.models.policies.supervised:Supervised"),
    "adversarial": Entry(AdversarialPolicyConfig, "tasks.models.policies.adversarial:Adversarial"),
    "pseudo_labels": Entry(PseudoLabelsConfig, "tasks.models.policies.pseudo_labels:PseudoLabels"),
    "reptile": Entry(ReptileConfig, "tasks.models.policies.reptile:Reptile"),
    "distillation": Entry(DistillationConfig, "tasks.models.policies.distillation:Distillation"),
}
