-- stoke top [NAME]: what a running host does, once a second.

local args = require "stoke.args"
local attach = require "stoke.attach"
local json = require "stoke.json"
local stdio = require "core.stdio"
local term = require "stoke.term"
local time = require "stoke.time"

local SPEC = {
  name = "stoke top", summary = "Watch a running host: tasks, slots, queues, tokens a second.",
  examples = { { "stoke top", "the only host there is" }, { "stoke top town --every 5", "this one, every five seconds" },
               { "stoke top --once --json", "one look, for a script" } },
  options = { { "every", default = 1.0, help = "seconds between two looks" },
              { "once", type = "boolean", help = "one look, then end" },
              { "json", type = "boolean", help = "one JSON object a look" } },
  positionals = { { "name", optional = true, help = "name or process of the host" } },
}

--- A look as text; `before` is the one before, or nil.
local function text_of(now, before)
  local passed = before and now.seconds - before.seconds or 0
  local function rate(name) return passed > 0 and ("%.0f"):format((now[name] - before[name]) / passed) or "-" end
  local out = {
    ("%s  pid %d  up %s  %s"):format(now.name, now.pid, term.duration(now.seconds), now.script or ""),
    ("tasks %d  agents %d  sessions %d"):format(now.tasks, now.agents, now.sessions),
    ("calls %d (%s/s)  failed %d  tokens in %d (%s/s)  out %d (%s/s)"):format(now.calls, rate "calls", now.failed, now.input_tokens,
      rate "input_tokens", now.output_tokens, rate "output_tokens"),
  }
  for _, slot in ipairs(now.pool) do
    out[#out + 1] = ("%-48s running %d  waiting %d"):format(slot.key, slot.busy, slot.waiting)
  end
  return table.concat(out, "\n") .. "\n"
end

--- On a screen: one line each, never wider, and no more than fit; what was there before is written over.
local function screenful(text)
  local columns, rows = stdio.columns()
  columns = columns and columns > 0 and columns or term.columns()
  local out = {}
  for line in term.clean(text):gmatch "[^\n]+" do
    if rows and rows > 1 and #out >= rows - 1 then break end
    out[#out + 1] = term.width(line) > columns and term.fit(line, columns) or line
  end
  return "\27[H\27[2J" .. table.concat(out, "\n") .. "\n"
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local host = attach.find(a.name)
  local before
  local screen = stdio.is_tty(1) and os.getenv "TERM" ~= "dumb" and not a.json and not a.once
  repeat
    local now = attach.ask(host.path, "/counts")
    if a.json then
      stdio.write(json.encode(now) .. "\n")
    else
      local text = text_of(now, before)
      stdio.write(screen and screenful(text) or term.clean(text))
    end
    before = now
    if not a.once then time.sleep(a.every) end
  until a.once
end
