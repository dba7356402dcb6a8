--- A candidate in service: swapped in by hot reload, looked after, and taken back.

local channel = require "core.channel"
local errors = require "core.errors"
local fs = require "stoke.fs"
local modules = require "core.modules"
local policy = require "core.gate.policy"
local reload = require "stoke.reload"
local spans = require "core.gate.span"
local time = require "stoke.time"
local tool = require "stoke.tool"

local M = {}

--- path -> true while a candidate is watched there: the next one would take it for what has proved good.
local watched = {}

local function plain(path) return (path:gsub("^%./", "")) end

--- The file as the process has loaded it.
---@param path string
---@return core.modules.file|nil
local function loaded(path)
  for _, file in ipairs(modules.list) do
    if plain(file.path) == plain(path) then return file end
  end
end
M.loaded = loaded

--- Write a text, and put it into force where the file is loaded.
local function put(job, text)
  fs.write(job.path, text)
  local file = loaded(job.path)
  if file then reload.module(file.name or file.path) end
end

--- What a model must not do by the way: set the policy that its calls are judged by.
local function reloaded(job)
  local rules = policy.rules
  local ok, err = pcall(put, job, job.text)
  err = not ok and errors.wrap(err) or nil
  if err and err.kind == "cancelled" then error(err, 0) end
  local loosened = policy.rules ~= rules
  if loosened then policy.restore(rules) end
  if not err and not loosened then return nil end
  put(job, job.before)
  return err and err.message or "it sets the policy, which is not for a candidate to do"
end

--- Write it. Somebody else may have changed the file meanwhile, or have begun the same.
local function swap(job)
  if watched[job.path] then return "an earlier candidate is still watched" end
  local now = fs.read(job.path)
  if now ~= job.text and now ~= job.before then return "the file was changed while the candidate was checked" end
  return reloaded(job)
end

local function lines_of(text)
  local list = {}
  for line in (text:gsub("\n$", "") .. "\n"):gmatch "([^\n]*)\n" do list[#list + 1] = line end
  return list
end

--- The change in lines, as a person reads it: what is the same at the beginning and at the end is left out.
---@param before string
---@param after string
---@return string
function M.change(before, after)
  local old, new = lines_of(before), lines_of(after)
  local first, last = 1, 0
  while old[first] and old[first] == new[first] do first = first + 1 end
  while #old - last >= first and #new - last >= first and old[#old - last] == new[#new - last] do last = last + 1 end
  local out = { ("line %d:"):format(first) }
  for i = first, #old - last do out[#out + 1] = "- " .. old[i] end
  for i = first, #new - last do out[#out + 1] = "+ " .. new[i] end
  return table.concat(out, "\n")
end

--- What the checks found, in words.
local function findings(verdict)
  local list, tests, replay, eval = {}, verdict.tests, verdict.replay, verdict.eval
  if tests then list[#list + 1] = ("%d tests passed"):format(tests.passed) end
  if replay then list[#list + 1] = ("%d runs ask the same"):format(replay.runs) end
  if eval then
    local before, after = eval.before, eval.after
    list[#list + 1] = ("%d of %d cases pass (%d before), %.3g s (%.3g s), %.4g tokens (%.4g)"):format(after.passed, after.trials,
      before.passed, after.seconds, before.seconds, after.tokens, before.tokens)
  end
  return list[1] and table.concat(list, "; ") or nil
end

--- Put a candidate into service. With `ask` it is a tool that needs approval: the person sees the change and the figures, and
--- decides where all approvals are decided.
---@param evolve stoke.evolve
---@param job stoke.evolve.job
---@param verdict stoke.evolve.verdict so far
---@return "person"|"swap"|nil at where it failed
---@return string|nil why
function M.swap(evolve, job, verdict)
  local change = tool { name = "change_file", description = "Put a new text of a file into service.",
    params = { file = "string", change = "string", why = "string?", checks = "string?" }, needs_approval = evolve.ask,
    idempotent = true, timeout = false, run = function() return { why = swap(job) } end }
  local out, err = change:perform({ file = job.file, change = M.change(job.before, job.text), why = job.why,
    checks = findings(verdict) }, { agent = evolve.name })
  if err and err.kind == "denied" then return "person", err.message end
  if err then error(err, 0) end
  if out.why then return "swap", out.why end
end

-- ---- watching -----------------------------------------------------------------------------------------------------------------

---@class stoke.evolve.seen of the agents of the file, since it is in service
---@field runs integer that have ended
---@field failed integer
---@field error? string the last one
---@field seconds number mean of a run
---@field tokens number mean of a run

--- Errors that say nothing of an agent: its server is away, or somebody ended it.
local ELSEWHERE <const> = { cancelled = true, refused = true, dns = true, tls = true, unreachable = true, overloaded = true,
  auth = true }

--- Listen to what the agents of a file do. `wake` has a note for each run that ended.
local function listen(path)
  local file = loaded(path)
  local names = file and file.made.agent or {}
  local seen = { runs = 0, failed = 0, seconds = 0.0, tokens = 0.0, wake = channel.new(1) }
  local function sink(record)
    if record.name ~= "agent.run" or not names[record.about] or ELSEWHERE[record.error or ""] then return end
    seen.runs = seen.runs + 1
    seen.seconds = seen.seconds + (record.run - seen.seconds) / seen.runs
    seen.tokens = seen.tokens + ((record.input_tokens or 0) + (record.output_tokens or 0) - seen.tokens) / seen.runs
    if record.error then seen.failed, seen.error = seen.failed + 1, ("%s: %s"):format(record.error, record.message or "") end
    if not seen.told then
      seen.told = true
      seen.wake:send(true) -- there is room for one, so this does not wait
    end
  end
  spans.listen(sink)
  watched[path] = true
  return seen, setmetatable({}, { __close = function()
    spans.unlisten(sink)
    watched[path] = nil
  end })
end

local function figures(seen)
  return { runs = seen.runs, failed = seen.failed, error = seen.error, seconds = seen.seconds, tokens = seen.tokens }
end

--- Why it is to be taken back, if it is.
local function bad(watch, seen)
  if seen.runs >= watch.runs and seen.failed > watch.errors * seen.runs then
    return ("%d of %d runs failed, the last with %s"):format(seen.failed, seen.runs, seen.error)
  end
  if not watch.check then return nil end
  local fine, why = watch.check(figures(seen))
  return not fine and (why or "its check fails") or nil
end

--- Look after it for a time.
---@param watch stoke.evolve.watch
---@param job stoke.evolve.job
---@return { why?: string, figures: stoke.evolve.seen } why: it is to be taken back
function M.look(watch, job)
  local seen, listening <close> = listen(job.path) -- luacheck: ignore
  local ends = time.monotonic() + watch.seconds
  while true do
    local left = ends - time.monotonic()
    if left > 0 then seen.wake:recv(left) end
    seen.told = nil
    local why = bad(watch, seen)
    if why or left <= 0 then return { why = why, figures = figures(seen) } end
  end
end

--- The text before it, again.
---@param job stoke.evolve.job
---@return string|nil why it could not be
function M.take_back(job)
  local now = fs.read(job.path)
  if now ~= job.text and now ~= job.before then return "it was not taken back, since the file was changed meanwhile" end
  put(job, job.before)
end

return M
