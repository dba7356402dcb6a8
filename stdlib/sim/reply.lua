--- From what is to be said to what is generated: a reply (scripted or by rules) cut into tokens,
--- limited by num_predict and stop strings, bent by a fault, with the lines' texts ready escaped.

local json = require "stoke.ollama.server.gojson"
local prompt = require "stoke.sim.prompt"
local logprobs = require "stoke.sim.logprobs"
local wire = require "stoke.ollama.server.wire"

local M = {}

local TOKEN_BYTES = 12

-- A text as tokens: a word with the white space before it, at most twelve bytes, never half a
-- character.
local function split(text)
  local out, n, i, size = {}, 0, 1, #text
  while i <= size do
    local _, e = text:sub(i, i + TOKEN_BYTES - 1):find "^%s*%S+" -- of a long text only what one token may take
    e = e and i + e - 1 or math.min(size, i + TOKEN_BYTES - 1)
    if e - i == TOKEN_BYTES - 1 and e < size then
      while e >= i and text:byte(e + 1) >= 0x80 and text:byte(e + 1) < 0xC0 do e = e - 1 end
      if e < i then e = (utf8.offset(text, 2, i) or size + 1) - 1 end
    end
    n = n + 1
    out[n] = text:sub(i, e)
    i = e + 1
  end
  return out
end
M.split = split

-- Equal texts are split and escaped once; 10,000 streams of the same answer share one list.
local memo, memo_size = {}, 0

local function lines_of(text)
  local hit = memo[text]
  if hit then return hit end
  local list = split(text)
  for i = 1, #list do list[i] = json.escape(list[i]) end
  if memo_size >= 64 then memo, memo_size = {}, 0 end
  memo[text], memo_size = list, memo_size + 1
  return list
end

local function cut_at_stop(text, stops)
  local at
  for _, s in ipairs(stops or {}) do
    local found = s ~= "" and text:find(s, 1, true)
    if found and (not at or found < at) then at = found end
  end
  return at and text:sub(1, at - 1) or text
end

-- tool_calls as the server writes them, and how many tokens they took.
local function calls_of(list, random)
  local out, size = {}, 0
  for i, c in ipairs(list) do
    local args = c.arguments
    if type(args) ~= "string" then args = json.encode(args or json.object {}) end
    local id = c.id
    if not id then
      local k = {}
      for j = 1, 8 do
        local r = random(36)
        k[j] = ("0123456789abcdefghijklmnopqrstuvwxyz"):sub(r, r)
      end
      id = "call_" .. table.concat(k)
    end
    out[i] = wire.call(id, i - 1, c.name, args)
    size = size + #c.name + #args
  end
  return "[" .. table.concat(out, ",") .. "]", prompt.tokens(("x"):rep(size))
end

-- Groups of tokens that share a line: list of texts, list of how many tokens are done after each.
local function group(list, chunk, random)
  if chunk == "1" then return list, nil end
  local out, at, i = {}, {}, 1
  while i <= #list do
    local k = chunk == "random" and random(3) or tonumber(chunk) or 1
    local e = math.min(#list, i + k - 1)
    out[#out + 1], at[#at + 1] = table.concat(list, "", i, e), e
    i = e + 1
  end
  return out, at
end

-- Where a fault strikes: after how many lines; nil when it does not cut the stream.
local MIDWAY = { ["hang-mid"] = true, reset = true, ["error-line"] = true, ["silent-end"] = true, nondone = true,
  ["runner-dies-mid"] = true, ["server-dies"] = true }
local KILLS = { ["runner-dies"] = "runner", ["runner-dies-mid"] = "runner", ["server-dies"] = "server" }

local function bend(job, reply)
  local lines = #job.lines
  local at
  job.kills = KILLS[job.fault]
  if job.fault == "hang" or job.fault == "runner-dies" then
    at = 0
  elseif reply.error_after then
    at, job.fault, job.error = math.min(lines, reply.error_after), "error-line", reply.error
  elseif MIDWAY[job.fault] then
    at = math.max(1, lines // 2)
  end
  if not at then return end
  if at > lines then at = lines end
  if at < lines then job.lines = table.move(job.lines, 1, at, 1, {}) end
  job.n = at == 0 and 0 or job.at and job.at[at] or at
  job.calls, job.cut_short = nil, true
  job.thinking = math.min(job.thinking, at)
  job.endless = job.fault == "hang" or job.fault == "hang-mid"
end

--- The job of a reply.
---@param reply table {text, thinking?, tool_calls?, done_reason?, delay?, tps?, error?, error_after?, cut?, fault?}
---@param q { model: table, prompt: string, prompt_tokens: integer, merged: table, opts: table, random: function, fault: string? }
---  also logprobs: integer?, how many likeliest tokens each entry names; nil: no entries
---@return table? job {lines, at?, thinking = how many lines of it, calls?, calls_in_done?, n, text, ...}; see scheduler.lua
---@return table? err {status, text}
function M.job(reply, q)
  if reply.error and not reply.error_after then return nil, { reply.status or 500, reply.error } end
  local model, merged = q.model, q.merged
  local text = cut_at_stop(reply.text or "", merged.stop)
  local thinking = reply.thinking or ""
  local chunk = model.chunk
  local thought = thinking ~= "" and lines_of(thinking) or {}
  local spoken = lines_of(text)
  local tokens = spoken
  if #thought > 0 then
    tokens = table.move(thought, 1, #thought, 1, {})
    table.move(spoken, 1, #spoken, #tokens + 1, tokens)
  end
  local limit = merged.num_predict or -1
  if limit < 0 then limit = 10 * q.opts.num_ctx end
  if not q.opts.shift then limit = math.min(limit, math.max(1, q.opts.num_ctx - q.prompt_tokens)) end
  local calls, cost
  if reply.tool_calls and #reply.tool_calls > 0 then calls, cost = calls_of(reply.tool_calls, q.random) end
  local reason = reply.done_reason or "stop"
  if #tokens > limit then
    tokens = table.move(tokens, 1, limit, 1, {})
    calls, reason = nil, "length"
  elseif calls and #tokens + cost > limit then
    calls, cost, reason = nil, nil, "length" -- a call cut off in the middle is no call
  end
  local n_thought = math.min(#thought, #tokens)
  local job = {
    n = reason == "length" and limit or #tokens + (calls and cost or 0), calls = calls, done_reason = reason,
    calls_in_done = model.calls == "done", thinking = n_thought, text = thinking .. text,
    fault = reply.fault or q.fault, error = reply.error, cut = reply.cut,
    tps = reply.tps or model.tps, prefill = model.prefill, delay = reply.delay, prompt = q.prompt,
    prompt_tokens = q.prompt_tokens,
  }
  if chunk == "1" then
    job.lines = tokens
  else
    local a, at_a = group(table.move(tokens, 1, n_thought, 1, {}), chunk, q.random)
    local b, at_b = group(table.move(tokens, n_thought + 1, #tokens, 1, {}), chunk, q.random)
    for i = 1, #b do a[#a + 1], at_a[#at_a + 1] = b[i], at_b[i] + n_thought end
    job.lines, job.at, job.thinking = a, at_a, #a - #b
  end
  if q.logprobs then
    job.logprobs = {}
    for i = 1, #job.lines do
      local from, to = i, i
      if job.at then from, to = (job.at[i - 1] or 0) + 1, job.at[i] end
      job.logprobs[i] = logprobs.list(tokens, from, to, q.logprobs)
    end
    if calls then job.call_logprobs = logprobs.entry(calls, q.logprobs) end
  end
  bend(job, reply)
  return job
end

return M
