--- The pool as lines of text: a row for each model under its server, a line for each busy slot, and the first that wait, with why.
--- For `stoke top`, the prompt's `:pool` and `stoke attach`.

local term = require "stoke.term"

local M = {}

-- ---- words -----------------------------------------------------------------------------------------------------------------

local function seconds(value) return value and term.duration(value) or "-" end

local function whole(value) return value and ("%.0f"):format(value) or "-" end

--- Of a small number one more digit.
local function speed(value) return value and (value < 9.95 and "%.1f" or "%.0f"):format(value) or "-" end

--- Whose call it is: an agent's, or a task's (its file without the folders); with the number of its program.
local function who(call)
  local name = call.agent or call.task and call.task:match "[^/]*$" or "?"
  return call.program and ("%s #%d"):format(name, call.program) or name
end

local function class(call) return call.class and call.class ~= "normal" and call.class or nil end

local function joined(...)
  local parts = {}
  for i = 1, select("#", ...) do parts[#parts + 1] = (select(i, ...)) or nil end
  return table.concat(parts, ", ")
end

-- ---- lines -----------------------------------------------------------------------------------------------------------------

local HEADS <const> = { "SLOTS", "BUSY", "WAIT", "LONGEST", "LOADED ", "TOKENS/S", "LOAD" }

local function is_idle(lane) return lane.busy == 0 and lane.waiting == 0 and not lane.held end

local function loaded(lane)
  if lane.loading then return "loading" end
  if lane.leaving then return "leaves" end
  if lane.resident == nil then return "" end
  return lane.resident and "yes" or "no"
end

--- The cells of a model's row.
local function cells_of(lane)
  local slots = ("%d%s"):format(lane.slots, (lane.believed or lane.set or not lane.model) and "" or "?")
  return { slots, lane.busy > 0 and whole(lane.busy) or lane.waiting > 0 and "-" or "idle",
    lane.waiting > 0 and whole(lane.waiting) or "-", seconds(lane.longest), loaded(lane), speed(lane.speed),
    seconds(lane.load_seconds) }
end

local function row(name, width, cells)
  local out = { term.fit(name, width) }
  for i, cell in ipairs(cells) do out[i + 1] = term.fit(cell, #HEADS[i], true) end
  return (table.concat(out, "  "):gsub("%s+$", ""))
end

--- Columns of who a call is of, at most; where a reason goes on that does not fit; on what is narrower than so much, there.
local WHO <const>, FURTHER <const>, NARROW <const>, NEARER <const> = 16, 18, 60, 8

--- A line that begins with `start`; what does not fit goes on below, under `further` blanks.
local function add_wrapped(out, columns, start, rest, further)
  local room = columns - term.width(start)
  while term.width(rest) > room do
    local cut
    for at in rest:gmatch "() " do
      if term.width(rest:sub(1, at - 1)) <= room then cut = at end
    end
    if not cut and room >= columns - further then break end -- a word that fits nowhere
    out[#out + 1] = (start .. rest:sub(1, (cut or 1) - 1)):gsub("%s+$", "")
    start, rest = (" "):rep(further), rest:sub((cut or 0) + 1)
    room = columns - further
  end
  out[#out + 1] = (start .. rest):gsub("%s+$", "")
end

--- One call or hold below a model.
local function add_below(out, about, what, time, name, told)
  add_wrapped(out, about.columns, ("    %-5s %5s  %s  "):format(what, seconds(time), term.fit(name, about.who)), told,
    about.columns < NARROW and NEARER or FURTHER)
end

local function add_call(out, about, call)
  local tokens = call.tokens and call.tokens > 0 and ("%d %s%s"):format(call.tokens,
    call.tokens == 1 and "token" or "tokens", call.rate and (", %s a second")
    :format(speed(call.rate)) or "") or nil
  local waited = call.waited and call.waited >= 0.05 and "waited " .. seconds(call.waited) or nil
  add_below(out, about, call.parked and "sent" or "runs", call.since, who(call), joined(class(call), tokens, waited))
end

--- A deadline is told when it is nearer than so many seconds.
local SOON <const> = 600

local function add_waiting(out, about, call)
  local deadline = call.deadline and call.deadline < SOON and ("has %s left"):format(seconds(math.max(0, call.deadline))) or nil
  add_below(out, about, "waits", call.waited, who(call), joined(class(call), deadline, call.reason))
end

local function holder(hold) return hold.agent or "a conversation" end

local function add_held(out, about, hold)
  add_below(out, about, "held", hold.left, holder(hold), hold.waits and "it goes on next" or
    ("its tool %sis at work"):format(hold.tool and hold.tool .. " " or ""))
end

local function add_more(out, n, one, many)
  if n > 0 then out[#out + 1] = ("    %d more %s"):format(n, n == 1 and one or many) end
end

local function who_width(lane)
  local widest = 0
  for _, call in ipairs(lane.calls) do widest = math.max(widest, term.width(who(call))) end
  for _, call in ipairs(lane.queue) do widest = math.max(widest, term.width(who(call))) end
  for _, hold in ipairs(lane.held or {}) do widest = math.max(widest, term.width(holder(hold))) end
  return math.min(widest, WHO)
end

--- What keeps a call: its model, whoever goes before it there; or all that is said.
local function cause(call) return call.reason:match "^its model[^;]*" or call.reason end

--- A model and what is below it: so many of the calls that are out, so many of those that wait. One is told of those that wait in a
--- row for the same.
local function add_lane(out, lane, indent, view, detail)
  out[#out + 1] = row(indent .. (lane.model or lane.key), view.width, cells_of(lane))
  local about = { columns = view.columns, who = who_width(lane) }
  local shown = math.min(#lane.calls, detail.calls)
  for i = 1, shown do add_call(out, about, lane.calls[i]) end
  if shown > 0 then add_more(out, lane.busy - shown, "runs", "run") end
  for i = 1, math.min(#(lane.held or {}), detail.calls) do add_held(out, about, lane.held[i]) end
  shown = 0
  while shown < math.min(#lane.queue, detail.waits) do
    local call, before = lane.queue[shown + 1], lane.queue[shown]
    if before and cause(before) == cause(call) then break end
    add_waiting(out, about, call)
    shown = shown + 1
  end
  if shown > 0 then add_more(out, lane.waiting - shown, "waits", "wait") end
end

local function server_line(server)
  local name, swaps = server.name or "?", server.swaps
  local swapped = swaps > 0 and ("%d %s took %s"):format(swaps, swaps == 1 and "swap" or "swaps", seconds(server.swap_seconds))
  return ("%s%s  %s"):format(server.url:find(name, 1, true) and "" or name .. "  ", server.url, joined(server.state, swapped))
end

local function swap_line(swap)
  local names, what = table.concat(swap.victims, " and "), swap.to .. " is to be loaded"
  if names ~= "" then what = ("%s replaces %s"):format(swap.to, names) end
  if names ~= "" and swap.kind == "drain" then what = what .. " once its calls have ended" end
  return swap.seconds and ("%s; about %s"):format(what, seconds(swap.seconds)) or what
end

local function lines_at(state, view, detail)
  local out = { row("MODEL", view.width, HEADS) }
  for _, server in ipairs(state.servers) do
    out[#out + 1] = server_line(server)
    if server.reason then add_wrapped(out, view.columns, "  ", server.reason, 4) end
    if server.swap then add_wrapped(out, view.columns, "  ", swap_line(server.swap), 4) end
    for _, lane in ipairs(server.lanes) do
      if detail.idle or not is_idle(lane) then add_lane(out, lane, "  ", view, detail) end
    end
  end
  for _, lane in ipairs(state.others) do
    if detail.idle or not is_idle(lane) then add_lane(out, lane, "", view, detail) end
  end
  return out
end

-- ---- what fits -------------------------------------------------------------------------------------------------------------

--- From much to little; the first that fits is shown.
local DETAILS <const> = {
  { calls = 100, waits = 3, idle = true }, { calls = 100, waits = 1, idle = true }, { calls = 100, waits = 1 },
  { calls = 4, waits = 1 }, { calls = 2, waits = 1 }, { calls = 1, waits = 1 }, { calls = 0, waits = 1 },
  { calls = 2, waits = 0 }, { calls = 0, waits = 0 },
}

--- Columns beside the names of models.
local BESIDE <const> = 2 * #HEADS + #table.concat(HEADS)

local function name_width(state, columns)
  local widest = 14
  for _, server in ipairs(state.servers) do
    for _, lane in ipairs(server.lanes) do widest = math.max(widest, 2 + term.width(lane.model)) end
  end
  for _, lane in ipairs(state.others) do widest = math.max(widest, term.width(lane.key)) end
  return math.max(12, math.min(widest, 40, columns - BESIDE))
end

--- What has been done so far, in parts of a line: "waiting 58", "swaps 2 (8.1s)".
---@param state stoke.pool.state
---@return string[]
---
--- Example: `print(table.concat(seen.summary(stoke.pool()), "  "))`
function M.summary(state)
  local swaps, took = 0, 0
  for _, server in ipairs(state.servers) do swaps, took = swaps + server.swaps, took + server.swap_seconds end
  local out = { ("out %d"):format(state.busy), ("waiting %d"):format(state.waiting) }
  local function add(n, text, ...) if n and n > 0 then out[#out + 1] = text:format(n, ...) end end
  add(state.programs, "programs %d")
  add(swaps, "swaps %d (%s)", seconds(took))
  add(state.hits.prefix and state.hits.prefix * 100, "prompts remembered %.0f %%")
  add(state.hedges, "hedged %d (%d won)", state.hedges_won)
  add(state.moved, "moved %d")
  add(state.shed, "refused %d")
  if state.order == "fifo" then out[#out + 1] = "first come, first served" end
  return out
end

--- The pool in lines, one for each row of a terminal; they may be wider than it where a reason is long.
---@param state stoke.pool.state
---@param room? { columns?: integer, rows?: integer } rows: less is shown of what waits and runs where this is too few
---@return string[] lines none where no model was asked
---
--- Example: `print(table.concat(seen.lines(stoke.pool()), "\n"))`
function M.lines(state, room)
  local columns, rows = room and room.columns or math.huge, room and room.rows or math.huge
  if #state.servers == 0 and #state.others == 0 then return {} end
  local view, lines = { width = name_width(state, columns), columns = columns }, nil
  for _, detail in ipairs(DETAILS) do
    lines = lines_at(state, view, detail)
    if #lines <= rows then break end
  end
  if state.power and state.power.stopped then table.insert(lines, 1, "no call begins: " .. (state.power.reason or "power")) end
  return lines
end

return M
