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

# A server that answers no more is given up after so many seconds; a package takes as long as it takes while bytes come.
CONNECT_S=20
STALL_S=60

say() { echo "install.sh: $*"; }
fail() { echo "install.sh: $*" >&2; exit 1; }

python_version() { apt-cache show python3 2>/dev/null | sed -n 's/^Version: \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1; }

check_machine() {
    { [ "$(uname -s)" = Linux ] && command -v apt-get >/dev/null; } \
        || fail "this is for Debian, Raspberry Pi OS and Ubuntu; there is no apt here"
    [ "$(id -u)" = 0 ] || fail "run it as root: sudo sh install.sh ${1:-}"
    ARCH="$(dpkg --print-architecture)"
    case "$ARCH" in
    amd64|arm64) ;;
    # The package on the system's own libraries has no compiled part of its own.
    armhf|armel|i386) [ "$(python_version)" = 3.13 ] || fail "this is a 32-bit system ($ARCH), for which there is no package. A Pi 3, 4, 5 or Zero 2 W runs the 64-bit Raspberry Pi OS" ;;
    *) fail "there is no package for $ARCH; amd64 and arm64 are supported" ;;
    esac
    PYTHON="$(python_version)"
    case "$PYTHON" in
    3.11|3.12|3.13) ;;
    "") fail "apt knows no python3: run 'apt-get update' first" ;;
    *) fail "this system has Python $PYTHON; 3.11 (Debian 12 Bookworm), 3.12 (Ubuntu 24.04) and 3.13 (Debian 13 Trixie) are supported" ;;
    esac
    TAG="py$(echo "$PYTHON" | tr -d .)"
}

# The newest package for this architecture and Python among names on stdin; else the newest on the system's own libraries.
choose() {
    names="$(cat)"
    chosen="$(echo "$names" | grep -E "^fabunit_[^/ ]*\+${TAG}_${ARCH}\.deb$" | sort -V | tail -n 1)"
    [ -n "$chosen" ] || chosen="$(echo "$names" | grep -E "^fabunit_[^/ ]*\+${TAG}thin_all\.deb$" | sort -V | tail -n 1)"
    echo "$chosen"
}

# Fetch $1 to the file $2; a redirection never leads away from https. Shows what went wrong, and fails.
download() {
    curl -fsSL --proto "$SCHEMES" --proto-redir "$SCHEMES" --retry 3 --connect-timeout "$CONNECT_S" \
        --speed-limit 1 --speed-time "$STALL_S" -o "$2" "$1"
}

fetch() {
    url="${1%/}"
    SCHEMES='=https'
    case "$url" in
    *@*) fail "an address with a name or password in it is not fetched from" ;;
    https://*) ;;
    # This machine itself: what else is on it could as well change the file.
    http://127.0.0.1:*|http://127.0.0.1/*|http://localhost:*|http://localhost/*) SCHEMES='=http,https' ;;
    *) fail "only https:// is fetched from" ;;
    esac
    case "$url" in *.deb) fail "give the address of the folder, $(dirname "$url"), where SHA256SUMS is, too" ;; esac
    command -v curl >/dev/null || fail "curl is missing: apt-get install curl"
    download "$url/SHA256SUMS" "$WORK/SHA256SUMS" || fail "there is no SHA256SUMS at $url: nothing was installed"
    name="$(sed 's/^[0-9a-fA-F]* [ *]//' "$WORK/SHA256SUMS" | choose)"
    [ -n "$name" ] || fail "there is no package for $ARCH and Python $PYTHON at $url"
    say "fetching $name"
    download "$url/$name" "$WORK/$name" || fail "$url/$name cannot be fetched whole: nothing was installed"
    wanted="$(awk -v name="$name" '{ n = $2; sub(/^\*/, "", n); if (n == name) print tolower($1) }' "$WORK/SHA256SUMS")"
    found="$(sha256sum "$WORK/$name" | cut -d ' ' -f 1)"
    [ "$found" = "$wanted" ] \
        || fail "$name is not the one of SHA256SUMS (it has $found): damaged on its way, or changed. Nothing was installed"
    PACKAGE="$WORK/$name"
}

# A named file must fit, too: apt would only say that some dependency cannot be installed.
check_name() {
    case "$(basename "$1")" in
    fabunit_*+"${TAG}"_"${ARCH}".deb|fabunit_*+"${TAG}"thin_all.deb) ;;
    fabunit_*_*.deb) fail "$(basename "$1") is for another system: this one has Python $PYTHON on $ARCH (make deb DEB='--python $PYTHON --arch $ARCH')" ;;
    *) fail "$1 is no package of fabunit" ;;
    esac
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
        [ -d "$source" ] || fail "there is no folder $source"
        name="$(ls "$source" | choose)"
        [ -n "$name" ] || fail "there is no package for $ARCH and Python $PYTHON in $source: make deb DEB='--python $PYTHON --arch $ARCH'"
        PACKAGE="$source/$name"
        ;;
    esac
    [ -f "$PACKAGE" ] || fail "$PACKAGE does not exist"
    check_name "$PACKAGE"
    dpkg-deb --fsys-tarfile "$PACKAGE" >/dev/null 2>&1 || fail "$PACKAGE is damaged: it is no Debian package, or only a part of one"
    # apt's own user must be able to read it, and apt takes only paths with a slash for files.
    chmod 0755 "$WORK"
    copy="$WORK/$(basename "$PACKAGE")"
    [ "$copy" = "$PACKAGE" ] || cp "$PACKAGE" "$copy"
    chmod 0644 "$copy"
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$copy" \
        || fail "apt could not install it: see above (is the package list old? 'apt-get update')"
    say "done: $(fabunit --version). Next: sudo fabunit setup"
    say "try it without a printer: fabunit demo"
}

main "$@"
