#!/usr/bin/env bash
# bare.sh [-s SHARED] [-k] COMMAND...: run a command in a fresh clone of this checkout's HEAD on a bare Debian 12.
#
#   scripts/bare.sh 'make demo && make test'
#
# The system is debootstrap's minbase with git, make and python3, and with the package sources, certificates and proxy
# settings of this machine; everything else is for `make setup` to install. It is entered by pivot_root in namespaces of
# its own, not by chroot: in a chroot no namespace can be joined, which the tests do. As root. -s puts a folder beside
# the clone as `shared`, read-only; -k keeps the system afterwards and says where. LIPPYCAT_CACHE (/var/cache/lippycat)
# keeps the bare system for the next time.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
shared='' keep=''
while getopts s:k option; do
    case $option in
        s) shared=$(cd "$OPTARG" && pwd) ;;
        k) keep=yes ;;
        *) sed -n '2,4p' "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { sed -n '2,4p' "$0" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "bare.sh: run it as root" >&2; exit 3; }
command -v debootstrap > /dev/null || { echo "bare.sh: missing: apt-get install debootstrap" >&2; exit 3; }

cache=${LIPPYCAT_CACHE:-/var/cache/lippycat}
base=$cache/bare-bookworm
if [ ! -d "$base" ]; then
    mkdir -p "$cache"
    # the mirror of this machine's own sources, where it is a Debian; else debootstrap's own choice
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2> /dev/null |
        sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb  *\(\[[^]]*\] *\)*\([^ ]*\) .*/\2/p' | grep -E '/debian/?$' | head -n 1) || true
    rm -rf "$base.$$"
    debootstrap --variant=minbase --include=ca-certificates,git,make,python3 bookworm "$base.$$" ${mirror:+"$mirror"}
    mv "$base.$$" "$base"
fi

root=$(mktemp -d -p "${TMPDIR:-/var/tmp}" lippycat-bare.XXXXXX)
clean() { if [ -n "$keep" ]; then echo "bare.sh: kept $root"; else rm -rf --one-file-system "$root"; fi; }
trap clean EXIT
chmod 755 "$root"
cp -a "$base/." "$root/"
# how this machine reaches its package sources: settings, not programs
for path in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d /etc/apt/auth.conf.d /etc/apt/trusted.gpg.d \
    /etc/apt/keyrings /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs /usr/local/share/ca-certificates \
    /usr/share/keyrings; do
    [ ! -e "$path" ] || { mkdir -p "$root$(dirname "$path")"; cp -aLT "$path" "$root$path" 2> /dev/null || true; }
done
rm -f "$root"/etc/apt/apt.conf.d/docker-*
mkdir -p "$root/src" "$root/.old"
git clone --quiet "$source" "$root/src/lippycat"
[ -z "$shared" ] || mkdir "$root/src/shared"

settings=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8)
while IFS= read -r -d '' line; do
    case $line in
        *_proxy=* | *_PROXY=* | *CA_BUNDLE=* | *_CAINFO=* | SSL_CERT_*=* | PIP_CERT=* | PIP_INDEX_URL=* | CARGO_*=*:*) settings+=("$line") ;;
        LIPPYCAT_*=*) settings+=("$line") ;;
    esac
done < <(env -0)

export root shared
unshare --mount --pid --fork --propagation private bash -euc '
    mount --bind "$root" "$root"
    [ -z "$shared" ] || { mount --bind "$shared" "$root/src/shared"; mount -o remount,bind,ro "$root/src/shared"; }
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mkdir -p "$root/run/lock"
    cd "$root"
    pivot_root . .old
    mount -t proc proc /proc
    umount -l /.old
    cd /src/lippycat
    exec env -i "$@"
' bash "${settings[@]}" nice -n 10 bash -c "$*"
