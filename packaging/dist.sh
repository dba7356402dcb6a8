#!/bin/sh
# dist.sh VERSION FOLDER: the source archive of the last commit. Names are sorted, times are the commit's, owners are nobody's, and
# gzip keeps neither a name nor a time: whoever has the commit makes the same bytes.
set -eu

version=$1 folder=$2
name=stoke-$version
if ! git rev-parse --git-dir >/dev/null 2>&1; then
  echo "dist: this is no git repository; an archive is made from a clone" >&2
  exit 1
fi
[ -z "$(git status --porcelain --untracked-files=no)" ] ||
  echo "dist: what was changed since the last commit is not in the archive" >&2

mkdir -p "$folder"
git -c tar.umask=0022 -c core.autocrlf=false archive --format=tar --prefix="$name/" HEAD | gzip -n -9 >"$folder/$name.tar.gz.new"
mv "$folder/$name.tar.gz.new" "$folder/$name.tar.gz"
(cd "$folder" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256" && cat "$name.tar.gz.sha256")
