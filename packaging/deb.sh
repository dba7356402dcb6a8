#!/bin/sh
# deb.sh VERSION FOLDER: a Debian package of what `make install` installs, built in FOLDER and for this machine's release of Debian.
# What the binary is linked with becomes Depends (dpkg-shlibdeps); the libraries that it opens when they are first needed are found
# by the names it holds: those that most scripts need are Depends, the others Recommends or Suggests. The package has no scripts.
set -eu

version=$1 folder=$2
for tool in dpkg-deb dpkg-shlibdeps strip; do
  command -v $tool >/dev/null 2>&1 || { echo "deb: $tool is missing; as root: apt-get install dpkg-dev binutils" >&2; exit 1; }
done

date=$(sed -n 's/^.define STOKE_DATE "\([^"]*\)".*/\1/p' host/base.h)
arch=$(dpkg --print-architecture)
maintainer="${DEBFULLNAME:-the stoke authors} <${DEBEMAIL:-stoke@localhost.localdomain}>"
export SOURCE_DATE_EPOCH=$(date -u -d "$date" +%s)

top=$folder/deb root=$folder/deb/root
rm -rf "$top"
mkdir -p "$root/DEBIAN" "$top/debian"
umask 022

# ---- files, where Debian has them ---------------------------------------------------------------------------------------

"${MAKE:-make}" --no-print-directory -s BUILD="$folder" install PREFIX=/usr DESTDIR="$root"
share=$root/usr/share doc=$root/usr/share/doc/stoke
strip --strip-unneeded --remove-section=.comment "$root/usr/bin/stoke"
mkdir -p "$share/zsh/vendor-completions" "$share/lintian/overrides"
mv "$share/zsh/site-functions/_stoke" "$share/zsh/vendor-completions/_stoke"
rmdir "$share/zsh/site-functions"
mv "$doc/agents" "$doc/examples"
rm "$doc/reference.md" # stoke(3) is the same
mv "$doc/CHANGELOG.md" "$doc/changelog"
{
  echo "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
  echo "Upstream-Name: stoke"
  echo
  echo "Files: *"
  sed -n 's/^Copyright (c) /Copyright: /p' LICENSE
  echo "License: Expat"
  sed -e '1,4d' -e 's/^$/./' -e 's/^/ /' LICENSE
} >"$doc/copyright"
rm "$doc/LICENSE"
{
  printf 'stoke (%s-1) unstable; urgency=medium\n\n  * Release %s; changelog.gz says what is new.\n\n' "$version" "$version"
  printf ' -- %s  %s\n' "$maintainer" "$(LC_ALL=C date -u -d "$date" -R)"
} >"$doc/changelog.Debian"
gzip -9n "$doc/changelog" "$doc/changelog.Debian" "$share"/man/man?/stoke.?
# No release of Debian has closed a bug with it.
echo "stoke: initial-upload-closes-no-bugs" >"$share/lintian/overrides/stoke"

# ---- what it needs ------------------------------------------------------------------------------------------------------

printf 'Source: stoke\n\nPackage: stoke\nArchitecture: any\n' >"$top/debian/control"
depends=$(cd "$top" && dpkg-shlibdeps -O "root/usr/bin/stoke" | sed -n 's/^shlibs:Depends=//p')
recommends="ca-certificates" suggests="lua-cjson"
linked=$(objdump -p "$root/usr/bin/stoke" | sed -n 's/^ *NEEDED *//p')
for soname in $(LC_ALL=C grep -aoE '\blib[a-z0-9]+\.so\.[0-9.]*[0-9]' "$root/usr/bin/stoke" | sort -u); do
  case "
$linked
" in *"
$soname
"*) continue ;; esac
  package=$(dpkg-query -S "*/$soname" 2>/dev/null | sed -n '1s/:.*//p')
  case "$soname" in
    libcurl.* | libsqlite3.* | libcrypto.*)
      [ -n "$package" ] || { [ "$soname" = libcrypto.so.1.1 ] && continue; } ||
        { echo "deb: no package of this machine has $soname" >&2; exit 1; }
      depends="$depends, $package" ;;
    libmicrohttpd.*) recommends="$recommends${package:+, $package}" ;;
    *) suggests="$suggests${package:+, $package}" ;;
  esac
done

{
  echo "Package: stoke"
  echo "Version: $version-1"
  echo "Architecture: $arch"
  echo "Maintainer: $maintainer"
  echo "Installed-Size: $(du -k -s --apparent-size --exclude=DEBIAN "$root" | cut -f1)"
  echo "Depends: $depends"
  echo "Recommends: $recommends"
  echo "Suggests: $suggests"
  echo "Section: devel"
  echo "Priority: optional"
  echo "Description: runtime for agents on local language models"
  echo " stoke runs agents and tools that are written as plain Lua scripts, against"
  echo " models that Ollama or a server like it serves. Calls of models, timers and"
  echo " files suspend the task that waits; runs survive the death of their process;"
  echo " a simulator stands in for the models in tests."
  echo " ."
  echo " libmicrohttpd serves agents and the page, libpq and libnats carry queues."
} >"$root/DEBIAN/control"
(cd "$root" && find usr -type f -print | LC_ALL=C sort | xargs md5sum >DEBIAN/md5sums)

find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
package=$folder/stoke_$version-1_$arch.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" >/dev/null
echo "$package"
