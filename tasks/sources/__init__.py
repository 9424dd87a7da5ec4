"""Sources of raw records.

`SOURCES` is the registry: `format` → its config, its implementation and its version. Importing it imports no implementation. To add a
source: a file with a class that fulfils `tasks.sources.config.Source`, a config in `config.py` and a line here.
"""

from __future__ import annotations

from tasks.registry import Entry
from tasks.sources.config import FolderSource, Source, TableSource, WebDatasetSource

SOURCES: dict[str, Entry] = {
    "folder": Entry(FolderSource, "tasks.sources.folder:Folder", version=1),
    "table": Entry(TableSource, "tasks.sources.table:Table", version=1),
    "webdataset": Entry(WebDatasetSource, "tasks.sources.webdataset:WebDatasetTars", version=1),
}

__all__ = ["SOURCES", "FolderSource", "Source", "TableSource", "WebDatasetSource"]
