"""Fusions: the tokens of every modality to one `Tokens`.

An entry is built as `Class(config, modalities, width)` and called with `(tokens, present_BM)`. docs/fusions.md has the formulas.
"""

from tasks.models.fusions.config import (
    AttentionConfig,
    BottleneckConfig,
    ConcatConfig,
    CrossAttentionConfig,
    FilmConfig,
    GatedConfig,
    GraphConfig,
    LowRankConfig,
    MaxConfig,
    MeanConfig,
    SequenceConfig,
    SumConfig,
    VotingConfig,
    WeightedConfig,
)
from tasks.registry import Entry

FUSIONS: dict[str, Entry] = {
    "concat": Entry(ConcatConfig, "tasks.models.fusions.concat:Concat"),
    "sum": Entry(SumConfig, "tasks.models.fusions.elementwise:Elementwise"),
    "mean": Entry(MeanConfig, "tasks.models.fusions.elementwise:Elementwise"),
    "max": Entry(MaxConfig, "tasks.models.fusions.elementwise:Elementwise"),
    "weighted": Entry(WeightedConfig, "tasks.models.fusions.weighted:Weighted"),
    "gated": Entry(GatedConfig, "tasks.models.fusions.gated:Gated"),
    "low_rank": Entry(LowRankConfig, "tasks.models.fusions.low_rank:LowRank"),
    "film": Entry(FilmConfig, "tasks.models.fusions.film:Film"),
    "sequence": Entry(SequenceConfig, "tasks.models.fusions.sequence:Sequence"),
    "attention": Entry(AttentionConfig, "tasks.models.fusions.attention:Attention"),
    "cross_attention": Entry(CrossAttentionConfig, "tasks.models.fusions.cross_attention:CrossAttention"),
    "bottleneck": Entry(BottleneckConfig, "tasks.models.fusions.bottleneck:Bottleneck"),
    "graph": Entry(GraphConfig, "tasks.models.fusions.graph:Graph"),
    "voting": Entry(VotingConfig, "tasks.models.fusions.voting:Voting"),
}
