#!/bin/sh
# Installs fabunit on Raspberry Pi OS, Debian or Ubuntu: finds the package for this machine, checks it, and hands it to
# apt. Nothing else: no questions, no changes that removing the package would not undo.
#
#   sudo sh install.sh PACKAGE.deb     take this file
#   sudo sh install.sh FOLDER          take the right one of the files in a folder, such as dist/
#   sudo sh install.sh URL             fetch the right one from a folder on a web server, checked against its SHA256SUMS
#
# Everything is in a function that is called in the last line: a script that was cut short on its way does nothing.
set -eu

say() { echo "install.sh: $*"; }
fail() { echo "install.sh: $*" >&2; exit 1; }

check_machine() {
    [ "$(uname -s)" = Linux ] && command -v apt-get >/dev/null || fail "this is for Debian, Raspberry Pi OS and Ubuntu"
    [ "$(id -u)" = 0 ] || fail "run it as root: sudo sh install.sh ${1:-}"
    ARCH="$(dpkg --print-architecture)"
    case "$ARCH" in
    amd64|arm64) ;;
    armhf|armel) fail "this is a 32-bit system ($ARCH): NumPy has no packages for it. Use 64-bit Raspberry Pi OS (Pi 3, 4, 5, Zero 2 W)" ;;
    *) fail "there is no package for $ARCH; amd64 and arm64 are supported" ;;
    esac
    PYTHON="$(apt-cache show python3 2>/dev/null | sed -n 's/^Version: \([0-9]*\)\.\([0-9]*\).*/\1\2/p' | head -n 1)"
    case "$PYTHON" in
    311|312|313) ;;
    "") fail "apt knows no python3: run 'apt-get update' first" ;;
    *) fail "this system has Python $PYTHON; 3.11 (Bookworm), 3.12 and 3.13 (Trixie) are supported" ;;
    esac
}

# The newest package for this architecture and Python among names on stdin.
choose() { grep -E "^fabunit_.*\+py${PYTHON}_${ARCH}\.deb$" | sort -V | tail -n 1; }

fetch() {
    url="${1%/}"
    command -v curl >/dev/null || fail "curl is missing: apt-get install curl"
    case "$url" in
    https://*|http://127.0.0.1*|http://localhost*) ;;
    *) fail "only https:// is fetched from" ;;
    esac
    curl -fsSL --retry 3 -o "$WORK/SHA256SUMS" "$url/SHA256SUMS" || fail "there is no SHA256SUMS at $url"
    name="$(sed 's/^[0-9a-f]* [ *]//' "$WORK/SHA256SUMS" | choose)"
    [ -n "$name" ] || fail "there is no package for $ARCH and Python $PYTHON at $url"
    say "fetching $name"
    curl -fsSL --retry 3 -o "$WORK/$name" "$url/$name" || fail "$url/$name cannot be fetched"
    (cd "$WORK" && grep -F " $name" SHA256SUMS | sed 's/ \*/  /' | sha256sum -c --quiet -) || fail "$name is damaged"
    PACKAGE="$WORK/$name"
}

main() {
    check_machine "${1:-}"
    WORK="$(mktemp -d)"
    trap 'rm -rf "$WORK"' EXIT
    source="${1:-}"
    case "$source" in
    *://*) fetch "$source" ;;
    *.deb) PACKAGE="$source" ;;
    "") fail "which package? a .deb file, a folder of them, or a URL: see the top of this file" ;;
    *)
        name="$(ls "$source" 2>/dev/null | choose)"
        [ -n "$name" ] || fail "there is no package for $ARCH and Python $PYTHON in $source: make it with 'make deb'"
        PACKAGE="$source/$name"
        ;;
    esac
    [ -f "$PACKAGE" ] || fail "$PACKAGE does not exist"
    # apt's own user must be able to read it, and apt takes only paths with a slash for files.
    chmod 0755 "$WORK"
    copy="$WORK/$(basename "$PACKAGE")"
    [ "$copy" = "$PACKAGE" ] || cp "$PACKAGE" "$copy"
    chmod 0644 "$copy"
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$copy"
    say "done: $(fabunit --version). Next: sudo fabunit setup"
    say "try it without a printer: fabunit demo"
}

main "$@"
