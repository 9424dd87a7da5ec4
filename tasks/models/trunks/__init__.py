"""Trunks: fused tokens to the tokens that the heads share. An entry is built as `Class(config, width)` and called with `Tokens`."""

from tasks.models.trunks.config import CnnTrunkConfig, MlpConfig, RnnTrunkConfig, TransformerTrunkConfig
from tasks.registry import Entry

TRUNKS: dict[str, Entry] = {
    "mlp": Entry(MlpConfig, "tasks.models.trunks.mlp:Mlp"),
    "rnn": Entry(RnnTrunkConfig, "tasks.models.trunks.rnn:Rnn"),
    "cnn": Entry(CnnTrunkConfig, "tasks.models.trunks.cnn:Cnn"),
    "transformer": Entry(TransformerTrunkConfig, "tasks.models.trunks.transformer:Transformer"),
}
