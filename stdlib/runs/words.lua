--- A record of a run in a few words: what was asked, who asked it, what came of it.

local llm = require "core.driver.llm"
local place = require "core.journal.place"
local runs = require "core.runs"
local show = require "stoke.show"
local term = require "stoke.term"
local texts = require "core.text"
require "stoke.ollama" -- registers its dialect, which reads recorded answers

local M = {}

--- Bytes of a value that are shown in a line.
local SHORT <const> = 60

-- ---- values -----------------------------------------------------------------------------------------------------------------

local function cut(text, most)
  text = texts.valid(text)
  return #text > most and texts.head(text, most) .. "..." or text
end

--- A text from outside, in one line.
local function line(text) return (term.clean(text):gsub("%s+", " ")) end

local function word(value)
  if type(value) == "string" and value:find "^[%w_.:/@+-]+$" then return cut(value, SHORT) end
  if type(value) == "string" then return show.quoted(cut(value, SHORT)) end
  return cut(show.line(value), SHORT)
end

--- Arguments as `{city=Oslo, days=3}`.
---@param args any
---@return string
---
--- Example: `print(words.arguments { city = "Oslo" })`
function M.arguments(args)
  if type(args) ~= "table" then return word(args) end
  local parts = {}
  for i, key in ipairs(show.sorted_keys(args)) do
    parts[i] = math.type(key) == "integer" and word(args[key]) or ("%s=%s"):format(tostring(key), word(args[key]))
  end
  return line("{" .. cut(table.concat(parts, ", "), 2 * SHORT) .. "}")
end

--- A value in a few words.
---@param value any
---@return string
---
--- Example: `print(words.value "4 degrees")`
function M.value(value)
  if value == nil or value == true or value == false then return value == nil and "" or tostring(value) end
  if type(value) == "string" then return line(show.quoted(cut(value, SHORT))) end
  return line(cut(show.line(value), SHORT))
end

-- ---- what was asked ---------------------------------------------------------------------------------------------------------

local function named(prefix, field)
  return function(q) return type(q) == "table" and q[field] ~= nil and prefix .. " " .. tostring(q[field]) or prefix end
end

local function fetched(q) return ("%s %s"):format(q.method or "GET", tostring(q.url)) end

local function program(q)
  local parts = {}
  for i, argument in ipairs(type(q.argv) == "table" and q.argv or {}) do parts[i] = show.word(tostring(argument)) end
  return "run " .. cut(table.concat(parts, " "), SHORT)
end

--- Effects whose request is not said best by its own name and its subject.
local SAID = {
  ["tool.call"] = function(q) return ("tool %s %s"):format(tostring(q.name), M.arguments(q.args or {})) end,
  ["step"] = named("step", "name"),
  ["time.sleep"] = function(q) return type(q) == "number" and ("sleep %g s"):format(q) or "sleep" end,
  ["http.request"] = fetched, ["http.stream"] = fetched,
  ["proc.run"] = program, ["proc.spawn"] = program,
  ["run.signal"] = named("signal", "name"), ["run.patched"] = named("patched", "name"), ["run.await"] = named("await", "id"),
  ["run.status"] = named("status of", "id"), ["run.cancel"] = named("cancel", "id"),
  ["run.start"] = function(q) return ("start %s %s"):format(tostring(q.workflow), tostring(q.id or "")) end,
  ["run.send"] = function(q) return ("send %s to %s %s"):format(tostring(q.name), tostring(q.id), M.arguments(q.value)) end,
  ["env.get"] = named("env", "name"), ["module.load"] = named("module", "name"),
}

--- Fields of a request that say what it is about.
local SUBJECTS = { "model", "name", "path", "url", "id", "sql" }

--- What a record asked for: "llm.chat qwen2.5:3b", "tool get_weather {city=Oslo}", "step reserve".
---@param row stoke.journal.row
---@return string
---
--- Example: `print(words.what(row))`
function M.what(row)
  local q, said = row.request, SAID[row.name]
  if said and (type(q) == "table" or row.name == "time.sleep") then return line(said(q)) end
  if q == nil then return row.name end
  if type(q) ~= "table" then return line(("%s %s"):format(row.name, word(q))) end
  for _, field in ipairs(SUBJECTS) do
    if type(q[field]) == "string" then return line(("%s %s"):format(row.name, cut(q[field], SHORT))) end
  end
  return next(q) == nil and row.name or line(("%s %s"):format(row.name, M.arguments(q)))
end

local function unescaped(label) return (label:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end)) end

--- A run as an argument of a command: its id, quoted for a shell; @ and its number where nobody can type the id.
---@param run stoke.run.record
---@return string
---
--- Example: `print("stoke show " .. words.id(run))`
function M.id(run) return runs.typed(run) end

--- A moment as people read it.
---@param seconds number wall clock
---@return string such as "2026-01-31 09:05:00 UTC"
---
--- Example: `print(words.date(run.created))`
function M.date(seconds) return tostring(os.date("!%Y-%m-%d %H:%M:%S UTC", seconds // 1 | 0)) end

--- The agent that asked, or nil: the innermost one in the record's key.
---@param key string
---@return string|nil
---
--- Example: `assert(words.who "run/agent umbrella:1/llm.chat#1" == "umbrella")`
function M.who(key)
  local who
  for label in key:gmatch "/agent ([^/]*):%d+%f[/]" do who = line(unescaped(label)) end
  return who
end

--- A key as it is shown: labels as they were written.
---@param key string
---@return string
---
--- Example: `print(words.key(row.key))`
function M.key(key) return line(unescaped(key)) end

-- ---- what came of it ----------------------------------------------------------------------------------------------------------

--- The answer of a model in a record: text, calls, usage; nil where it cannot be read.
local function answer_of(row)
  local q, value = row.request, row.outcome.value
  local dialect = type(q) == "table" and q.protocol and llm.dialect(q.protocol)
  if not dialect or type(value) ~= "table" then return nil end
  local ok, answer = pcall(dialect.answer, value)
  return ok and type(answer) == "table" and answer or nil
end

--- The pieces of a stream of a model, as an answer.
local function streamed(items)
  local parts, calls, usage, said = {}, {}, nil, false
  for _, item in ipairs(items) do
    local value = item.value
    if type(value) == "table" then
      said = said or value.type ~= nil
      if value.type == "text" and type(value.text) == "string" then parts[#parts + 1] = value.text end
      if value.type == "tool_call" then calls[#calls + 1] = value end
      if value.type == "done" then usage = value.usage end
    end
  end
  return said and { text = table.concat(parts), calls = calls, usage = usage } or nil
end

local function call_words(calls)
  local names = {}
  for i, call in ipairs(calls) do
    local f = call["function"] or call
    names[i] = ("%s %s"):format(tostring(f.name), M.arguments(f.arguments or {}))
  end
  return line("calls " .. table.concat(names, ", "))
end

local function answer_words(answer)
  local text = answer.text ~= "" and answer.text ~= nil and M.value(answer.text) or nil
  local calls = answer.calls and answer.calls[1] and call_words(answer.calls)
  return text and calls and text .. ", " .. calls or text or calls or "(an empty answer)"
end

--- The first line of an error's message.
local function error_words(err)
  return cut(line(("%s: %s"):format(err.kind or "error", tostring(err.message):match "^[^\n]*")), 2 * SHORT)
end

local function stream_words(outcome)
  local items = outcome.items
  local last = items[#items]
  if last and last.err then return "failed", "broke off: " .. error_words(last.err) end
  local answer = streamed(items)
  local text = answer and answer_words(answer) or ("%d piece%s"):format(#items, #items == 1 and "" or "s")
  if not (last and last.ended) and not outcome.closed then return "open", text .. " (not at its end)" end
  return "done", text
end

--- Vectors as their number: nobody reads them.
local function embedded_words(value)
  return ("%d vector%s of %d numbers%s"):format(#value.of, #value.of == 1 and "" or "s", value.dimensions,
    value.hits > 0 and (", %d from the cache"):format(value.hits) or "")
end

--- What came of a record: its status, and in a few words.
---@param row stoke.journal.row
---@param run stoke.run.record whose row it is
---@return "done"|"failed"|"refused"|"cancelled"|"in doubt"|"waits"|"open" status
---@return string text
---
--- Example: `print(select(2, words.outcome(row, run)))`
function M.outcome(row, run)
  local outcome = row.outcome
  if not outcome then
    local said = row.said
    if said then
      local what = said.decision or said.retry and "to be done again" or said.fail and "said to have failed" or "said to be done"
      return row.asks and "waits" or "open", what .. ", not taken up yet"
    end
    if row.asks then return "waits", "waits for approval" end
    if row.doubt and run.state == "parked" then return "in doubt", "in doubt: begun, and what came of it was not kept" end
    if row.intent then return "open", "begun" end
    return "open", run.state == "waiting" and "waits" or "not done yet"
  end
  local err = outcome.err
  if outcome.cut then return "cancelled", err and cut(line(err.message), SHORT) or "cancelled" end
  if outcome.refusal then return "refused", "refused: " .. error_words(err) end
  if err then return "failed", error_words(err) end
  if outcome.secret then return "done", "(a secret: read anew each time)" end
  if outcome.items then return stream_words(outcome) end
  if row.name == "time.sleep" or row.name == "llm.learned" then return "done", "" end
  if row.name == "llm.embed" then return "done", embedded_words(outcome.value) end
  local answer = row.name == "llm.chat" and answer_of(row)
  return "done", answer and answer_words(answer) or M.value(outcome.value)
end

--- Tokens that a record has cost.
---@param row stoke.journal.row
---@return integer|nil input nil: nothing was counted
---@return integer|nil output
---
--- Example: `local input, output = words.tokens(row)`
function M.tokens(row)
  local outcome = row.outcome
  if not outcome then return nil end
  local usage = outcome.facts and outcome.facts.usage or outcome.items and (streamed(outcome.items) or {}).usage
  if row.name == "llm.embed" and outcome.value then usage = outcome.value.usage end
  if not usage and row.name == "tool.call" then usage = outcome.facts and outcome.facts.nested end
  if not usage or (usage.calls or 0) == 0 then return nil end
  return usage.input_tokens or 0, usage.output_tokens or 0
end

--- Whether a record is a call of a model.
---@param row stoke.journal.row
---@return boolean
---
--- Example: `assert(words.is_call { name = "llm.chat" })`
function M.is_call(row) return row.name == "llm.chat" or row.name == "llm.stream" end

--- A recorded answer of a model with another text: what a fork sets where only a text is given.
---@param row stoke.journal.row with an outcome
---@param text string
---@return stoke.journal.outcome|nil outcome a new one; nil: its answer has no text that could be replaced
---
--- Example: `local outcome = words.with_text(row, "Take none.")`
function M.with_text(row, text)
  local outcome = {}
  for name, value in next, row.outcome do outcome[name] = value end
  if outcome.items then
    local given = false
    outcome.items = {}
    for i, item in ipairs(row.outcome.items) do -- as many as before: each has its place in the run's order
      local value, copy = item.value, {}
      for name, field in next, item do copy[name] = field end
      if type(value) == "table" and (value.type == "text" or value.type == "tool_call") then
        copy.value = { type = "text", text = given and "" or text }
        given = true
      end
      outcome.items[i] = copy
    end
    return given and outcome or nil
  end
  local answer = answer_of(row)
  local was, found = answer and answer.text, false
  if not was or was == "" then return nil end
  local function replaced(value)
    if value == was then
      found = true
      return text
    end
    if type(value) ~= "table" then return value end
    local copy = setmetatable({}, getmetatable(value))
    for key, inner in next, value do copy[key] = replaced(inner) end
    return copy
  end
  outcome.value = replaced(outcome.value)
  return found and outcome or nil
end

--- A request, or an outcome, whole and as text of many lines.
---@param value any
---@return string
---
--- Example: `io.write(words.whole(row.request))`
function M.whole(value) return value == nil and place.shown(nil) or show.pretty(value) end

return M
