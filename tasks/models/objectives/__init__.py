"""Objectives: losses beside those of the heads, on what the model makes of its modalities.

An entry is built as `Class(config, modalities, width, label)`; `tasks.models.contracts.Objective` says what it can do.
"""

from tasks.models.objectives.config import AlignmentConfig
from tasks.registry import Entry

OBJECTIVES: dict[str, Entry] = {
    "alignment": Entry(AlignmentConfig, "tasks.models.objectives.alignment:Alignment"),
}
