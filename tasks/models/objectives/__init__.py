"""Objectives: losses beside those of the heads, on what the model makes of its modalities.

An entry is built as `Class(config, modalities, width, label)`; `tasks.models.contracts.Objective` says what it can do.
"""

from tasks.models.objectives.config import AlignmentConfig
from tasks.models.objectives.config_adversarial import AdversarialConfig, DomainAdversarialConfig, DomainCoralConfig
from tasks.models.objectives.config_generative import MultimodalVaeConfig
from tasks.models.objectives.config_pairs import MatchingConfig
from tasks.registry import Entry

OBJECTIVES: dict[str, Entry] = {
    "alignment": Entry(AlignmentConfig, "tasks.models.objectives.alignment:Alignment"),
    "matching": Entry(MatchingConfig, "tasks.models.objectives.matching:Matching"),
    "multimodal_vae": Entry(MultimodalVaeConfig, "tasks.models.objectives.multimodal_vae:MultimodalVae"),
    "adversarial": Entry(AdversarialConfig, "tasks.models.objectives.adversarial:Adversarial"),
    "domain_adversarial": Entry(DomainAdversarialConfig, "tasks.models.objectives.domain_adversarial:DomainAdversarial"),
    "domain_coral": Entry(DomainCoralConfig, "tasks.models.objectives.domain_coral:DomainCoral"),
}
