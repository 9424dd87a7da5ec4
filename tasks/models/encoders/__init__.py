"""Encoders: one modality's tensor to `Tokens`.

An entry is built as `Class(config, shape, width)` and called with `(values, lengths_B)`.
"""

from tasks.models.encoders.config import CnnConfig, CnnLstmConfig, GruConfig
from tasks.models.encoders.config_image import RegionsConfig, ResNetConfig, VggConfig, VitConfig
from tasks.models.encoders.config_pretrained import HfImageConfig, HfTextConfig
from tasks.models.encoders.config_sequence import (
    ConformerConfig,
    CrnnConfig,
    EmbeddingBagConfig,
    LstmConfig,
    SpectrogramCnnConfig,
    TcnConfig,
    TextCnnConfig,
    TransformerConfig,
    WaveformCnnConfig,
    WordVectorsConfig,
)
from tasks.models.encoders.config_table import FeatureTokensConfig, MlpConfig
from tasks.models.encoders.config_video import Cnn3dConfig, FrameCnnLstmConfig, VideoTransformerConfig
from tasks.registry import Entry

ENCODERS: dict[str, Entry] = {
    "cnn": Entry(CnnConfig, "tasks.models.encoders.cnn:Cnn"),
    "vgg": Entry(VggConfig, "tasks.models.encoders.vgg:Vgg"),
    "resnet": Entry(ResNetConfig, "tasks.models.encoders.resnet:ResNet"),
    "vit": Entry(VitConfig, "tasks.models.encoders.vit:Vit"),
    "regions": Entry(RegionsConfig, "tasks.models.encoders.regions:Regions", version=2),
    "hf_image": Entry(HfImageConfig, "tasks.models.encoders.hf_image:HfImage", version=2),
    "embedding_bag": Entry(EmbeddingBagConfig, "tasks.models.encoders.embedding_bag:EmbeddingBag"),
    "word_vectors": Entry(WordVectorsConfig, "tasks.models.encoders.word_vectors:WordVectors", version=2),
    "text_cnn": Entry(TextCnnConfig, "tasks.models.encoders.text_cnn:TextCnn"),
    "lstm": Entry(LstmConfig, "tasks.models.encoders.recurrence:Recurrence"),
    "gru": Entry(GruConfig, "tasks.models.encoders.recurrence:Recurrence"),
    "transformer": Entry(TransformerConfig, "tasks.models.encoders.transformer:Transformer"),
    "hf_text": Entry(HfTextConfig, "tasks.models.encoders.hf_text:HfText", version=2),
    "spectrogram_cnn": Entry(SpectrogramCnnConfig, "tasks.models.encoders.spectrogram_cnn:SpectrogramCnn"),
    "cnn_lstm": Entry(CnnLstmConfig, "tasks.models.encoders.cnn_lstm:CnnLstm"),
    "crnn": Entry(CrnnConfig, "tasks.models.encoders.crnn:Crnn"),
    "conformer": Entry(ConformerConfig, "tasks.models.encoders.conformer:Conformer"),
    "waveform_cnn": Entry(WaveformCnnConfig, "tasks.models.encoders.waveform_cnn:WaveformCnn"),
    "tcn": Entry(TcnConfig, "tasks.models.encoders.tcn:Tcn"),
    "frame_cnn_lstm": Entry(FrameCnnLstmConfig, "tasks.models.encoders.frame_cnn_lstm:FrameCnnLstm"),
    "cnn_3d": Entry(Cnn3dConfig, "tasks.models.encoders.cnn_3d:Cnn3d"),
    "video_transformer": Entry(VideoTransformerConfig, "tasks.models.encoders.video_transformer:VideoTransformer"),
    "mlp": Entry(MlpConfig, "tasks.models.encoders.mlp:Mlp"),
    "feature_tokens": Entry(FeatureTokensConfig, "tasks.models.encoders.feature_tokens:FeatureTokens"),
}
