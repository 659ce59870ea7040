#!/usr/bin/env bash
# One fuzz target for some seconds: tests/fuzz/run.sh BINARY CORPUS SECONDS. What it finds is left in the work
# folder, which is named; the committed corpus is only read.
set -u
binary=$1 corpus=$2 seconds=$3
work=$(mktemp -d "${TMPDIR:-/tmp}/penstock-fuzz.XXXXXX")
mkdir "$work/new"
"$binary" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$work/" -print_final_stats=1 \
    "$work/new" "$corpus"
rc=$?
if [ $rc -eq 0 ]; then
    rm -rf "$work"
else
    echo "fuzz: the input that broke it is in $work"
fi
exit $rc
