"""Video to a token a frame: convolutions over each frame, an LSTM over frames. Must not import ray or mlflow.

Shape suffixes: B samples, T frames, C channels, H height, W width, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from tasks.models.encoders.cnn import Stages
from tasks.models.encoders.config_video import FrameCnnLstmConfig
from tasks.models.encoders.recurrent import Recurrent
from tasks.models.tokens import Tokens, need, valid_BT


class FrameCnnLstm(nn.Module):
    """Frames are told apart by the average of their last map, and put in order by the LSTM."""

    def __init__(self, config: FrameCnnLstmConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        _, channels, height, width_px = need(shape, ("frames", "channels", "height", "width"), config.kind)
        self.stages = Stages(config.kind, config.channels, channels, (height, width_px))
        self.project = nn.Linear(config.channels[-1], width)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = Recurrent(nn.LSTM, width, config.layers, config.bidirectional, config.dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, video_BTCHW: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        mask_BT = valid_BT(lengths_B, video_BTCHW)
        means = self.stages(video_BTCHW.flatten(0, 1)).mean((2, 3))
        frames_BTD = self.dropout(self.project(means.unflatten(0, mask_BT.shape)))
        return Tokens(self.norm(self.recurrent(frames_BTD, mask_BT)), mask_BT)
