#!/usr/bin/env bash
# Installs what is missing, or names it. Usage: tools/deps.sh build|test
# Uses apt when it may (root, or sudo that asks for no password or has a terminal); else prints the one command to run.
set -u
group=${1:-build}
missing=()
package() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed' || missing+=("$1"); }
command_or() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "penstock: no Debian: this needs gcc, and the headers of liburing, LMDB, xxHash, OpenSSL 3, inih and zlib" >&2
    if [ "$group" = test ]; then
        echo "penstock: the tests also need Criterion, jansson, wslay, http-parser, clang with its fuzzer, Node.js 18 and npm, chromium" >&2
    fi
    exit 0
fi
command_or gcc gcc
package libc6-dev
package liburing-dev
package liblmdb-dev
package libxxhash-dev
package libssl-dev
package libinih-dev
package zlib1g-dev
if [ "$group" = test ]; then
    package libcriterion-dev
    package libjansson-dev
    package libwslay-dev
    package libhttp-parser-dev
    command_or clang clang
    command_or clang-format clang-format
    compgen -G '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a' > /dev/null || package libclang-rt-dev
    command_or node nodejs
    command_or npm npm
    command_or openssl openssl
    command_or perl perl
    [ -n "${CHROMIUM:-}" ] || command_or chromium chromium
    package ca-certificates
fi
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    as_root=sudo
else
    echo "penstock: packages are missing; as root: apt-get install ${missing[*]}" >&2
    exit 1
fi
echo "penstock: installing what is missing: ${missing[*]}"
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" || {
    echo "penstock: could not install them; try: apt-get install ${missing[*]}" >&2
    exit 1
}
