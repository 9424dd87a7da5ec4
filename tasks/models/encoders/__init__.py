"""Encoders: one modality's tensor to `Tokens`.

An entry is built as `Class(config, shape, width)` and called with `(values, lengths_B)`.
"""

from tasks.models.encoders.config import CnnConfig, CnnLstmConfig, GruConfig
from tasks.registry import Entry

ENCODERS: dict[str, Entry] = {
    "cnn": Entry(CnnConfig, "tasks.models.encoders.cnn:Cnn"),
    "gru": Entry(GruConfig, "tasks.models.encoders.gru:Gru"),
    "cnn_lstm": Entry(CnnLstmConfig, "tasks.models.encoders.cnn_lstm:CnnLstm"),
}
