#!/usr/bin/env bash
# dask-jobqueue 0.9.0: after its import, Ctrl-C ends a program as if it had succeeded.
#
# One expects that importing the classes of clusters changes nothing about Ctrl-C: a program that is interrupted gets
# KeyboardInterrupt, can save what it has in `except KeyboardInterrupt`, and ends with another exit status than 0, so that
# `train.py && publish.sh` publishes nothing. But the package's __init__ imports its `runner`, which at import sets the
# handler of SIGINT to one that calls sys.exit() without a status. So an interrupt raises SystemExit: `except
# KeyboardInterrupt` and `except Exception` see nothing, nothing is printed, and the exit status is 0, although neither a
# runner nor a cluster was ever made. Whoever imports the package can set the handler back that was there before.
#
# Seen 2026-11-30, a program that interrupts itself and has `except KeyboardInterrupt`: without the import it prints
# "saved" and ends with 130; with the import it prints nothing and ends with 0; with the handler set back, "saved" and 130.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dask-jobqueue==0.9.0 2>"$folder/pip.log" ||
    { cat "$folder/pip.log" >&2; exit 2; }
cat >"$folder/program.py" <<'PYTHON'
import os
import signal
import sys
import time

before = signal.getsignal(signal.SIGINT)
if sys.argv[1] != "without":
    import dask_jobqueue
if sys.argv[1] == "restored":
    signal.signal(signal.SIGINT, before)
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    print("saved", end="")
    sys.exit(130)
PYTHON
"$folder/venv/bin/python" -c 'import dask_jobqueue, sys; print("dask-jobqueue", dask_jobqueue.__version__, "on Python", sys.version.split()[0])'
seen=
for import in without with restored; do
    status=0
    printed=$("$folder/venv/bin/python" "$folder/program.py" "$import") || status=$?
    echo "$import: it printed \"$printed\" and ended with $status"
    seen="$seen $import:$printed:$status"
done
[ "$seen" = " without:saved:130 with::0 restored:saved:130" ] || { echo "the behaviour has changed" >&2; exit 1; }
