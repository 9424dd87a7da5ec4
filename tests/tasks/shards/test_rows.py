from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from tasks.contracts import Encoded
from tasks.errors import BadMember, FilteredOut
from tasks.modalities import merge_all
from tasks.shards.pool import rows_schema
from tasks.shards.rows import RowsWriter, stats_text
from tasks.shards.tar import Span


@pytest.mark.parametrize(
    "stats",
    [
        {},
        {"count": 1},
        {"count": 1, "bytes": 2**70, "a%d": -3},
        {"min_é": 0, 'a"b': 7},
        {"sum": [1, 2, 3], "count": 1},
        {"flag": True, "count": 1},
        {"none": None, "count": 1},
    ],
)
def test_the_text_of_statistics_is_canonical_json(stats: dict[str, Any]) -> None:
    assert stats_text(stats) == json.dumps(stats, sort_keys=True, separators=(",", ":"))
    backwards = dict(reversed(stats.items()))
    assert stats_text(backwards) == stats_text(stats)


def test_rows_are_those_that_a_dict_for_each_record_would_make() -> None:
    image = Encoded("jpg", b"picture", {"count": 1, "bytes": 7})
    text = Encoded("txt", b"a text", {"count": 1, "sum": [3, 4]})
    rows = RowsWriter(["image", "text"])
    rows.written({"image": image, "text": text}, {"jpg": Span(512, 7, 11), "txt": Span(1536, 6, 12)}, {})
    rows.left("quarantined", BadMember("image/corrupt", "no picture"))
    rows.written({"text": text}, {"txt": Span(2560, 6, 12)}, {"image": BadMember("image/empty", "the file has no bytes")})
    rows.left("filtered", FilteredOut("text/min_chars", ""))

    table = rows.table(["a", "b", "c", "d"], {"image": ["ia", "ib", "ic", None], "text": ["ta", "tb", "tc", "td"]})

    placed = {"text.member": "ta", "text.offset": 1536, "text.size": 6, "text.ext": "txt", "text.crc32": 12}
    placed["text.stats"] = '{"count":1,"sum":[3,4]}'
    of_image = {"image.member": "ia", "image.offset": 512, "image.size": 7, "image.ext": "jpg", "image.crc32": 11}
    of_image["image.stats"] = '{"bytes":7,"count":1}'
    assert table.equals(
        pa.Table.from_pylist(
            [
                {"key": "a", "status": "written", "dropped": [], **of_image, **placed},
                {"key": "b", "status": "quarantined", "reason": "image/corrupt", "detail": "no picture", "dropped": []},
                {
                    "key": "c",
                    "status": "written",
                    "reason": "image/empty",
                    "detail": "the file has no bytes",
                    "dropped": ["image"],
                    **placed,
                    "text.member": "tc",
                    "text.offset": 2560,
                },
                {"key": "d", "status": "filtered", "reason": "text/min_chars", "detail": "", "dropped": []},
            ],
            rows_schema(["image", "text"]),
        )
    )
    assert rows.stats() == {"image": merge_all([image.stats]), "text": merge_all([text.stats] * 2)}


def test_a_unit_of_which_nothing_is_left_has_rows_and_no_statistics() -> None:
    rows = RowsWriter(["image"])
    rows.left("filtered", FilteredOut("image/min_side", "too small"))
    assert rows.table(["a"], {"image": ["member"]})["image.member"].to_pylist() == [None]
    assert rows.stats() == {}
