#!/usr/bin/env bash
# Runs test suites and adds them up. Usage: tests/run.sh SUITE...   where a SUITE is KIND:NAME:COMMAND
#   criterion:  a Criterion binary; its synthesis line counts (its exit code is believed over it)
#   program:    one test: passes when it exits 0; 77 means skipped (it says what)
#   node:       node's test runner; its "# pass", "# fail", "# skipped" lines count
#   counted:    any program that ends with "N passed, N failed[, N skipped]"
# Each suite's output goes to $LOGS/NAME.log; of a failed one the end is shown. The last line is the sum over all suites.
set -u
LOGS=${LOGS:-build/test-logs}
SUITE_SECONDS_MAX=${SUITE_SECONDS_MAX:-600}
mkdir -p "$LOGS"
passed=0 failed=0 skipped=0

number() { sed -nE "$1" "$2" | tail -n 1; }

for suite in "$@"; do
    kind=${suite%%:*}
    rest=${suite#*:}
    name=${rest%%:*}
    command=${rest#*:}
    log=$LOGS/$name.log
    started=$SECONDS
    timeout -k 10 "$SUITE_SECONDS_MAX" bash -c "$command" > "$log" 2>&1 < /dev/null
    rc=$?
    p=0 f=0 s=0
    case $kind in
    criterion)
        p=$(number 's/.*Synthesis: Tested: [^|]*\| Passing: *[^0-9]*([0-9]+).*/\1/p' <(sed 's/\x1b\[[0-9;]*m//g' "$log"))
        f=$(number 's/.*Failing: *([0-9]+) \| Crashing: *([0-9]+).*/\1 + \2/p' <(sed 's/\x1b\[[0-9;]*m//g' "$log"))
        f=$((${f:-0}))
        ;;
    program)
        case $rc in 0) p=1 ;; 77) s=1 rc=0 ;; *) f=1 ;; esac
        ;;
    node)
        p=$(number 's/^# pass ([0-9]+)$/\1/p' "$log")
        f=$(number 's/^# fail ([0-9]+)$/\1/p' "$log")
        s=$(number 's/^# skipped ([0-9]+)$/\1/p' "$log")
        ;;
    counted)
        p=$(number 's/^([0-9]+) passed, .*/\1/p' "$log")
        f=$(number 's/^[0-9]+ passed, ([0-9]+) failed.*/\1/p' "$log")
        s=$(number 's/.* failed, ([0-9]+) skipped$/\1/p' "$log")
        ;;
    esac
    p=${p:-0} f=${f:-0} s=${s:-0}
    # An exit code that says "failed", or a suite in which nothing ran, is a failure whatever was counted.
    [ $rc -ne 0 ] && [ "$f" -eq 0 ] && f=1
    [ $((p + f + s)) -eq 0 ] && f=1
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-28s %5d passed  %3d failed  %3d skipped  %4d s\n' "$name" "$p" "$f" "$s" $((SECONDS - started))
    grep -hE '(^|# )(skipped?|SKIP)[: ]' "$log" | grep -vE '^# skipped [0-9]+$' | head -5 | sed 's/^/    /'
    if [ "$f" -ne 0 ]; then
        if [ "$kind" = node ]; then
            grep -nE '^ *not ok ' "$log" | head -20 | sed 's/^/    /'
        fi
        echo "    --- end of $log (exit code $rc) ---"
        tail -n "${TAIL_LINES:-25}" "$log" | sed 's/^/    /'
    fi
done

if [ $skipped -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
