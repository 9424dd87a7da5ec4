#!/bin/sh
# Starts Medley in a submitted job, with the Python that Ray itself runs on: the PATH of a job often holds another one, or none.
# In: the arguments of `python -m pipeline`; the working folder is the package. The raylet, an ancestor of every job, has its Python
# on its command line.
process=$PPID
python=
while [ "${process:-0}" -gt 1 ]; do
    python=$(tr '\0' '\n' <"/proc/$process/cmdline" | sed -n 's/^--python_worker_command=\([^ ]*\) .*/\1/p')
    [ -n "$python" ] && break
    process=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$process/status")
done
exec "${python:-python3}" -m pipeline "$@"
