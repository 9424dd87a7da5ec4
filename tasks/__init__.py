"""How each step works: verbs are files, nouns are folders. Knows neither `pipeline` nor `cluster`. The public Python API:

    shards = ShardSet.open(path)                       # indexed reading, any sample by position
    pipeline = as_webdataset(path, "train")            # a ready pipeline of the webdataset library
    model = load_model(path)                           # a model artifact, no recipe needed

Names are imported when they are first used, since some bring torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.models.load import LoadedModel, load_model
    from tasks.shards.foreign import as_webdataset
    from tasks.shards.loader import Loader
    from tasks.shards.read import ShardSet

__all__ = ["LoadedModel", "Loader", "ShardSet", "as_webdataset", "load_model"]

_HOME = {
    "LoadedModel": "models.load",
    "Loader": "shards.loader",
    "ShardSet": "shards.read",
    "as_webdataset": "shards.foreign",
    "load_model": "models.load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tasks' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tasks.{_HOME[name]}"), name)
