"""Our shards in other people's readers.

In: the folder of a shards artifact. Out: a pipeline of the webdataset library, which is also what our tars are tested against.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.shards.read import ShardSet


def as_webdataset(path: Path, split: str, *, shuffle_shards: int | bool = False, **options: Any) -> Any:
    """A `webdataset.WebDataset` over a split: dicts of `__key__` and extension → bytes, not decoded.

    Add `.decode(…)`, `.shuffle(…)`, `.batched(…)` as usual; with several ranks give `nodesplitter=webdataset.split_by_node`.
    Raises InputError when the split has no samples.
    """
    import webdataset

    shards = ShardSet.open(path)
    shards.keys(split)
    urls = [str(path / shard["name"]) for shard in shards.meta["shards"] if shard["split"] == split]
    return webdataset.WebDataset(urls, shardshuffle=shuffle_shards, **options)
