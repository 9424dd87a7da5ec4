"""Fusions: the tokens of every modality to one `Tokens`.

An entry is built as `Class(config, modalities, width)` and called with `(tokens, present_BM)`.
"""

from tasks.models.fusions.config import AttentionConfig, ConcatConfig
from tasks.registry import Entry

FUSIONS: dict[str, Entry] = {
    "concat": Entry(ConcatConfig, "tasks.models.fusions.concat:Concat"),
    "attention": Entry(AttentionConfig, "tasks.models.fusions.attention:Attention"),
}
