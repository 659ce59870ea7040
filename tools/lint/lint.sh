#!/usr/bin/env bash
# Checks that need no reader: format, include edges, banned words, sizes, headers that stand alone. Exits 1 with a
# line a finding. Files are those git knows or would add, so build output is never looked at.
set -u
cd "$(dirname "$0")/../.." || exit 1
FILE_LINES_MAX=700
FUNCTION_LINES_MAX=100
LINE_CHARS_MAX=100
CC=${CC:-gcc}
here=tools/lint
found=0
say() { printf '%s\n' "$*"; found=$((found + 1)); }

mapfile -t files < <(git ls-files -co --exclude-standard | while read -r f; do [ -f "$f" ] && echo "$f"; done)
mapfile -t c_files < <(printf '%s\n' "${files[@]}" | grep -E '\.[ch]$')

# Format.
if command -v clang-format >/dev/null; then
    while read -r f; do say "$f: not formatted (clang-format -i $f)"; done < <(
        for f in "${c_files[@]}"; do clang-format --dry-run -Werror "$f" >/dev/null 2>&1 || echo "$f"; done)
else
    echo "lint: clang-format is not here; format not checked"
fi

# Include edges against the table.
while IFS=: read -r f line text; do
    from=${f%%/*}
    to=$(printf '%s' "$text" | sed -nE 's/^#include "([a-z]+)\/.*/\1/p')
    [ -n "$to" ] || { say "$f:$line: includes are written from the root: $text"; continue; }
    allowed=$(awk -F'\t' -v d="$from" '$1 == d { print $2 }' $here/includes.tsv)
    [ -n "$allowed" ] || continue
    [[ " $allowed " == *" $to "* ]] || say "$f:$line: $from may not include $to ($here/includes.tsv)"
done < <(grep -nHE '^#include "' "${c_files[@]}")

# Third-party headers in their files only.
while IFS=$'\t' read -r header where; do
    [[ $header == \#* || -z $header ]] && continue
    while IFS=: read -r f line text; do
        [[ $f =~ $where ]] || say "$f:$line: $text belongs to other files ($here/headers.tsv)"
    done < <(grep -nHE "^#include <$header>" "${c_files[@]}")
done < $here/headers.tsv

# Banned words (comments are not code: strip them first).
while IFS=$'\t' read -r where what why; do
    [[ $where == \#* || -z $where ]] && continue
    for f in "${c_files[@]}"; do
        [[ $f =~ $where ]] || continue
        grep -qE "$what" "$f" || continue
        while IFS=: read -r line text; do
            say "$f:$line: $(printf '%s' "$text" | sed 's/^ *//') - $why"
        done < <(perl -0pe 's{/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"}{ my $t = $&; $t =~ s/[^\n]//g; $t }gse' "$f" | grep -nE "$what")
    done
done < $here/banned.tsv

# Sizes.
for f in "${files[@]}"; do
    case $f in
    *.c | *.h | *.js | *.mjs | *.sh | *.css | *.html) ;;
    *) continue ;;
    esac
    n=$(wc -l < "$f")
    [ "$n" -le $FILE_LINES_MAX ] || say "$f: $n lines (at most $FILE_LINES_MAX): split it by a decision that it hides"
done
awk -v max=$LINE_CHARS_MAX 'length($0) > max { print FILENAME ":" FNR ": " length($0) " characters (at most " max ")" }' \
    "${c_files[@]}" > /tmp/penstock-lint.$$
awk -v max=$FUNCTION_LINES_MAX '
    FNR == 1 { start = 0 }
    /^\{/ { start = FNR }
    /^\}/ { if (start && FNR - start > max) print FILENAME ":" start ": a function of " FNR - start " lines (at most " max ")"; start = 0 }
' $(printf '%s\n' "${c_files[@]}" | grep '\.c$') >> /tmp/penstock-lint.$$
while read -r l; do say "$l"; done < /tmp/penstock-lint.$$
rm -f /tmp/penstock-lint.$$

# Every header compiles alone.
for f in "${c_files[@]}"; do
    [[ $f == *.h ]] || continue
    $CC -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -I. -fsyntax-only -x c "$f" 2>/dev/null || say "$f: does not compile alone"
done

# Names that the tree must not hold: paths of one machine, other people's hosts in lock files.
while read -r l; do say "$l: a path of one machine"; done < <(
    git grep -nIE --untracked '(^|[^a-zA-Z0-9_.])/(work|farm|root)/' -- . ':!tools/lint' 2>/dev/null | cut -d: -f1,2)
while read -r l; do say "$l: lock files name no hosts (npm --omit-lockfile-registry-resolved)"; done < <(
    git grep -nIE --untracked '"resolved": "http' -- '*package-lock.json' 2>/dev/null | cut -d: -f1,2 | head -3)

if [ $found -gt 0 ]; then
    echo "lint: $found finding(s)"
    exit 1
fi
echo "lint: ${#files[@]} files, nothing found"
