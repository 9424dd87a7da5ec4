#!/bin/sh
# Do open_clip's and Megatron-Energon's loaders read our tars sample for sample? Exit code 0: both do.
# The environment is made once, outside the repository, in $PEERS (6 GB); Medley's own is $PYTHON.
set -eu
cd "$(dirname "$0")/../.."
PEERS="${PEERS:-${TMPDIR:-/tmp}/medley-peers}"
PYTHON="${PYTHON:-.venv/bin/python}"

if [ ! -e "$PEERS/finished" ]; then
    "$PYTHON" -m venv "$PEERS"
    "$PEERS/bin/pip" install --quiet --requirement benchmarks/peers/requirements.txt
    touch "$PEERS/finished"
fi

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
"$PYTHON" -m benchmarks.peers.foreign_shards "$folder/made" >&2
failed=0
"$PEERS/bin/python" benchmarks/peers/read_with_open_clip.py "$folder/made" || failed=1
"$PEERS/bin/python" benchmarks/peers/read_with_energon.py "$folder/made" || failed=1
exit "$failed"
