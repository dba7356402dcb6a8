--- The pool as lines of text: a row for each model under its server, a line for each busy slot, and the first that wait, with why.
--- For `stoke top`, the prompt's `:pool` and `stoke attach`.

local term = require "stoke.term"

local M = {}

-- ---- words ----------------------------------------------------------------------------------------------------------------------

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
  for i = 1, select("#", ...) do parts[#parts + 1] = (select(i, ...)) end
  return table.concat(parts, ", ")
end

-- ---- lines --------------------------------------------------------------------------------------------------------------------------

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
  return { slots, lane.busy > 0 and whole(lane.busy) or lane.waiting > 0 and "-" or "idle", lane.waiting > 0 and whole(lane.waiting) or "-",
    seconds(lane.longest), loaded(lane), speed(lane.speed), seconds(lane.load_seconds) }
end

local function row(name, width, cells)
  local out = { term.fit(name, width) }
  for i, cell in ipairs(cells) do out[i + 1] = term.fit(cell, #HEADS[i], true) end
  return (table.concat(out, "  "):gsub("%s+$", ""))
end

--- One line below a model.
local function below(what, time, name, rest)
  return ("    %-5s %6s  %s  %s"):format(what, seconds(time), term.fit(name, 16), rest):gsub("%s+$", "")
end

local function call_line(call)
  local tokens = call.tokens and call.tokens > 0 and ("%d tokens%s"):format(call.tokens, call.rate and (", %s a second")
    :format(speed(call.rate)) or "") or nil
  local waited = call.waited and call.waited >= 0.05 and "waited " .. seconds(call.waited) or nil
  return (below(call.parked and "sent" or "runs", call.since, who(call), joined(class(call), tokens, waited)))
end

--- A deadline is told when it is nearer than so many seconds.
local SOON <const> = 600

local function waiting_line(call)
  local deadline = call.deadline and call.deadline < SOON and ("has %s left"):format(seconds(math.max(0, call.deadline))) or nil
  return (below("waits", call.waited, who(call), joined(class(call), deadline, call.reason)))
end

local function held_line(hold)
  return (below("held", hold.left, hold.agent or "a conversation", hold.waits and "it goes on next" or
    ("its tool %s is at work"):format(hold.tool or "")))
end

local function add_more(out, n, what)
  if n > 0 then out[#out + 1] = ("    %d more %s"):format(n, what) end
end

--- A model and what is below it: so many of the calls that are out, so many of those that wait.
local function add_lane(out, lane, indent, width, detail)
  out[#out + 1] = row(indent .. (lane.model or lane.key), width, cells_of(lane))
  local shown = math.min(#lane.calls, detail.calls)
  for i = 1, shown do out[#out + 1] = call_line(lane.calls[i]) end
  if shown > 0 then add_more(out, lane.busy - shown, lane.busy - shown == 1 and "runs" or "run") end
  for i = 1, math.min(#(lane.held or {}), detail.calls) do out[#out + 1] = held_line(lane.held[i]) end
  shown = math.min(#lane.queue, detail.waits)
  for i = 1, shown do out[#out + 1] = waiting_line(lane.queue[i]) end
  if shown > 0 then add_more(out, lane.waiting - shown, lane.waiting - shown == 1 and "waits" or "wait") end
end

local function server_line(server)
  local name = server.name or "?"
  return ("%s%s  %s"):format(server.url:find(name, 1, true) and "" or name .. "  ", server.url, joined(server.state, server.swaps > 0 and ("%d %s took %s")
    :format(server.swaps, server.swaps == 1 and "swap" or "swaps", seconds(server.swap_seconds)) or nil))
end

local function swap_line(swap)
  local names = table.concat(swap.victims, " and ")
  return ("  %s is to be loaded%s%s"):format(swap.to, names ~= "" and (swap.kind == "drain" and " in place of %s, once its calls have ended"
    or " in place of %s"):format(names) or "", swap.seconds and ("; about %s"):format(seconds(swap.seconds)) or "")
end

local function lines_at(state, width, detail)
  local out = { row("MODEL", width, HEADS) }
  for _, server in ipairs(state.servers) do
    out[#out + 1] = server_line(server)
    if server.reason then out[#out + 1] = "  " .. server.reason end
    if server.swap then out[#out + 1] = swap_line(server.swap) end
    for _, lane in ipairs(server.lanes) do
      if detail.idle or not is_idle(lane) then add_lane(out, lane, "  ", width, detail) end
    end
  end
  for _, lane in ipairs(state.others) do
    if detail.idle or not is_idle(lane) then add_lane(out, lane, "", width, detail) end
  end
  return out
end

-- ---- what fits --------------------------------------------------------------------------------------------------------------------

--- From much to little; the first that fits is shown.
local DETAILS <const> = { { calls = 100, waits = 3, idle = true }, { calls = 100, waits = 1, idle = true },
  { calls = 100, waits = 1 }, { calls = 4, waits = 1 }, { calls = 2, waits = 1 }, { calls = 1, waits = 1 }, { calls = 0, waits = 1 },
  { calls = 0, waits = 0 } }

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
  local width, lines = name_width(state, columns), nil
  for _, detail in ipairs(DETAILS) do
    lines = lines_at(state, width, detail)
    if #lines <= rows then break end
  end
  if state.power and state.power.stopped then table.insert(lines, 1, "no call begins: " .. (state.power.reason or "power")) end
  return lines
end

return M
