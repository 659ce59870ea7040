#!/usr/bin/env bash
# Shows that a fuzz rig finds what is there: the target is built with a planted bug (-DCANARY) and must fall over
# it. tests/fuzz/canary.sh BINARY CORPUS
set -u
work=$(mktemp -d "${TMPDIR:-/tmp}/penstock-canary.XXXXXX")
mkdir "$work/new"
if "$1" -max_total_time=60 -artifact_prefix="$work/" "$work/new" "$2" > "$work/out" 2>&1; then
    echo "canary: 60 s of fuzzing did not find the planted bug of $1"
    rc=1
else
    grep -qE 'ERROR: (libFuzzer|AddressSanitizer)|runtime error' "$work/out" && rc=0 || { tail -5 "$work/out"; rc=1; }
fi
rm -rf "$work"
exit $rc
