-- stoke top [NAME]: shows the activity of a running host, refreshed every second on a terminal; elsewhere once, unless --every asks
-- for more.

local args = require "stoke.args"
local attach = require "stoke.attach"
local errors = require "core.errors"
local json = require "stoke.json"
local keeper = require "core.keeper"
local keys = require "stoke.term.keys"
local pool = require "stoke.inspect.pool"
local stdio = require "core.stdio"
local stoke = require "stoke"
local tasks = require "core.task"
local term = require "stoke.term"
local time = require "stoke.time"

local SPEC = {
  name = "stoke top", summary = "Watch a running host: slots and who is on them, queues and why they wait, tokens a second.",
  examples = { { "stoke top", "the only host there is; q, Esc or Ctrl-C ends" },
               { "stoke top town --every 5", "this one, every five seconds" },
               { "stoke top --json", "one look into a pipe or a file, for a script" },
               { "stoke top --all", "all hosts that share runs by an engine (stoke worker)" },
               { "stoke top --json --every 10", "one every ten seconds, until nobody reads" } },
  options = { { "every", type = "number", help = "seconds between two looks; on a terminal 1" },
              { "once", type = "boolean", help = "one look, then end; so it is without --every where the output is no terminal" },
              { "all", type = "boolean", help = "the hosts that share runs, in place of one of this machine" },
              { "engine", placeholder = "URL", help = "with --all: what they share; else that of the settings" },
              { "json", type = "boolean", help = "one JSON object a look" } },
  positionals = { { "name", optional = true, help = "name or process of the host" } },
}

--- Lines of the pool, at most.
local MOST <const> = 10000

-- ---- a look as lines -----------------------------------------------------------------------------------------------

--- Parts of a line, two blanks apart; what does not fit goes on below.
local function flow(parts, columns)
  local lines, line = {}, nil
  for _, part in ipairs(parts) do
    local longer = line and line .. "  " .. part
    if longer and term.width(longer) <= columns then line = longer
    else
      lines[#lines + 1] = line
      line = part
    end
  end
  lines[#lines + 1] = line
  return lines
end

--- `before` is the look before, or nil; rows: how many lines there is room for.
local function lines_of(now, before, columns, rows)
  local passed = before and now.seconds - before.seconds or 0
  local function rate(name) return passed > 0 and ("%.0f"):format((now[name] - before[name]) / passed) or "-" end
  local out = { ("%s  pid %d  up %s  %s"):format(now.name, now.pid, term.duration(now.seconds), now.script or "") }
  local function add(parts)
    for _, line in ipairs(flow(parts, columns)) do out[#out + 1] = line end
  end
  add { ("tasks %d"):format(now.tasks), ("agents %d"):format(now.agents), ("sessions %d"):format(now.sessions) }
  if now.mail then
    add { ("mailboxes %d"):format(now.mail.mailboxes), ("letters waiting %d"):format(now.mail.waiting),
      ("dead letters %d"):format(now.mail.dead) }
  end
  if now.clients then add { ("clients %d"):format(now.clients) } end
  add { ("calls %d (%s/s)"):format(now.calls, rate "calls"), ("failed %d"):format(now.failed),
    ("tokens in %d (%s/s)"):format(now.input_tokens, rate "input_tokens"), ("tokens out %d (%s/s)"):format(now.output_tokens,
    rate "output_tokens"), not before and ("counted since %s"):format(now.counted > 0 and term.duration(now.counted) .. " ago" or
    "this look") or nil }
  local state = now.pool
  if not state.servers then
    errors.raise("usage", ("the host %s runs another version of stoke (%s)"):format(now.name, now.version))
  end
  if state.servers[1] or state.others[1] then add(pool.summary(state)) end
  return table.move(pool.lines(state, { columns = columns, rows = rows and rows - #out }), 1, MOST, #out + 1, out)
end

-- ---- the screen ----------------------------------------------------------------------------------------------------

local KEYS = "q, Esc or Ctrl-C ends"

--- One line each, never wider, and no more than fit, the last one for the keys; what was there before is written over.
local function screenful(lines)
  local columns, rows = stdio.columns()
  columns = columns and columns > 0 and columns or term.columns()
  local out = {}
  for i, line in ipairs(lines) do
    if rows and rows > 2 and i > rows - 2 then break end
    out[i] = term.width(line) > columns and term.fit(line, columns) or line
  end
  out[#out + 1] = term.paint("dim", term.fit(KEYS, math.min(columns - 1, #KEYS)), term.colour(1))
  return "\27[H\27[2J" .. table.concat(out, "\r\n")
end

local ENDS = { escape = true, ["ctrl-c"] = true, ["ctrl-d"] = true, q = true, Q = true }

--- Wait for a key that ends it; any other one calls `again`.
local function until_key(again)
  local decoder = keys.new()
  while true do
    local bytes
    if decoder:waiting() then -- a lone ESC is a key when nothing follows
      local some = stoke.try(stoke.timeout, keys.ESCAPE, stdio.read_some)
      bytes = some or ""
    else
      bytes = stdio.read_some()
    end
    if not bytes then return end -- the terminal is gone
    for _, event in ipairs(bytes == "" and decoder:flush() or decoder:feed(bytes)) do
      if ENDS[event.key or event.text] then return end
      again()
    end
  end
end

--- Refreshes until the user quits.
local function watch(look, every)
  local waiting
  local function again()
    if waiting then tasks.wake(waiting) end
  end
  local guard <close> = setmetatable({}, { __close = function()
    keeper.on_terminal = nil
    stdio.write "\r\n"
    stdio.cooked()
  end })
  stdio.raw ""
  stdio.interrupts(false)
  keeper.on_terminal = function(news)
    if news & 4 ~= 0 then
      stdio.suspend()
      stdio.interrupts(false)
    end
    again()
  end
  stoke.race {
    function() until_key(again) end,
    function()
      while true do
        stdio.write(screenful(look()))
        waiting = tasks.current()
        tasks.park("the next look", every)
        waiting = nil
      end
    end,
  }
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local tty = stdio.is_tty(1)
  local once = a.once or not tty and not a.every
  a.every = a.every or 1
  if not (a.every > 0) then errors.raise("usage", ("--every: seconds must be more than 0, not %g"):format(a.every)) end
  if a.all and a.name then errors.raise("usage", "--all shows all hosts, not one of a name") end
  local host = not a.all and attach.find(a.name)
  local screen = tty and os.getenv "TERM" ~= "dumb" and not a.json and not once
  local before
  local function look_at_all()
    local inspected = require "stoke.inspect.hosts"
    local now = inspected.look(a.engine)
    local lines = not a.json and inspected.lines(now, before)
    before = now
    if a.json then return json.encode(now) .. "\n" end
    for i, line in ipairs(lines) do lines[i] = term.clean(line) end
    return lines
  end
  local function look(columns)
    if a.all then return look_at_all() end
    local _, rows = stdio.columns()
    local now, err = stoke.try(attach.ask, host.path, "/counts")
    if err and before and (err.kind == "refused" or err.kind == "unreachable" or err.kind == "incomplete") then
      errors.raise(err.kind, ("the host %s is gone"):format(host.name), { hint = "stoke ps lists those that run" })
    elseif err then
      error(err, 0)
    end
    local lines = not a.json and lines_of(now, before, columns or (stdio.columns()) or term.columns(),
      screen and rows and rows > 2 and rows - 2 or nil)
    before = now
    if a.json then return json.encode(now) .. "\n" end
    for i, line in ipairs(lines) do lines[i] = term.clean(line) end
    return lines
  end
  if screen and stdio.is_tty(0) then return watch(look, a.every) end
  repeat
    local seen = look(not screen and math.huge or nil)
    stdio.write(a.json and seen or screen and screenful(seen) or table.concat(seen, "\n") .. "\n")
    if not once then time.sleep(a.every) end
  until once
end
