"""Trunks: fused tokens to the tokens that the heads share. An entry is built as `Class(config, width)` and called with `Tokens`."""

from tasks.models.trunks.config import MlpConfig
from tasks.registry import Entry

TRUNKS: dict[str, Entry] = {
    "mlp": Entry(MlpConfig, "tasks.models.trunks.mlp:Mlp"),
}
