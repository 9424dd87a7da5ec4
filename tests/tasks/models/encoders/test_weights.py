"""Files that are no weights, or weights that nothing can be learned from: each is told with what it is and what to give."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tasks.errors import InputError
from tasks.models.encoders.weights import read_weights

WHOLE = {"a": torch.ones(2, 2), "b": torch.arange(3)}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_table_of_tensors_is_read_in_the_form_of_today_and_in_the_former_one(tmp_path: Path, zipped: bool) -> None:
    torch.save(WHOLE, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    found = read_weights(str(tmp_path / "w.pth"))
    assert all(torch.equal(found[name], value) for name, value in WHOLE.items())


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", r"b'version https://git-lfs\.'"),
        (b"404: Not Found", "b'404: Not Found'"),
        (b"<!DOCTYPE html><html></html>", "b'<!DOCTYPE html>"),
        (gzip.compress(b"abc", mtime=0), r"b'\\x1f"),
        (b"", "b''"),
    ],
)
def test_a_page_or_pointer_in_the_place_of_weights_is_shown(tmp_path: Path, content: bytes, shown: str) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(InputError, match=rf"w\.pth: is no \.pth file, it begins with {shown}.*; fetch the file itself$"):
        read_weights(str(tmp_path / "w.pth"))


def test_a_folder_is_told_as_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder; give the \.safetensors or \.pth file in it, relative to the recipe"):
        read_weights(str(tmp_path))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({1: torch.ones(1)}, "is not a table of tensors by name"),
        ({"state_dict": WHOLE}, "is not a table of tensors by name"),
        ([torch.ones(1)], "is not a table of tensors by name"),
        ({**WHOLE, "c": torch.eye(2).to_sparse()}, "c is no dense tensor of real numbers"),
        ({**WHOLE, "c": torch.ones(1, device="meta")}, "c is no dense tensor of real numbers"),
        ({**WHOLE, "c": torch.ones(1, dtype=torch.complex64)}, "c is no dense tensor of real numbers"),
        ({**WHOLE, "c": torch.tensor([1.0, torch.nan])}, "c has numbers that are NaN or infinite; give weights of a training that went"),
        ({**WHOLE, "c": torch.tensor([torch.inf]).half()}, "c has numbers that are NaN or infinite"),
    ],
)
def test_what_is_no_table_of_finite_tensors_is_refused(tmp_path: Path, given: Any, problem: str) -> None:
    torch.save(given, tmp_path / "w.pth")
    with pytest.raises(InputError, match=rf"w\.pth: {problem}"):
        read_weights(str(tmp_path / "w.pth"))


def test_nan_is_found_in_safetensors_too(tmp_path: Path) -> None:
    save_file({"c": torch.tensor([torch.nan])}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"w\.safetensors: c has numbers that are NaN"):
        read_weights(str(tmp_path / "w.safetensors"))


def test_a_pickle_or_a_whole_module_is_not_loaded_and_a_torn_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"a": [1.0]}))
    with pytest.raises(InputError, match="holds more than tensors, and nothing else is loaded; save the model's state_dict alone"):
        read_weights(str(tmp_path / "w.pth"))
    torch.save(nn.Linear(2, 2), tmp_path / "w.pth")
    with pytest.raises(InputError, match="holds more than tensors"):
        read_weights(str(tmp_path / "w.pth"))
    torch.save(WHOLE, tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:300])
    with pytest.raises(InputError, match=r"cannot be read .*; fetch the file anew"):
        read_weights(str(tmp_path / "w.pth"))
