"""Text by beam search from what says how likely each token follows; a beam of one is the likeliest token again and again.

In: a function of the last tokens. Out: the texts as lists of ids. Must not import ray or mlflow.

Shape suffixes: B rows, W of them for each of A samples; V tokens there are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Follow = Callable[[Tensor, Tensor], Tensor]
"""(last tokens B, the rows B of the step before that they follow) → log probabilities BV."""


def beam_search(
    follow: Follow, samples: int, width: int, *, begin: int, end: int, longest: int, length_penalty: float, device: torch.device
) -> list[list[int]]:
    """For each sample the text with the highest log probability over (its tokens and its end) ** `length_penalty`, among those followed.

    A text that is ended stays in its place until others push it out. After `longest` tokens a text is taken as it stands.
    """
    rows_B = torch.arange(samples * width, device=device)
    first_A1 = torch.arange(samples, device=device)[:, None] * width
    score_AW = torch.full((samples, width), -torch.inf, device=device)
    score_AW[:, 0] = 0.0
    ended_AW = torch.zeros(samples, width, dtype=torch.bool, device=device)
    length_AW = torch.zeros(samples, width, device=device)
    last_B, from_B = torch.full_like(rows_B, begin), rows_B
    said_BS = rows_B.new_empty(samples * width, 0)
    for _ in range(longest):
        log_BV = follow(last_B, from_B)
        num_tokens = log_BV.shape[1]
        stay_V = torch.where(torch.arange(num_tokens, device=device) == end, 0.0, -torch.inf)
        log_BV = torch.where(ended_AW.view(-1, 1), stay_V, log_BV)
        score_AW, place_AW = (score_AW[..., None] + log_BV.view(samples, width, -1)).flatten(1).topk(width)
        from_B, last_B = (first_A1 + place_AW // num_tokens).view(-1), (place_AW % num_tokens).view(-1)
        was_AW, length_AW = ended_AW.view(-1)[from_B].view(samples, width), length_AW.view(-1)[from_B].view(samples, width)
        length_AW = length_AW + ~was_AW
        ended_AW = was_AW | (last_B.view(samples, width) == end)
        said_BS = torch.cat([said_BS[from_B], last_B[:, None]], 1)
        if bool(ended_AW.all()):
            break
    best_A = (score_AW / length_AW.clamp(min=1) ** length_penalty).argmax(1)
    texts: list[list[int]] = said_BS[first_A1[:, 0] + best_A].tolist()
    return [text[: text.index(end)] if end in text else text for text in texts]
