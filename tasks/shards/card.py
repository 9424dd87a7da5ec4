"""The dataset card and its machine-readable twin.

In: the contents of shards.json and stats.json. Out: README.md with the front matter that dataset hubs read, and Croissant 1.0
JSON-LD. Both are pure functions of the artifact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_PARQUET = "application/x-parquet"


def croissant(meta: Mapping[str, Any], files: Mapping[str, str], key: str) -> dict[str, Any]:
    """Croissant 1.0 JSON-LD. `files`: name → SHA-256 of the artifact's other files; `key`: of the step that made it."""
    tables = [_table(name, files[name]) for name in ("index.parquet", "labels.parquet")]
    splits = sorted({shard["split"] for shard in meta["shards"]})
    sets: list[dict[str, Any]] = [
        {"@type": "cr:FileSet", "@id": f"shards-{split}", "encodingFormat": "application/x-tar", "includes": f"shards/{split}-*.tar"}
        for split in splits
    ]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": f"shards-{key[:12]}",
        "description": _sentence(meta),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "version": f"{meta['format']}.0.0",
        "url": f"urn:medley:shards:{key}",
        "distribution": [*tables, *sets],
        "recordSet": [_samples(meta), *([_labels(meta)] if meta["labels"] else [])],
    }


def _table(name: str, sha256: str) -> dict[str, Any]:
    return {"@type": "cr:FileObject", "@id": name, "name": name, "contentUrl": name, "encodingFormat": _PARQUET, "sha256": sha256}


def _samples(meta: Mapping[str, Any]) -> dict[str, Any]:
    columns = [("key", "sc:Text"), ("split", "sc:Text"), ("shard", "sc:Integer")]
    for modality in meta["modalities"]:
        columns += [(f"{modality}.offset", "sc:Integer"), (f"{modality}.size", "sc:Integer"), (f"{modality}.ext", "sc:Text")]
    return _record_set("samples", "index.parquet", columns)


def _labels(meta: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {"category": "sc:Text", "number": "sc:Float"}
    return _record_set(
        "labels", "labels.parquet", [("key", "sc:Text"), *((name, kinds[info["kind"]]) for name, info in meta["labels"].items())]
    )


def _record_set(name: str, file: str, columns: list[tuple[str, str]]) -> dict[str, Any]:
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/{column}",
            "name": column,
            "dataType": kind,
            "source": {"fileObject": {"@id": file}, "extract": {"column": column}},
        }
        for column, kind in columns
    ]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "key": {"@id": f"{name}/key"}, "field": fields}


def _sentence(meta: Mapping[str, Any]) -> str:
    samples = sum(shard["samples"] for shard in meta["shards"])
    labels = f", labelled with {', '.join(meta['labels'])}" if meta["labels"] else ""
    return f"{samples} samples of {', '.join(meta['modalities'])} in {len(meta['shards'])} WebDataset shards{labels}."


def readme(meta: Mapping[str, Any], stats: Mapping[str, Any], key: str) -> str:
    """The dataset card, Markdown with YAML front matter."""
    splits = list(stats["samples"])
    front = "\n".join(f"  - split: {split}\n    path: shards/{split}-*.tar" for split in splits)
    sizes = "\n".join(f"| {split} | {_count(meta, split)} | {stats['samples'][split]} |" for split in splits)
    ledger = "\n".join(f"| {status} | {count} |" for status, count in meta["ledger"].items())
    return f"""---
configs:
- config_name: default
  data_files:
{front}
tags:
- webdataset
---
# Shards {key[:12]}

{_sentence(meta)}

| split | shards | samples |
|---|---|---|
{sizes}

Samples by the modalities they have: {", ".join(f"{name} {count}" for name, count in stats["subsets"].items())}.

## Labels

{_label_lines(meta)}

## What became of the records

| | records |
|---|---|
{ledger}

`ledger.parquet` has a line for each, with the reason.

## Reading

The tars are WebDataset: any reader of that format takes `urls-<split>.txt`. `index.parquet` says where each member's bytes are, so that a
sample is read without a scan; `labels.parquet` has the labels in the same order. `medley shards verify` hashes everything anew.
"""


def _count(meta: Mapping[str, Any], split: str) -> int:
    return sum(shard["split"] == split for shard in meta["shards"])


def _label_lines(meta: Mapping[str, Any]) -> str:
    lines = []
    for name, info in meta["labels"].items():
        if info["kind"] == "category":
            classes = info["classes"]
            more = f", … {len(classes) - 20} more" if len(classes) > 20 else ""
            lines.append(f"- `{name}`: {len(classes)} classes: {', '.join(classes[:20])}{more}")
        else:
            lines.append(f"- `{name}`: a number, mean {info['mean']:.6g}, deviation {info['std']:.6g} in train")
    return "\n".join(lines) or "None."
