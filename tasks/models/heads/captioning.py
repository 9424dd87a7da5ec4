"""Head that says a text word by word about all that the model saw. Must not import ray or mlflow.

A Transformer decoder (arXiv:1706.03762; the norms before each part, arXiv:2002.04745) attends to what it said so far and to the sample: to
the fused tokens and to those of every modality before the fusion, so that a fusion that gives one token leaves it something to look at.

Shape suffixes: B samples, or beginnings of texts in a search, S tokens said, T tokens of the sample, N heads, D width, V tokens there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.contracts import Features, Sequence
from tasks.models.encoders.steps import positions_TD
from tasks.models.heads.config_sequences import CaptioningConfig
from tasks.models.heads.decoder_layer import DecoderLayer, Pair
from tasks.models.heads.generation import beam_search
from tasks.models.heads.sequences import BEGIN, END, PAD, padded_BS, said_alone
from tasks.models.tokens import Tokens, WeightedSum

NEVER_SAID = 3
"""Padding, the unknown word and begin: the ids below END."""


class Captioning(nn.Module):
    """Teacher forcing in `loss`; in `predict` what was said once is not computed again."""

    def __init__(self, config: CaptioningConfig, name: str, label: Mapping[str, Any], width: int) -> None:  # noqa: ARG002
        super().__init__()
        self.config = config
        self.longest = config.max_tokens or int(label["max_tokens"])
        self.origin_2D = nn.Parameter(torch.randn(2, width) * 0.02)
        self.norm_sample = nn.LayerNorm(width)
        self.embed = nn.Embedding(int(label["vocab_size"]), width)
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        self.layers = nn.ModuleList(DecoderLayer(width, config.num_heads, config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.score = None if config.tied else nn.Linear(width, self.embed.num_embeddings, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, features: Features) -> Tokens:
        """What the decoder looks at: fused tokens, then those of each modality."""
        towers = [features.towers[name] for name in features.modalities]
        fused_BTD = features.fused.values_BTD + self.origin_2D[0]
        values_BTD = torch.cat([fused_BTD, *(tower.values_BTD + self.origin_2D[1] for tower in towers)], 1)
        mask_BT = torch.cat([features.fused.mask_BT, *(tower.mask_BT for tower in towers)], 1)
        return Tokens(self.norm_sample(values_BTD).float(), mask_BT).masked()

    def loss(self, sample: Tokens, target: Sequence, weight_B: Tensor) -> WeightedSum:
        """Cross-entropy of each token, the end among them, behind the true ones before it; a text weighs as much as it has tokens."""
        logits_BSV, true_BS, weight_BS = self._taught(sample, target, weight_B)
        each_BS = F.cross_entropy(logits_BSV.transpose(1, 2), true_BS, reduction="none", label_smoothing=self.config.label_smoothing)
        return WeightedSum((each_BS * weight_BS).sum(), weight_BS.sum())

    def loss_weight_B(self, target: Sequence, weight_B: Tensor) -> Tensor:
        """Tokens of the text and its end, where there is one: known before the model runs."""
        return weight_B * target.present_B * (said_alone(target)[1] + 1)

    def metrics(self, sample: Tokens, target: Sequence, weight_B: Tensor) -> dict[str, WeightedSum]:
        """How often the likeliest token behind the true ones is the true one."""
        logits_BSV, true_BS, weight_BS = self._taught(sample, target, weight_B)
        return {"token_accuracy": WeightedSum(((logits_BSV.argmax(-1) == true_BS) * weight_BS).sum(), weight_BS.sum())}

    def predict(self, sample: Tokens) -> Tensor:
        """Int64 BS: ids of the text's tokens, padded with 0, at most `max_tokens`."""
        past: list[Pair | None] = [None] * len(self.layers)
        about = self._about(sample)
        width = self.config.beam_width
        about = [(keys.repeat_interleave(width, 0), values.repeat_interleave(width, 0)) for keys, values in about]
        mask_BT = sample.mask_BT.repeat_interleave(width, 0)

        def follow(last_B: Tensor, from_B: Tensor) -> Tensor:
            """Log probabilities BV of what follows; row b goes on from row `from_B[b]` of the step before."""
            nonlocal past
            past = [None if pair is None else (pair[0][from_B], pair[1][from_B]) for pair in past]
            logits_BSV, past = self._decoded(last_B[:, None], about, mask_BT, past)
            logits_BV = logits_BSV[:, -1].index_fill(1, torch.arange(NEVER_SAID, device=last_B.device), -torch.inf)
            return logits_BV.log_softmax(-1)

        said = beam_search(
            follow,
            len(sample.mask_BT),
            width,
            begin=BEGIN,
            end=END,
            longest=self.longest,
            length_penalty=self.config.length_penalty,
            device=mask_BT.device,
        )
        return padded_BS(said).to(mask_BT.device)

    def _about(self, sample: Tokens) -> list[Pair]:
        """For each layer."""
        return [cast(DecoderLayer, layer).about(sample.values_BTD) for layer in self.layers]

    def _taught(self, sample: Tokens, target: Sequence, weight_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits behind begin and each true token, the true tokens with their end, and what each weighs."""
        ids_BS, lengths_B = said_alone(target)
        ids_BS = F.pad(ids_BS, (0, 1), value=PAD)
        place_S = torch.arange(ids_BS.shape[1], device=ids_BS.device)
        true_BS = torch.where(place_S == lengths_B[:, None], END, ids_BS)
        given_BS = F.pad(ids_BS[:, :-1], (1, 0), value=BEGIN)
        about = self._about(sample)
        logits_BSV, _ = self._decoded(given_BS, about, sample.mask_BT, [None] * len(self.layers))
        return logits_BSV, true_BS, (place_S <= lengths_B[:, None]) * (weight_B * target.present_B)[:, None]

    def _decoded(self, given_BS: Tensor, about: list[Pair], mask_BT: Tensor, past: list[Pair | None]) -> tuple[Tensor, list[Pair | None]]:
        """Logits BSV behind each given token, and what to hand on as `past` when they are followed."""
        start = 0 if past[0] is None else past[0][0].shape[2]
        embedded_BSD = self.embed(given_BS)
        place_SD = positions_TD(embedded_BSD.new_zeros(1, start + given_BS.shape[1], embedded_BSD.shape[-1]))[start:]
        values_BSD = self.dropout(embedded_BSD * embedded_BSD.shape[-1] ** 0.5 + place_SD)
        seen: list[Pair | None] = []
        for layer, before, sample in zip(self.layers, past, about, strict=True):
            values_BSD, now = layer(values_BSD, before, sample, mask_BT)
            seen.append(now)
        values_BSD = self.norm(values_BSD)
        return (F.linear(values_BSD, self.embed.weight) if self.score is None else self.score(values_BSD)), seen
