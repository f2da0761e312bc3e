#!/bin/sh
# Installs Roundtable's three programs: fetches the archive for this machine, verifies it, and puts the programs into one folder. Nothing that does not have
# the sum it should have is unpacked. Needs a shell, tar, gzip, sha256sum (or shasum), and curl or wget where something is to be fetched.
#
#   sh install.sh                        into ~/.local/bin
#   sh install.sh --to /usr/local/bin
#   sh install.sh --from DIR|URL         where archive (and, if this script has no sums of its own, SHA256SUMS) lie
#   sh install.sh --target TARGET        for another machine than this one
set -eu

# Both are filled in when a release is made: then the archive is held to what is written here, whoever serves it.
version=""
sums=""

say() { printf '%s\n' "$*"; }
die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

from=""
to="${HOME:-}/.local/bin"
target=""
while [ $# -gt 0 ]; do
    case "$1" in
        --from | --to | --target)
            [ $# -ge 2 ] || die "$1 needs a value"
            case "$1" in
                --from) from=$2 ;;
                --to) to=$2 ;;
                --target) target=$2 ;;
            esac
            shift 2
            ;;
        -h | --help)
            sed -n '2,9s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
        *) die "$1 is not known; see sh install.sh --help" ;;
    esac
done

# The name by which this machine's programs are called.
this_machine() {
    [ "$(uname -s)" = Linux ] || die "there are programs for Linux only; on $(uname -s) use a container or a virtual machine (deploy/README.md)"
    case "$(uname -m)" in
        x86_64 | amd64) say x86_64-unknown-linux-gnu ;;
        aarch64 | arm64) say aarch64-unknown-linux-gnu ;;
        *) die "there are no programs for $(uname -m); build from source (README.md)" ;;
    esac
}

fetch() {
    case "$from" in
        http://*) die "$from is not encrypted: use https" ;;
        https://*)
            if command -v curl >/dev/null; then
                curl --proto '=https' --tlsv1.2 -fsSL --retry 3 -o "$work/$1" "$from/$1" || die "$from/$1 cannot be fetched"
            elif command -v wget >/dev/null; then
                wget -q -O "$work/$1" "$from/$1" || die "$from/$1 cannot be fetched"
            else
                die "neither curl nor wget is here: fetch $from/$1 yourself, then --from the folder it lies in"
            fi
            ;;
        *) cp "$from/$1" "$work/$1" 2>/dev/null || die "there is no $1 in $from" ;;
    esac
}

sum_of() {
    if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

[ -n "$target" ] || target=$(this_machine)
[ -n "$version" ] || [ -n "$from" ] || die "this script is of no release: name the folder or address of one with --from"
[ -n "$from" ] || from="https://github.com/roundtable-orchestrator/roundtable/releases/download/v$version"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

if [ -z "$sums" ]; then
    fetch SHA256SUMS
    sums=$(cat "$work/SHA256SUMS")
fi
# The one line for this machine, whatever version it names.
line=$(printf '%s\n' "$sums" | grep -E "^[0-9a-f]{64}  roundtable-[A-Za-z0-9.+-]*-$target\.tar\.gz\$") || die "there is no archive for $target"
[ "$(printf '%s\n' "$line" | wc -l)" -eq 1 ] || die "there are several archives for $target: name one release"
wanted=${line%% *}
archive=${line##* }
fetch "$archive"
found=$(sum_of "$work/$archive")
if [ "$found" != "$wanted" ]; then
    die "$archive is not what was released: its SHA-256 is $found, not $wanted; nothing was installed"
fi

name=${archive%.tar.gz}
mkdir "$work/unpacked"
tar -xzf "$work/$archive" -C "$work/unpacked" || die "$archive cannot be unpacked; nothing was installed"
for program in coordinator worker orchctl; do
    [ -f "$work/unpacked/$name/$program" ] || die "there is no $program in $archive; nothing was installed"
done
mkdir -p "$to" || die "$to cannot be made"
for program in coordinator worker orchctl; do
    # Beside it first, then in its place at once: a program that runs is not disturbed, and none is ever half there.
    cp "$work/unpacked/$name/$program" "$to/.$program.new" || die "$to cannot be written"
    chmod 755 "$to/.$program.new"
    mv -f "$to/.$program.new" "$to/$program"
done
say "coordinator, worker and orchctl of $name are in $to"
case ":${PATH:-}:" in
    *":$to:"*) ;;
    *) say "it is not on your PATH: export PATH=\"$to:\$PATH\"" ;;
esac
