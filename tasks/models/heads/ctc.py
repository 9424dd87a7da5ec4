"""Head that transcribes the tokens of one modality, such as speech, into text. Must not import ray or mlflow.

Connectionist temporal classification (Graves et al. 2006): at every token of the modality a chance for each token of the text and for a
blank, and the loss is over all ways to arrive at the text. A text needs as many tokens of the modality as it has itself, and one more
between two equal ones; one that needs more than there are is unreachable, costs nothing and is counted.

Classes are the ids of the text's tokens without begin and end; the place of padding, which is never said, is the blank's.
Shape suffixes: B samples, T tokens of the modality, S tokens of the text, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.contracts import Reader
from tasks.errors import InputError
from tasks.modalities.config import SPECIAL_TOKENS
from tasks.modalities.ngrams import END, Ngrams
from tasks.models.contracts import Features, Sequence
from tasks.models.edit_distance import edit_distance
from tasks.models.heads.config_sequences import CtcConfig
from tasks.models.heads.ctc_decoding import BLANK, Transcript, best_path, prefix_beam_search
from tasks.models.heads.sequences import padded_BS, said_alone
from tasks.models.tokens import WeightedSum

SHIFT = 2
"""Begin and end have no class: from them on a class is its id less this."""
FIRST_SHIFTED = len(SPECIAL_TOKENS) - SHIFT


class Path(NamedTuple):
    """What the head gives."""

    log_BTK: Tensor
    """Float32 log probabilities."""
    lengths_B: Tensor
    """Int64: valid steps; none where a sample lacks the modality."""


class Ctc(nn.Module):
    """One linear layer on the tokens of a modality, before the fusion."""

    def __init__(self, config: CtcConfig, name: str, label: Mapping[str, Any], width: int) -> None:
        super().__init__()
        self.config, self.name = config, name
        self.linear = nn.Linear(width, int(label["vocab_size"]) - SHIFT)
        self.language_model: Ngrams | None = None

    def lend(self, reader: Reader) -> None:
        """The reader of the target, which knows what was learned of its language. Raises InputError when that is asked for and missing."""
        self.language_model = cast(Any, reader).language_model() if self.config.language_model else None
        if self.config.language_model and self.language_model is None:
            raise InputError(
                f"head {self.name!r} weighs transcripts by a language model, and none was learned from the {self.config.target}; give the "
                f"shard step `fit: {{{self.config.target}: {{language_model: {{}}}}}}`, or leave `language_model` out of the head"
            )

    def forward(self, features: Features) -> Path:
        tokens = features.towers[self.config.of].packed()
        # Nothing here needs the fusion, and data-parallel training waits for gradients of all parameters: these are zeros.
        unused_B = features.fused.mean_BD().float().sum(1) * 0
        log_BTK = (self.linear(tokens.values_BTD).float() + unused_B[:, None, None]).log_softmax(-1)
        return Path(log_BTK, tokens.mask_BT.sum(1) * features.present_B(self.config.of))

    def loss(self, path: Path, target: Sequence, weight_B: Tensor) -> WeightedSum:
        """-log P(text), over the number of its tokens; zero where it is unreachable, or where nothing tells it."""
        targets_BS, lengths_B = _classes(target)
        log_TBK, steps_B = path.log_BTK.transpose(0, 1), path.lengths_B.clamp(min=1)
        each_B = F.ctc_loss(log_TBK, targets_BS, steps_B, lengths_B, blank=BLANK, reduction="none", zero_infinity=True)
        each_B = torch.where(path.lengths_B > 0, each_B / lengths_B.clamp(min=1), 0.0)
        weight_B = self.loss_weight_B(target, weight_B)
        return WeightedSum((each_B * weight_B).sum(), weight_B.sum())

    def loss_weight_B(self, target: Sequence, weight_B: Tensor) -> Tensor:
        """Each sample that has the text counts once: known before the model runs."""
        return weight_B * target.present_B

    def unreachable_B(self, path: Path, target: Sequence) -> Tensor:
        """Bool: whose text needs more steps than there are, of samples that have any."""
        targets_BS, lengths_B = _classes(target)
        inside_BS = torch.arange(1, targets_BS.shape[1], device=targets_BS.device) < lengths_B[:, None]
        twins_B = ((targets_BS[:, 1:] == targets_BS[:, :-1]) & inside_BS).sum(1)
        return (lengths_B + twins_B > path.lengths_B) & target.present_B & (path.lengths_B > 0)

    def metrics(self, path: Path, target: Sequence, weight_B: Tensor) -> dict[str, WeightedSum]:
        """Edits over tokens on the likeliest path, and the share of texts that are unreachable."""
        weight_B = self.loss_weight_B(target, weight_B)
        classes_BS, lengths_B = _classes(target)
        true = [row[:length] for row, length in zip(classes_BS.tolist(), lengths_B.tolist(), strict=True)]
        edits_B = torch.tensor([edit_distance(*pair) for pair in zip(self._best_paths(path), true, strict=True)], device=weight_B.device)
        return {
            "token_error_rate": WeightedSum((edits_B * weight_B).sum(), (lengths_B * weight_B).sum()),
            "unreachable": WeightedSum((self.unreachable_B(path, target) * weight_B).sum(), weight_B.sum()),
        }

    def predict(self, path: Path) -> Tensor:
        """Int64 BS: ids of the text's tokens, padded with 0; found as the config says."""
        said = self._best_paths(path) if self.config.beam_width == 1 else self._searched(path)
        return padded_BS([[_id(each) for each in transcript] for transcript in said]).to(path.log_BTK.device)

    def _best_paths(self, path: Path) -> list[Transcript]:
        best_BT, lengths = path.log_BTK.argmax(-1).tolist(), path.lengths_B.tolist()
        return [best_path(row[:length]) for row, length in zip(best_BT, lengths, strict=True)]

    def _searched(self, path: Path) -> list[Transcript]:
        config, rows = self.config, zip(path.log_BTK.detach().cpu().double().numpy(), path.lengths_B.tolist(), strict=True)
        if not config.language_model and not config.token_bonus:
            return [prefix_beam_search(log_TK[:length], config.beam_width) for log_TK, length in rows]
        return [prefix_beam_search(log_TK[:length], config.beam_width, self._bonus, self._end) for log_TK, length in rows]

    def _bonus(self, said: Transcript, follows: int) -> float:
        return self.config.token_bonus + self._likely(said, _id(follows))

    def _end(self, said: Transcript) -> float:
        return self._likely(said, END)

    def _likely(self, said: Transcript, token: int) -> float:
        if not self.config.language_model:
            return 0.0
        assert self.language_model is not None, "whoever builds a model to predict with lends it the readers"
        near = said[max(len(said) - self.language_model.order + 1, 0) :]
        return self.config.language_model * self.language_model.log_probability(tuple(_id(each) for each in near), token)


def _id(each: int) -> int:
    """The token that a class stands for."""
    return each if each < FIRST_SHIFTED else each + SHIFT


def _classes(target: Sequence) -> tuple[Tensor, Tensor]:
    """Classes BS and lengths B of the texts, without padding, begin and end."""
    ids_BS, lengths_B = said_alone(target)
    return torch.where(ids_BS < FIRST_SHIFTED, ids_BS, ids_BS - SHIFT), lengths_B
