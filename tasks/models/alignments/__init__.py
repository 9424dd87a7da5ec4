"""Alignments: how far apart the embeddings of two modalities are over a batch.

An entry is built as `Class(config, dim)` and called with `(one_BE, other_BE, weight_B)`. It gives a `WeightedSum` whose weight is the sum
of `weight_B`, which is 0 for samples that lack one of the two.

Most alignments make the cosine of two embeddings mean something. One whose loss leaves open in which coordinates to compare has a method
`space(modalities)`: a module that learns them from whole batches (`learn`) and puts embeddings there (`forward`).
"""

from tasks.models.alignments.config import (
    CcaConfig,
    ContrastiveConfig,
    CoralConfig,
    DistanceConfig,
    MarginConfig,
    MmdConfig,
    SiglipConfig,
)
from tasks.registry import Entry

ALIGNMENTS: dict[str, Entry] = {
    "contrastive": Entry(ContrastiveConfig, "tasks.models.alignments.contrastive:Contrastive"),
    "siglip": Entry(SiglipConfig, "tasks.models.alignments.siglip:Siglip"),
    "margin": Entry(MarginConfig, "tasks.models.alignments.margin:Margin"),
    "distance": Entry(DistanceConfig, "tasks.models.alignments.distance:Distance"),
    "mmd": Entry(MmdConfig, "tasks.models.alignments.mmd:Mmd"),
    "coral": Entry(CoralConfig, "tasks.models.alignments.coral:Coral"),
    "cca": Entry(CcaConfig, "tasks.models.alignments.cca:Cca"),
}
