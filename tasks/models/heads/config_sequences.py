"""Configs of the heads that learn to say a modality. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tasks.models.heads.config import HeadConfig


class SequenceHeadConfig(HeadConfig):
    """A head that says tokens, one after the other."""

    learns_from: ClassVar[Literal["label", "modality", "nothing"]] = "modality"

    target: Literal["text"]
    """The modality it learns to say, which the model is not fed with; of those there are, text alone is made of tokens."""


class CtcConfig(SequenceHeadConfig):
    """Transcription: what is said in the course of another modality, by connectionist temporal classification."""

    measures: ClassVar[tuple[str, ...]] = ("loss", "token_error_rate", "unreachable")

    kind: Literal["ctc"] = "ctc"
    of: str
    """The modality whose tokens are transcribed, in their order; one with an encoder."""
    beam_width: int = Field(1, ge=1, le=1024)
    """Beginnings of a transcript that are followed at each step when predicting; 1 = the likeliest path."""
    language_model: float = Field(0.0, ge=0, le=10)
    """Factor of the language model's log probability in the score of a beginning; needs `language_model` in the `fit` of the target."""
    token_bonus: float = Field(0.0, ge=-10, le=10)
    """Added to the score for each token, against a language model's liking for short transcripts."""

    @model_validator(mode="after")
    def _followed(self) -> CtcConfig:
        if self.beam_width == 1 and (self.language_model or self.token_bonus):
            raise ValueError(
                "`language_model` and `token_bonus` weigh beginnings against each other, and `beam_width` is 1; give 8 or more, or leave "
                "them out"
            )
        return self


class CaptioningConfig(SequenceHeadConfig):
    """A Transformer that says a text word by word, looking at what the model made of the sample."""

    measures: ClassVar[tuple[str, ...]] = ("loss", "token_accuracy")

    kind: Literal["captioning"] = "captioning"
    layers: int = Field(2, gt=0, le=48)
    """Layers of the decoder."""
    num_heads: int = Field(4, gt=0, le=128)
    """Attention heads; a divisor of the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features zeroed in training."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target spread evenly over all tokens."""
    tied: bool = True
    """Whether the vectors that tokens are read by also score what comes next (arXiv:1608.05859); else these are learned apart."""
    beam_width: int = Field(1, ge=1, le=1024)
    """Beginnings of a text that are followed when predicting; 1 = the likeliest token, again and again."""
    length_penalty: float = Field(1.0, ge=0, le=10)
    """A text's log probability is divided by its length to this power before texts are compared; 0 likes short ones."""
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    """Longest text in tokens; none = `max_tokens` of the target's `read`."""
