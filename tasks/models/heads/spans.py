"""Spans on a line: how much two overlap, which token lies in which, and which of many that overlap are kept. Must not import ray or mlflow.

Shape suffixes: B samples, T tokens, S spans.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Assigned(NamedTuple):
    """What each token of a sample lies in."""

    class_BT: Tensor
    """Int64; the class of the shortest span that it lies in, -1 where training lacks that class, -2 = in none."""
    start_BT: Tensor
    end_BT: Tensor
    """Of that span, in tokens."""


OUTSIDE, UNKNOWN = -2, -1


def assign(spans_BS3: Tensor, mask_BT: Tensor, place_BT: Tensor) -> Assigned:
    """Tokens to spans (class, start, end in tokens; NaN = none). `place_BT`: the middle of each token, 0.5 for the first.

    A span so short that no middle is in it has the token that its own middle is in.
    """
    start_BS1, end_BS1 = spans_BS3[..., 1:2], spans_BS3[..., 2:3]
    length_BS1 = end_BS1 - start_BS1
    within_BST = (start_BS1 <= place_BT[:, None]) & (place_BT[:, None] <= end_BS1) & mask_BT[:, None]
    nearest_BST = ((start_BS1 + end_BS1) / 2).floor() == place_BT.floor()[:, None]
    within_BST |= nearest_BST & mask_BT[:, None] & ~within_BST.any(2, keepdim=True)
    within_BST &= length_BS1 > 0  # False where it is NaN, and for the span that marks a sample without any
    shortest_BT = torch.where(within_BST, length_BS1, torch.inf).min(1)
    chosen_BT, inside_BT = shortest_BT.indices, shortest_BT.values.isfinite()
    class_BT, start_BT, end_BT = (spans_BS3[..., place].nan_to_num().gather(1, chosen_BT) for place in range(3))
    return Assigned(torch.where(inside_BT, class_BT.long(), OUTSIDE), start_BT, end_BT)


def overlap(start: Tensor, end: Tensor, other_start: Tensor, other_end: Tensor) -> Tensor:
    """Intersection over union; 0 where both are empty."""
    shared = (torch.minimum(end, other_end) - torch.maximum(start, other_start)).clamp(min=0)
    union = (end - start) + (other_end - other_start) - shared
    return shared / union.clamp(min=1e-9)


def distance_loss(start: Tensor, end: Tensor, true_start: Tensor, true_end: Tensor) -> Tensor:
    """1 − DIoU: 1 − IoU plus the squared distance of the middles over that of the outermost ends (arXiv:1911.08287, in one dimension)."""
    outer = torch.maximum(end, true_end) - torch.minimum(start, true_start)
    apart = (start + end - true_start - true_end) / 2
    return 1 - overlap(start, end, true_start, true_end) + (apart / outer.clamp(min=1e-9)).square()


def suppress(spans_S4: Tensor, most_overlap: float) -> Tensor:
    """Bool S: the spans (class, start, end, score) that are kept, of spans sorted by score: none overlaps one kept before it, of its class,
    by more than `most_overlap` (non-maximum suppression).
    """
    class_S, start_S, end_S, _ = spans_S4.unbind(1)
    overlap_SS = overlap(start_S[:, None], end_S[:, None], start_S, end_S)
    rivals = ((overlap_SS > most_overlap) & (class_S[:, None] == class_S)).triu(1).cpu()
    kept = torch.ones(len(spans_S4), dtype=torch.bool)
    for row in range(len(kept)):
        if kept[row]:
            kept &= ~rivals[row]
    return kept.to(spans_S4.device)


def matches(found_S4: Tensor, true_S3: Tensor, least_overlap: float = 0.5) -> tuple[int, int, int]:
    """How many spans that were found are right, how many were found and how many there are; those of a class that training lacks aside.

    The best score chooses first, among the true spans of its class that it overlaps enough and none has chosen, the one it overlaps most.
    """
    found_S4, true_S3 = found_S4[found_S4[:, 0] >= 0], true_S3[true_S3[:, 0] >= 0]
    overlap_SS = overlap(found_S4[:, None, 1], found_S4[:, None, 2], true_S3[:, 1], true_S3[:, 2])
    free_SS = torch.where(found_S4[:, None, 0] == true_S3[:, 0], overlap_SS, 0.0).cpu()
    right = 0
    for row in found_S4[:, 3].argsort(descending=True).tolist() if len(true_S3) else ():
        best = int(free_SS[row].argmax())
        if free_SS[row, best] >= least_overlap:
            right += 1
            free_SS[:, best] = 0
    return right, len(found_S4), len(true_S3)
