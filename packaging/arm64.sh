#!/bin/sh
# arm64.sh FOLDER [packages]: stoke for 64-bit ARM, cross-built with Debian's compiler, and a part of the tests under qemu's user
# mode; with `packages` the libraries alone are fetched.
# Libraries and headers of arm64 are unpacked into FOLDER/arm64/root; the packages of this machine stay as they are.
set -eu

folder=$1 top=$1/arm64 root=$(mkdir -p "$1/arm64" && cd "$1/arm64" && pwd)/root
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
libraries="libc6-dev liblua5.4-dev libuv1-dev libcurl4-openssl-dev libmicrohttpd-dev libssl-dev libsqlite3-dev libseccomp-dev lua-cjson ca-certificates"
need() { command -v "$1" >/dev/null 2>&1 || { echo "arm64: $1 is missing; as root: apt-get install $2" >&2; exit 3; }; }
need debootstrap debootstrap
need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
need qemu-aarch64-static qemu-user-static
[ "$(id -u)" = 0 ] || { echo "arm64: only root can make a root of arm64 packages" >&2; exit 3; }

# Unpacked, not configured: nothing of it has to run for that.
if [ ! -e "$root/made" ]; then
  rm -rf "$root"
  echo "arm64: unpacking Debian's packages into $top/root"
  debootstrap --foreign --arch=arm64 --variant=minbase --include="$(echo "$libraries" | tr ' ' ,)" "$release" "$root" \
    >"$top/debootstrap.log" 2>&1 || { tail -n 3 "$top/debootstrap.log" >&2; exit 3; }
  for package in "$root"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
  # Links to files below / mean those of this root.
  find "$root/usr/lib" "$root/lib" -type l -lname '/*' | while read -r link; do
    ln -sfn "$root$(readlink "$link")" "$link"
  done
  touch "$root/made"
fi
[ "${2:-}" != packages ] || exit 0

triple=aarch64-linux-gnu
export PKG_CONFIG_SYSROOT_DIR="$root"
export PKG_CONFIG_LIBDIR="$root/usr/lib/$triple/pkgconfig:$root/usr/share/pkgconfig"
flags="--sysroot=$root"
# The generator of the embedded sources runs here, so it is one of this machine's; what it writes is the same everywhere but the
# bytecode, so the binary has the sources as text.
"${MAKE:-make}" --no-print-directory -j"$(nproc)" BUILD="$top" CC="$triple-gcc $flags" AR="$triple-ar" GENERATE="$folder/generate" \
  BYTECODE=0 CFLAGS="${CFLAGS:--O2}" all "$top/peer" "$top/pty" "$top/random" "$top/probe" "$top/embedding"
file=$(head -c 20 "$top/stoke" | od -An -tx1 -j18 -N1 | tr -d ' ')
[ "$file" = b7 ] || { echo "arm64: $top/stoke is no program for arm64" >&2; exit 1; }

# ---- under qemu ---------------------------------------------------------------------------------------------------------

# Files of tests that start no program of their own: that would need qemu registered in the kernel, which is not a build's business.
tests="json json_spec json_partial json_repair hash vectors store_codec store store_engine db_values channels tasks scopes
       coroutines streams laws schema_notation ollama_stream agent agent_session workflow world rand"
echo "arm64: $(qemu-aarch64-static -L "$root" "$top/stoke" --version) under qemu"
passed=0 failed=0
for name in $tests; do
  file=tests/lua/test_$name.lua
  [ -f "$file" ] || continue
  log=$top/test_$name.log status=0
  # Emulated it is ten times as slow: what is done a number of times is done less often.
  STOKE_BIN="$top/stoke" STOKE_BUILD="$top" STOKE_SCALE=0.05 timeout 120 qemu-aarch64-static -L "$root" "$top/stoke" \
    test --internal --file "$file" --seed 1 >"$log" 2>&1 || status=$?
  good=$(grep -c '"passed":true' "$log" || true)
  bad=$(grep -c '"passed":false' "$log" || true)
  if [ "$bad" = 0 ] && { [ "$status" != 0 ] || [ "$good" = 0 ]; }; then bad=1; fi # it ended before its end
  passed=$((passed + good)) failed=$((failed + bad))
  if [ "$bad" = 0 ]; then
    echo "ok   $file ($good tests)"
  else
    echo "FAIL $file: see $log"
    grep '"passed":false' "$log" | sed 's/"where":.*//' | cut -c1-300
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
