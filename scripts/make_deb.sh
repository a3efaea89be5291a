#!/usr/bin/env bash
# make deb: dist/lippycat_VERSION_ARCHITECTURE.deb from what scripts/install.sh installs and packaging/debian/.
#
# The same sources give the same bytes where SOURCE_DATE_EPOCH is set (default: the time of the last commit).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
umask 022
for program in dpkg-deb dpkg-shlibdeps strip; do
    command -v "$program" > /dev/null || { echo "deb: $program is missing: apt-get install dpkg-dev binutils" >&2; exit 1; }
done
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || date +%s)}
export SOURCE_DATE_EPOCH

version=$(.venv/bin/python -c 'from importlib.metadata import version; print(version("lippycatd"))')
architecture=$(dpkg --print-architecture)
maintainer=${DEBFULLNAME:-lippycat} address=${DEBEMAIL:-lippycat@localhost.localdomain}
# Nothing to do where the sources are those of the package that is there.
key=$(find lippycatd helper/lippycat_helper dataplane systemd packaging scripts requirements pyproject.toml \
    \( -name target -o -name __pycache__ \) -prune -o -type f ! -name '*.so' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
package=dist/lippycat_${version}_$architecture.deb
if [ -e "$package" ] && [ "$(cat .setup/deb.stamp 2> /dev/null)" = "$key" ]; then
    echo "deb: $package"
    exit 0
fi
work=build/deb root=build/deb/root
rm -rf "$work"
mkdir -p "$root/DEBIAN" "$work/debian" dist

DESTDIR=$PWD/$root NO_COMPILE=1 scripts/install.sh
install -D -m 644 packaging/debian/lintian-overrides "$root/usr/share/lintian/overrides/lippycat"
{ cat packaging/debian/copyright.head; sed 's/^$/./; s/^/ /' LICENSE; } > "$work/copyright"
install -D -m 644 "$work/copyright" "$root/usr/share/doc/lippycat/copyright"
gzip -9nc CHANGELOG.md > "$root/usr/share/doc/lippycat/CHANGELOG.md.gz"
{
    printf 'lippycat (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n' "$version"
    printf ' -- %s <%s>  %s\n' "$maintainer" "$address" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n > "$root/usr/share/doc/lippycat/changelog.gz"

printf 'Source: lippycat\n\nPackage: lippycat\nArchitecture: any\n' > "$work/debian/control"
mapfile -t libraries < <(find "$root" \( -name '*.so' -o -name '*.so.*' \) -type f | sed "s#^$work/##")
private=$(find "$root" -name '*.libs' -type d -printf '-l%P ' | sed "s#-l#-lroot/#g")
# shellcheck disable=SC2086
shlibs=$(cd "$work" && dpkg-shlibdeps -O --ignore-missing-info $private "${libraries[@]}" 2> shlibdeps.log | sed 's/^shlibs:Depends=//')
[ -n "$shlibs" ] || { cat "$work/shlibdeps.log" >&2; exit 1; }

size=$(du -k -s --apparent-size "$root" | cut -f 1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@SIZE@/$size/" -e "s/@SHLIBS@/$shlibs/" \
    -e "s/@MAINTAINER@/$maintainer <$address>/" packaging/debian/control.in > "$root/DEBIAN/control"
install -m 644 packaging/debian/conffiles "$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do install -m 755 "packaging/debian/$script" "$root/DEBIAN/$script"; done
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) > "$work/md5sums"
install -m 644 "$work/md5sums" "$root/DEBIAN/md5sums"

find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" > /dev/null
rm -rf "$work"
printf '%s\n' "$key" > .setup/deb.stamp
echo "deb: $package"
