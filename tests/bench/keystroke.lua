-- make bench: a key at the prompt while 1,000 streams run in the background of the same process; under 10 ms from the key to its
-- echo, seen through a terminal.  stoke keystroke.lua [STREAMS [KEYS]]
local proc = require "stoke.proc"
local stoke = require "stoke"

local bench, bin = os.getenv "BENCH" or "build/bench", os.getenv "STOKE_BIN" or "build/stoke"

stoke.main(function(args)
  local streams, keys = args[1] or "1000", args[2] or "200"
  local script = (os.getenv "TMPDIR" or "/tmp") .. "/stoke-keystroke.lua"
  stoke.fs.write(script, "return function() return { text = ('word '):rep(10000) } end\n")
  local server <close> = proc.spawn { argv = { bin, "sim", "--port", "0", "--slots", streams, "--max-queue", streams,
    "--tokens-per-second", "10", "--model", "bench", "--script", script } }
  local url = server:lines()():match "http://[%d.:]+"
  local r = proc.run { argv = { bench .. "/keystroke", streams, keys, bin }, timeout = 300,
    env = { OLLAMA_HOST = url, STOKE_CONFIG = "tests/bench/stoke.config.lua", PATH = os.getenv "PATH" } }
  if r.code ~= 0 then error(r.stderr .. r.stdout) end
  local values = {}
  for name, value in r.stdout:gmatch "([%w_]+)=([%d.]+)" do values[name] = tonumber(value) end
  local row = "%-46s %10.1f %10s %-6s %6s  (under %g)%s"
  print(row:format(("a key at the prompt, %s streams: median"):format(streams), values.median_ms, "", "ms", "", 10,
    values.median_ms > 10 and "  MISSED" or ""))
  print(row:format(("the same, 99 of 100 (%d events/s)"):format(values.events_per_second), values.p99_ms, "", "ms", "", 10,
    values.p99_ms > 10 and "  MISSED" or ""))
end)
