--- Two runs compared: their records are aligned by their keys, which tell the place in the run, and not by their numbers.

local approve = require "stoke.approve"
local errors = require "core.errors"
local llm = require "core.driver.llm"
local place = require "core.journal.place"
local term = require "stoke.term"
local timeline = require "stoke.runs.timeline"
local words = require "stoke.runs.words"

local M = {}

local NAMES = { "A", "B" }

--- Effects whose outcomes are never twice the same, and seldom what made a run another one: clocks, and speeds that were learned.
local CHANCE = { ["time.now"] = true, ["time.monotonic"] = true, ["time.cpu"] = true, ["llm.learned"] = true }

-- ---- what an outcome means ------------------------------------------------------------------------------------------------------

--- Without the ids of tool calls: a server makes new ones each time, and asks and answers carry them along.
local function without_ids(value)
  if type(value) ~= "table" then return value end
  local out = setmetatable({}, getmetatable(value))
  for name, inner in next, value do
    if name ~= "tool_call_id" and not (name == "id" and value["function"] ~= nil) then out[name] = without_ids(inner) end
  end
  return out
end

--- What a record asks, as far as it is compared.
local function question(row)
  local request = without_ids(row.request)
  if row.name == "tool.call" and type(request) == "table" then request.id = nil end
  return request
end

local function of_error(err) return { kind = err.kind, message = err.message } end

--- Pieces of a stream without where they were parted.
local function joined(items)
  local out, text, ended = {}, nil, nil
  for _, item in ipairs(items) do
    local value = item.value
    local piece = type(value) == "string" and value or type(value) == "table" and value.type == "text" and value.text
    if piece then
      text = (text or "") .. piece
    elseif value ~= nil then
      local kept = type(value) == "table" and value.type == "done" and { reason = value.reason } or value
      if type(value) == "table" and value.type == "tool_call" then kept = { name = value.name, arguments = value.arguments } end
      if text then out[#out + 1] = text end
      out[#out + 1], text = kept, nil
    end
    ended = item.err and of_error(item.err) or ended
  end
  if text then out[#out + 1] = text end
  return { pieces = out, error = ended }
end

local function of_answer(q, value)
  local dialect = type(q) == "table" and q.protocol and llm.dialect(q.protocol)
  local ok, answer = pcall(function() return dialect.answer(value) end)
  if not ok or type(answer) ~= "table" then return value end
  return { text = answer.text, thinking = answer.thinking, calls = without_ids(answer.calls), reason = answer.reason }
end

--- What of a value a run is likely to go by: not how long it took, nor the date of a web server.
local MEANING = {
  ["llm.chat"] = function(row) return of_answer(row.request, row.outcome.value) end,
  ["llm.embed"] = function(row)
    local value = row.outcome.value
    return { vectors = value.vectors, of = value.of, errors = value.errors }
  end,
  ["http.request"] = function(row) return { status = row.outcome.value.status, body = row.outcome.value.body } end,
  ["proc.run"] = function(row)
    local value = row.outcome.value
    return { code = value.code, signal = value.signal, stdout = value.stdout, stderr = value.stderr }
  end,
}

local function meaning(row)
  local outcome = row.outcome
  if not outcome then return { nothing = "it has no outcome yet" } end
  if outcome.err then return of_error(outcome.err) end
  if outcome.items then return joined(outcome.items) end
  local read = type(outcome.value) == "table" and MEANING[row.name]
  return read and read(row) or outcome.value
end

-- ---- aligning -----------------------------------------------------------------------------------------------------------------

local function visible(rows)
  local list, by_key = {}, {}
  for _, row in ipairs(rows) do
    if not row.inside then list[#list + 1], by_key[row.key] = row, row end
  end
  return list, by_key
end

--- How a record of A and the one of B with the same key differ; nil where they do not. By chance: only in what is so each time.
local function kind_of(x, y)
  if not y then return "only in A" elseif not x then return "only in B" end
  if x.digest ~= y.digest and not place.same(question(x), question(y)) then return "question" end
  if place.same(meaning(x), meaning(y)) then return nil end
  return CHANCE[x.name] and "chance" or "outcome"
end

--- Every pair, in the order in which both had come.
local function pairs_of(a, b)
  local out, in_a, keys_a = {}, visible(a)
  local in_b, keys_b = visible(b)
  for _, x in ipairs(in_a) do
    local y = keys_b[x.key]
    out[#out + 1] = { at = y and math.max(x.number, y.number) or x.number, a = x, b = y }
  end
  for _, y in ipairs(in_b) do
    if not keys_a[y.key] then out[#out + 1] = { at = y.number, b = y } end
  end
  for i, pair in ipairs(out) do pair.kind, pair.order = kind_of(pair.a, pair.b), i end
  table.sort(out, function(p, q)
    if p.at ~= q.at then return p.at < q.at end
    if (p.kind == nil) ~= (q.kind == nil) then return p.kind == nil end
    return p.order < q.order
  end)
  return out
end

local function first_of(list)
  for i, pair in ipairs(list) do
    if pair.kind and pair.kind ~= "chance" then return i end
  end
end

local COUNTS = { question = "questions", outcome = "outcomes", ["only in A"] = "only_a", ["only in B"] = "only_b",
  chance = "chance" }

local function describe(pair, a, b)
  local x, y = pair.a, pair.b
  local row = x or y
  local out = { kind = pair.kind, key = row.key, what = words.what(row), who = words.who(row.key), where = row.where,
    a = x and timeline.entries({ x }, a.run)[1], b = y and timeline.entries({ y }, b.run)[1] }
  if pair.kind == "question" then
    out.words, out.path, out.byte = place.difference(question(x), question(y), NAMES)
  elseif x and y then
    out.words, out.path, out.byte = place.difference(meaning(x), meaning(y), NAMES)
  end
  return out
end

--- In whose place it stands: what the other run did there that this one did not.
local function instead(list, at, kind)
  local wanted = kind == "only in A" and "only in B" or "only in A"
  for i = at + 1, #list do
    if list[i].kind == wanted then return words.what(list[i].a or list[i].b), (list[i].a or list[i].b).number end
    if list[i].kind == nil then return nil end
  end
end

local function end_of(run)
  if run.state == "done" then return { result = run.result } end
  return { error = run.error and of_error(errors.wrap(run.error)) or nil }
end

--- How the ends of two runs differ, in words; nil where they do not, or neither has one.
local function ends_of(a, b)
  if a.state ~= b.state then
    local ended = { done = true, failed = true, cancelled = true }
    return (ended[a.state] or ended[b.state]) and ("A is %s, B is %s"):format(a.state, b.state) or nil
  end
  local x, y = end_of(a), end_of(b)
  return not place.same(x, y) and (place.difference(x, y, NAMES)) or nil
end

local function side(one)
  local run = one.run
  return { id = run.id, workflow = run.workflow, state = run.state, totals = timeline.totals(one.rows),
    fork_of = run.fork_of_id, fork_at = run.fork_at }
end

---@class stoke.runs.difference
---@field a table id, workflow, state, totals, fork_of?, fork_at?
---@field b table
---@field before integer records that are the same before the first difference
---@field first? { kind: "question"|"outcome"|"only in A"|"only in B", key: string, what: string, who?: string, where?: string,
---  words?: string, path?: string, byte?: integer, a?: stoke.runs.entry, b?: stoke.runs.entry, instead?: string } nil: there
---  is none
---@field after { same: integer, questions: integer, outcomes: integer, only_a: integer, only_b: integer, chance: integer }
---  counts of what came after it; chance: of clocks and learned speeds, which are others each time, before it, too
---@field ends? string how their ends differ, in words

--- Compare two runs.
---@param a { run: stoke.run.record, rows: stoke.journal.row[] }
---@param b { run: stoke.run.record, rows: stoke.journal.row[] }
---@return stoke.runs.difference
---
--- Example: `local difference = compare.runs(one, other)`
function M.runs(a, b)
  local list = pairs_of(a.rows, b.rows)
  local at = first_of(list)
  local after = { same = 0, questions = 0, outcomes = 0, only_a = 0, only_b = 0, chance = 0 }
  for i = 1, #list do
    local kind = list[i].kind and COUNTS[list[i].kind] or "same"
    if i > (at or #list) or kind == "chance" then after[kind] = after[kind] + 1 end
  end
  local first = at and describe(list[at], a, b)
  if first and not (first.a and first.b) then
    first.instead, first.instead_number = instead(list, at, first.kind)
  end
  return { a = side(a), b = side(b), before = at and at - 1 or #list, first = first, after = after,
    ends = ends_of(a.run, b.run) }
end

-- ---- in words ----------------------------------------------------------------------------------------------------------------

local function side_row(name, it)
  local totals = it.totals
  local from = it.fork_of and ("a fork of %s at #%d"):format(term.clean(tostring(it.fork_of)), it.fork_at or 0) or ""
  return { name, approve.visible(it.id), approve.visible(it.workflow), it.state, ("%d"):format(totals.records),
    ("%d"):format(totals.calls),
    ("%d+%d"):format(totals.input_tokens, totals.output_tokens), totals.seconds and term.duration(totals.seconds) or "", from }
end

local function indented(text) return "  " .. term.clean(text):gsub("\n", "\n  ") .. "\n" end

local SAYS = { question = "the same place asks something else: ", outcome = "the same question, another outcome: " }

local function first_words(first)
  local a, b = first.a, first.b
  local number = not b and ("#%d of A"):format(a.number) or not a and ("#%d of B"):format(b.number)
    or a.number == b.number and ("#%d"):format(a.number) or ("#%d of A, #%d of B"):format(a.number, b.number)
  local out = { ("%s %s%s%s\n"):format(number, first.who and first.who .. ": " or "", first.what,
    first.where and "  at " .. term.clean(first.where) or "") }
  if SAYS[first.kind] then
    out[2] = indented(SAYS[first.kind] .. first.words)
  else
    local other = first.kind == "only in A" and "B" or "A"
    out[2] = first.instead and ("  %s did not ask this; there #%d comes in its place: %s\n"):format(other, first.instead_number,
      first.instead) or ("  %s did not ask this\n"):format(other)
  end
  return table.concat(out)
end

local function counted(n, one, many) return n > 0 and ("%d %s"):format(n, n == 1 and one or many) or nil end

local function after_words(after)
  local parts = {}
  local function add(text) parts[#parts + 1] = text end
  add(counted(after.questions, "asks something else", "ask something else"))
  add(counted(after.outcomes, "has another outcome", "have another outcome"))
  add(counted(after.only_a, "is only in A", "are only in A"))
  add(counted(after.only_b, "is only in B", "are only in B"))
  add(counted(after.same, "is the same", "are the same"))
  return #parts > 0 and "what followed: " .. table.concat(parts, ", ") .. "\n" or "nothing followed\n"
end

--- A comparison as text.
---@param difference stoke.runs.difference
---@param options? { columns?: integer, colour?: boolean }
---@return string
---
--- Example: `io.write(compare.text(compare.runs(one, other)))`
function M.text(difference, options)
  options = options or {}
  local layout = term.layout({ { "", "ID", "WORKFLOW", "STATE", "RECORDS", "CALLS", "TOKENS", "SECONDS", "" },
    side_row("A", difference.a), side_row("B", difference.b) }, { right = { [5] = true, [6] = true, [7] = true, [8] = true },
    colour = options.colour, columns = options.columns })
  local out = { layout, "\n" }
  if not difference.first then
    local chance = difference.after.chance
    out[3] = ("no difference: %d record%s, all the same%s\n"):format(difference.before, difference.before == 1 and "" or "s",
      chance > 0 and (", but for what is another each time (%d of clocks and speeds)"):format(chance) or "")
  else
    local n = difference.before
    out[3] = n == 0 and "they differ from the first record on:\n" or n == 1 and "the first record is the same, then:\n" or
      ("the first %d records are the same, then:\n"):format(n)
    out[4] = first_words(difference.first)
    out[5] = after_words(difference.after)
  end
  if difference.ends then out[#out + 1] = "the end: " .. term.clean(difference.ends) .. "\n" end
  return table.concat(out)
end

return M
