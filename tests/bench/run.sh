#!/bin/sh
# make bench: starts the yardstick server and hands its address to run.lua. BENCH and STOKE_BIN come from the Makefile.
set -eu
ulimit -n "$(ulimit -Hn)"
out=$BENCH/server.url
: >"$out"
"$BENCH/server" >"$out" &
server=$!
trap 'kill $server 2>/dev/null' EXIT
trap 'exit 130' INT TERM HUP
while [ ! -s "$out" ]; do sleep 0.05; done
STOKE_CONFIG=tests/bench/stoke.config.lua OLLAMA_HOST=$(cat "$out") FILES=$(ulimit -n) lua5.4 tests/bench/run.lua
