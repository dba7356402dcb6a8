-- What stdlib may see of the core, and who may go past the door: two lists. A name that is added here widens the face of the core,
-- or makes one place more that a trace, a replay and a policy know nothing of; there should be a reason.
local source = require "source"

-- Modules of lua/ that stdlib may require, beside the drivers of the effects it performs (core.driver.*).
local FACE = {}
for name in ([[about approval channel combine coro effect endpoint engine env envfile errors frame glob hash heap journal json
   keeper keyfile leftover mailbox
   modules names ordered overrun pure queue random redact reload runs schedule scope script secrets source stdio
   store stream
   task terms testbed text traces vectors
   history.file history.runs history.traces
   cache.embedding cache.models cache.settings gate.budget gate.memory gate.notice gate.policy
   gate.pool gate.retry gate.span gate.traceparent journal.place journal.plain runs.actors runs.code runs.worker store.place
   store.plain
   store.sessions]]):gmatch "%S+" do
  FACE[name] = true
end

-- Files of stdlib that may use the raw io and os: they run before there is a task, or read what is the program's own (its terminal,
-- its configuration, its history).
local RAW = {}
for path in ([[cmd/chat cmd/doctor/look cmd/init cmd/run cmd/scaffold cmd/top config log model/status repl repl/complete
  runs/words sim/script term term/history term/progress term/prompt test/cassette test/report tools/basic]]):gmatch "%S+" do
  RAW["stdlib/" .. path .. ".lua"] = true
end

local function check_requires(path, text, report)
  for n, line in source.lines(source.code(path, text, true)) do
    for name in line:gmatch "%f[%w_]require%s*%(?%s*[\"']core%.([%w_.]*)[\"']" do
      if not FACE[name] and not name:find "^driver%." then
        report(path, n, ("requires core.%s, which is no part of the core's face"):format(name),
               "use what tests/lint/face.lua lists, or say there why this belongs to it")
      end
    end
  end
end

local function check_raw(path, text, report)
  if RAW[path] then return end
  for n, line in source.lines(source.code(path, text)) do
    local word = line:match "%f[%w_.](io%.%l+)%s*[%(\"']" or line:match "%f[%w_.](os%.%l+)%s*[%(\"']"
    if word and not line:find "globals%.io" then
      report(path, n, ("calls the raw %s"):format(word), "use stoke.fs, stoke.env or stoke.time: they go through the door")
    end
  end
end

return {
  name = "face",
  folders = { "stdlib" },
  endings = { "lua" },
  check = function(path, text, report)
    check_requires(path, text, report)
    check_raw(path, text, report)
  end,
}
