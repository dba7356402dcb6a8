#!/bin/sh
# Fetches what `make peers` runs, into FOLDER, once for each change of the lists:  install.sh FOLDER
#   FOLDER/node   a Node of its own: some of the packages want a newer one than Debian has
#   FOLDER/npm    the packages of package.json       FOLDER/py   a virtual environment with those of requirements.txt
#   FOLDER/collector/otelcol   the collector of OpenTelemetry, built of Go modules, where there is a Go
# Where the network has none of it, it says so; the tests are then skipped. With PEERS_REQUIRED=1 it fails.
set -u
folder=$1
here=$(dirname "$0")
failed=

# A registry that does not answer is asked again, twice.
patiently() {
  for pause in 5 20 0; do
    "$@" && return 0
    sleep "$pause"
  done
  return 1
}

# What was fetched, and by what: another list, another stamp.
fresh() { # name files...
  stamp=$folder/$1.stamp
  shift
  sum=$(cat "$0" "$@" | cksum)
  [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ]
}

fetched() { echo "$sum" >"$stamp"; }

npm_install() { # folder what...
  where=$1
  shift
  npm install --prefix "$where" --no-audit --no-fund --loglevel=error --fetch-retries=2 --fetch-timeout=60000 "$@" \
    >>"$where/install.log" 2>&1
}

get_node() {
  fresh node && return 0
  mkdir -p "$folder/node" && : >"$folder/node/install.log"
  echo "  PEERS node"
  patiently npm_install "$folder/node" node@26.10.0 && fetched
}

# In a subshell: the newer Node is for this alone.
get_npm() (
  fresh npm "$here/package.json" && exit 0
  mkdir -p "$folder/npm" && cp "$here/package.json" "$folder/npm/" && : >"$folder/npm/install.log"
  echo "  PEERS npm: $(grep -c '^    "' "$here/package.json") packages"
  PATH=$(cd "$folder/node/node_modules/node/bin" 2>/dev/null && pwd):$PATH
  patiently npm_install "$folder/npm" && fetched
)

get_py() {
  fresh py "$here/requirements.txt" && return 0
  echo "  PEERS PyPI: $(wc -l <"$here/requirements.txt") packages"
  mkdir -p "$folder/py"
  python3 -m venv "$folder/py" >"$folder/py/install.log" 2>&1 &&
    patiently "$folder/py/bin/pip" install -q --disable-pip-version-check --retries 2 --timeout 60 \
      -r "$here/requirements.txt" >>"$folder/py/install.log" 2>&1 && fetched
}

# The list of modules is here; their sums are those of the Go checksum database, or of the proxy that is set.
get_collector() {
  fresh collector "$here/collector/go.mod" "$here/collector/main.go" && return 0
  mkdir -p "$folder/collector" && cp "$here/collector/go.mod" "$here/collector/main.go" "$folder/collector/" || return 1
  command -v go >/dev/null || { echo "there is no Go" >"$folder/collector/install.log"; return 1; }
  echo "  PEERS Go: a collector"
  (cd "$folder/collector" && patiently go mod tidy && go build -o otelcol .) >"$folder/collector/install.log" 2>&1 && fetched
}

for part in node npm py collector; do
  "get_$part" || { failed="$failed $part"; echo "peers: $part could not be fetched (see $folder/$part/install.log); its tests will be skipped" >&2; }
done
[ -z "$failed" ] || [ -z "${PEERS_REQUIRED:-}" ]
