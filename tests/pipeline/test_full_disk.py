"""A full disk: a run says so in a sentence, keeps what is finished and goes on once there is room; and its error is found behind Ray's."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.full_disk import full_disk
from tests.conftest import ROOT

MOUNTS = shutil.which("unshare") is not None and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
STORE_BYTES = 4 << 20
RECIPE = """\
name: full
store: store
steps:
  corpus: {task: ingest, source: {format: folder, path: data}}
  shards: {task: shard, corpus: corpus, prepare: {image: {}}, sizes: {min_records: 1, max_records: 4}}
"""
TWICE = """
mount -t tmpfs -o size="$SIZE" none store || exit 9
"$@" --until corpus >/dev/null 2>&1
python=$1
"$python" -c 'import os, shutil
with open("store/filler", "wb") as file: file.write(bytes(shutil.disk_usage("store").free - int(os.environ["FREE"])))'
"$@" >first.json 2>first.txt
echo $? >first.code
find store/tmp -type f | wc -l >first.left
rm store/filler
"$@" >second.json 2>second.txt
echo $? >second.code
"""
"""A store of its own for the runs of one shell, full but for some bytes in the first run and not in the second."""


def noise(seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (100, 100, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.ray
@pytest.mark.skipif(not MOUNTS, reason="this machine lets nobody mount a folder for one process alone")
def test_a_run_on_a_full_disk_ends_in_a_sentence_keeps_what_is_finished_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "data" / "a").mkdir(parents=True)
    for number in range(32):
        (tmp_path / "data" / "a" / f"{number}.png").write_bytes(noise(number))  # 30 kB each, 970 kB in all
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    run = [sys.executable, "-P", "-m", "pipeline", "run", "recipe.yaml", "--workers", "1", "--json"]
    around = os.environ | {"PYTHONPATH": str(ROOT), "SIZE": str(STORE_BYTES), "FREE": str(600_000)}
    subprocess.run(["unshare", "-m", "sh", "-c", TWICE, "sh", *run], cwd=tmp_path, env=around, check=True, timeout=240)

    first, said = json.loads((tmp_path / "first.json").read_text()), (tmp_path / "first.txt").read_text()
    assert ((tmp_path / "first.code").read_text(), first["status"]) == ("1\n", "failed"), said
    assert (first["steps"]["corpus"]["status"], first["steps"]["shards"]["status"]) == ("cached", "failed")
    assert "is full (" in first["steps"]["shards"]["message"]
    assert "free some space and run the same command again: finished work is kept" in said
    assert "Traceback" not in said
    assert (tmp_path / "first.left").read_text() == "0\n", "what was not finished makes room again"

    second = json.loads((tmp_path / "second.json").read_text())
    assert ((tmp_path / "second.code").read_text(), second["status"]) == ("0\n", "done")
    summary = second["steps"]["shards"]["summary"]
    assert summary["units"]["reused"] > 0, "shards that were finished before the disk was full were made again"
    assert summary["units"]["built"] > 0
    assert summary["ledger"]["written"] == 32


# ---- where the error has been ----------------------------------------------------------------------------------------------


def fill(path: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_an_error_that_came_through_a_ray_task_has_lost_its_number_and_is_found_all_the_same() -> None:
    import ray

    with pytest.raises(OSError) as caught:
        ray.get(ray.remote(fill).remote("/store/x"))
    assert caught.value.errno is None
    found = full_disk(caught.value)
    assert found is not None
    assert found.filename == "/store/x"


def test_an_error_of_a_training_worker_is_found_behind_ray_trains_own() -> None:
    from ray.train.v2.api.exceptions import WorkerGroupError

    full, other = OSError(errno.EDQUOT, "Disk quota exceeded", "/store/y"), ValueError("another worker's")
    try:
        raise RuntimeError("training failed in its workers") from WorkerGroupError("said", {0: other, 1: full})
    except RuntimeError as error:
        assert full_disk(error) is full


def test_other_errors_are_no_full_disk() -> None:
    circular: Any = OSError(errno.EACCES, "Permission denied")
    circular.cause = circular
    assert full_disk(circular) is None
    assert full_disk(ExceptionGroup("two", [ValueError(), OSError(errno.ENOSPC, "full")])) is not None


LIBRARIES = """
import numpy as np, sqlite3
from pathlib import Path
from pipeline.full_disk import full_disk
from safetensors.numpy import save_file

def tensors():
    save_file({"a": np.zeros(1 << 20, np.uint8)}, "store/x")

def rows():
    connection = sqlite3.connect("store/db")
    connection.execute("create table rows (x)")
    connection.execute("insert into rows values (?)", (bytes(1 << 20),))
    connection.commit()

for write in (tensors, rows):
    try:
        write()
    except Exception as error:
        found = full_disk(error)
        print(type(error).__name__, found and found.errno, sep=": ")
    for left in Path("store").iterdir():
        left.unlink()
"""


@pytest.mark.skipif(not MOUNTS, reason="this machine lets nobody mount a folder for one process alone")
def test_what_libraries_say_of_a_full_disk_is_understood(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    mounted = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=64k none store && exec "$@"', "sh"]
    around = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [*mounted, sys.executable, "-P", "-c", LIBRARIES]
    done = subprocess.run(command, cwd=tmp_path, env=around, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"SafetensorError: {errno.ENOSPC}", f"OperationalError: {errno.ENOSPC}"], done.stderr
