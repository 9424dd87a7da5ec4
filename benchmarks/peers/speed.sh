#!/bin/sh
# How fast are other people's libraries at the same work? Runs benchmarks in an environment that has Medley's dependencies and theirs.
#   sh benchmarks/peers/speed.sh                      # sharding, reading, loader, audio and resume
#   sh benchmarks/peers/speed.sh loader --rounds 3
# The environment is made once, outside the repository, in $SPEED_PEERS (7 GB).
set -eu
cd "$(dirname "$0")/../.."
SPEED_PEERS="${SPEED_PEERS:-${TMPDIR:-/tmp}/medley-peers-speed}"
PYTHON="${PYTHON:-.venv/bin/python}"

if [ ! -e "$SPEED_PEERS/finished" ]; then
    "$PYTHON" -m venv "$SPEED_PEERS"
    "$SPEED_PEERS/bin/pip" install --quiet --requirement benchmarks/peers/speed.txt --editable .
    touch "$SPEED_PEERS/finished"
fi

if [ $# -gt 0 ]; then
    exec "$SPEED_PEERS/bin/python" -m benchmarks "$@"
fi
failed=0
for name in sharding reading loader audio resume; do
    "$SPEED_PEERS/bin/python" -m benchmarks "$name" || failed=1
done
exit "$failed"
