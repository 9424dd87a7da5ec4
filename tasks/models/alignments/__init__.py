"""Alignments: how far apart the embeddings of two modalities are over a batch.

An entry is built as `Class(config, dim)` and called with `(one_BE, other_BE, weight_B)`. It gives a `WeightedSum` whose weight is the sum
of `weight_B`, which is 0 for samples that lack one of the two.
"""

from tasks.models.alignments.config import ContrastiveConfig
from tasks.registry import Entry

ALIGNMENTS: dict[str, Entry] = {
    "contrastive": Entry(ContrastiveConfig, "tasks.models.alignments.contrastive:Contrastive"),
}
