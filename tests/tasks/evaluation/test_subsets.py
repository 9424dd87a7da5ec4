from __future__ import annotations

import torch

from tasks.evaluation.subsets import all_subsets, mask_present, subset_members, subset_name


def test_all_subsets_are_named_sorted_with_singles_first_and_the_full_set_last() -> None:
    assert all_subsets(["text", "audio", "image"]) == [
        "audio",
        "image",
        "text",
        "audio+image",
        "audio+text",
        "image+text",
        "audio+image+text",
    ]


def test_there_are_two_to_the_m_minus_one_subsets() -> None:
    assert len(all_subsets("abcde")) == 31


def test_a_name_is_sorted_and_splits_into_its_members() -> None:
    assert subset_name(["text", "audio"]) == "audio+text"
    assert subset_members("audio+text") == ("audio", "text")


def test_masking_hides_what_is_outside_and_invents_nothing() -> None:
    present_BM = torch.tensor([[True, True, False], [False, True, True]])
    masked = mask_present(present_BM, ("audio", "image", "text"), "audio+text")
    assert masked.tolist() == [[True, False, False], [False, False, True]]
    assert present_BM[0].tolist() == [True, True, False]
