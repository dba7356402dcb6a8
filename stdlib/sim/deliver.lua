--- Takes an inference request through the scheduler and writes its answer: waits for the grant,
--- then for each token, one line and one write a token; or the whole object at once.

local wire = require "stoke.ollama.server.wire"
local faults = require "stoke.sim.faults"
local prompt = require "stoke.sim.prompt"

local M = {}

local NEAR = 0.0005 -- seconds; a timer that rings this early has rung

-- Runs when the handler ends, also when its task is cancelled because the client left.
local GUARD = { __close = function(g)
  local sim = g.sim
  sim.ledger:stream_closed()
  if g.waiting then sim.waiters = sim.waiters - 1 end
  if g.ticket then
    sim.scheduler:leave(g.ticket, sim.clock(), g.answered)
    sim:kick()
  end
end }

-- An error before anything was written; 0 as the status: the connection is cut. Where a stream was
-- to begin, the type of the answer lacks its charset.
local function failed(res, q, status, text, late)
  if status == 0 then return res:reset() end
  if late and q.stream then return wire.send_chunked(res, status, wire.JSON_BARE, wire.error(text)) end
  return res:reply(status, wire.JSON, wire.error(text))
end

local OVER = { running = true, done = true, failed = true, died = true }

-- Waits until the scheduler has something to say about the ticket.
local function wait_for_grant(sim, g)
  local t = g.ticket
  t.task = sim.tasks.current()
  if OVER[t.state] then return end
  g.waiting = true
  sim.waiters = sim.waiters + 1
  repeat
    sim:kick()
    sim.tasks.park("sim.queue")
    sim.scheduler:advance(sim.clock())
  until OVER[t.state]
  sim.waiters = sim.waiters - 1
  g.waiting = false
  if sim.waiters == 0 then sim:kick() end
end

-- The time then, by the machine's clock; false when the runner died meanwhile.
local function wait_until(sim, t, due, now)
  now = now or sim.clock()
  while due - now > NEAR and t.state ~= "died" do
    sim:rest("sim.token", due < math.huge and due - now or nil)
    now = sim.clock()
  end
  return t.state ~= "died" and now
end

-- A token of a stream that shares its runner comes later when others join, so its time is asked for
-- again after each wait.
local function wait_for_token(sim, t, i)
  local machine, now = sim.scheduler, sim.clock()
  local due = machine:token_due(t, i, now)
  while due - now > NEAR do
    now = wait_until(sim, t, due, now)
    if not now then return false end
    due = machine:token_due(t, i, math.max(due, now))
  end
  return t.state ~= "died"
end

local function wait_for_end(sim, t)
  if not t.shared then return wait_until(sim, t, t.ends) end
  local machine, clock = sim.scheduler, sim.clock
  while not t.ends do
    local due = machine:end_due(t, clock())
    if not t.ends then
      if not wait_until(sim, t, due) then return false end
      machine:advance(math.max(due, (clock())) + 1e-7) -- two ways of computing an end may differ in the last digit
    end
  end
  return wait_until(sim, t, t.ends)
end

local function at_least(n) return n > 1000 and n or 1000 end

-- A machine that is slower than told (Sim:pace) measures its durations by a clock on the wall.
local function metrics(sim, t)
  local job, stretch = t.job, sim.speed > 0 and 1 / sim.speed or 1
  local function nanos(seconds) return wire.nanos(seconds * stretch) end
  return {
    total_duration = nanos(t.ends - t.arrived), load_duration = nanos(t.load_seconds),
    prompt_eval_count = job.prompt_tokens, prompt_eval_duration = at_least(nanos(t.prefill)),
    eval_count = job.n,
    eval_duration = job.n > 0 and at_least(nanos(t.shared and t.ends - t.first or job.n * t.each)) or 0,
  }
end

local function last_object(sim, q, t, text, thinking, calls, odds)
  local job = t.job
  local context
  if not q.chat and not q.body.raw then context = prompt.numbers(job.prompt .. job.text) end
  return wire.object {
    name = q.name, chat = q.chat, at = wire.time(sim.wall()), text = text, thinking = thinking, calls = calls,
    done = true, done_reason = job.done_reason, context = context, metrics = metrics(sim, t), logprobs = odds,
  }
end

-- A line's end when its tokens come with their log probabilities.
local function with_odds(ending, odds)
  return odds == "" and ending or ending:sub(1, -3) .. ',"logprobs":[' .. odds .. "]}\n"
end

-- The tokens, a line each: how many were written. Fewer than there are when the runner died.
local function write_lines(sim, res, q, t, out)
  local job = t.job
  local lines, at, thinking, odds = job.lines, job.at, job.thinking, job.logprobs
  local f = wire.frame(q.name, q.chat)
  local head = f.head
  local wall, time = sim.wall, wire.time
  local first, each, shared = t.first, t.each, t.shared
  for i = 1, #lines do
    if shared then
      if not wait_for_token(sim, t, at and at[i] or i) then return i - 1 end
    else
      if not wait_until(sim, t, first + (at and at[i] or i) * each) then return i - 1 end
    end
    if i == 1 then res:start(200, wire.NDJSON) end
    local before, after = f.text, f.text_end
    if i <= thinking then before, after = f.thinking, f.thinking_end end
    if odds then after = with_odds(after, odds[i]) end
    out:line(head .. time(wall()) .. before .. lines[i] .. after)
  end
  return #lines
end

-- The runner died, or the whole server: `written` lines were out before.
local function death(res, q, t, out, written)
  if t.job.kills == "server" or t.error then
    out:finish()
    return res:reset()
  end
  if written == 0 then return failed(res, q, 500, faults.STOPPED, true) end
  out:line(wire.error(faults.BROKE_OFF) .. "\n")
  return out:finish()
end

-- An ending that is none.
local function broken_end(sim, res, q, t, out, written)
  local job = t.job
  if job.endless then wait_until(sim, t, math.huge) end
  if job.kills and wait_for_end(sim, t) then sim.scheduler:advance(t.ends) end
  if job.kills or t.state == "died" then return death(res, q, t, out, written) end
  if written == 0 then res:start(200, wire.NDJSON) end
  if job.fault == "reset" then
    out:finish()
    local f = wire.frame(q.name, q.chat)
    res:write(f.head .. wire.time(sim.wall()) .. f.text .. "cut o")
    return res:reset()
  end
  if job.fault == "error-line" then out:line(wire.error(job.error or faults.ERROR_LINE) .. "\n") end
  return out:finish()
end

local function stream(sim, res, q, t)
  local job = t.job
  local out = faults.writer(sim, res, job)
  local written = write_lines(sim, res, q, t, out)
  if written < #job.lines then return death(res, q, t, out, written) end
  if job.cut_short then return broken_end(sim, res, q, t, out, written) end
  if not wait_for_end(sim, t) then return death(res, q, t, out, written) end
  if written == 0 then res:start(200, wire.NDJSON) end
  local calls = job.calls
  local odds = calls and job.call_logprobs
  if calls and not job.calls_in_done then
    out:line(wire.object { name = q.name, chat = q.chat, at = wire.time(sim.wall()), calls = calls, done = false,
      logprobs = odds } .. "\n")
    calls, odds = nil, nil
  end
  out:line(last_object(sim, q, t, nil, nil, calls, odds) .. "\n")
  out:finish()
end

local function whole(sim, res, q, t)
  local job = t.job
  local alive = wait_for_end(sim, t)
  if job.kills or not alive then
    if alive then sim.scheduler:advance(t.ends) end -- before anybody hears of it
    if job.kills == "server" or t.error then return res:reset() end
    return failed(res, q, 500, (t.made or job.n) > 0 and faults.BROKE_OFF or faults.STOPPED)
  end
  local thinking = table.concat(job.lines, "", 1, job.thinking)
  local text = table.concat(job.lines, "", job.thinking + 1)
  if not job.cut_short then
    local odds = job.logprobs and table.concat(job.logprobs, ",")
    if odds and job.call_logprobs then odds = (odds ~= "" and odds .. "," or "") .. job.call_logprobs end
    return wire.send(res, 200, wire.JSON, last_object(sim, q, t, text, thinking, job.calls, odds))
  end
  if job.fault == "reset" then
    return res:reset()
  elseif job.fault == "error-line" then
    return failed(res, q, 500, job.error or faults.ERROR_LINE)
  end
  res:reply(200, wire.JSON, wire.object { name = q.name, chat = q.chat, at = wire.time(sim.wall()), text = text,
    thinking = thinking, done = false })
end

-- The answer of a load call: one object, never a stream.
local function loaded(sim, res, q)
  if q.loaded then return q.loaded(q) end
  res:reply(200, wire.JSON, wire.object { name = q.name, chat = q.chat, at = wire.time(sim.wall()), done = true,
    done_reason = "load" })
end

local function answer(sim, res, q, t)
  if t.state == "failed" then return failed(res, q, t.error[1], t.error[2], t.error.late or t.job ~= nil) end
  if q.request.kind == "load" then return loaded(sim, res, q) end
  local status, headers, body = faults.instead(t.job.fault, q.name)
  if status then return res:reply(status, headers, body) end
  if t.job.reply then -- the job has its own answer (embeddings)
    if not wait_for_end(sim, t) then return failed(res, q, 500, faults.STOPPED) end
    return t.job.reply(t, q)
  end
  if q.stream then return stream(sim, res, q, t) end
  return whole(sim, res, q, t)
end

-- Did the client get all that was generated?
local function is_whole(t)
  local job = t.job
  return job ~= nil and not job.cut_short and not faults.instead(job.fault) and t.state ~= "died" and t.state ~= "failed"
end

--- Serves one inference request; returns when its answer is complete, raises when the client left.
---@param sim table
---@param res table
---@param q { name: string, chat: boolean, stream: boolean, body: table, request: table, fault: string?, loaded: function? }
function M.run(sim, res, q)
  local g <close> = setmetatable({ sim = sim }, GUARD)
  sim.ledger:stream_opened()
  local status, headers, body = faults.instead(q.fault, q.name)
  if status then
    g.answered = true
    return res:reply(status, headers, body)
  end
  g.ticket = sim.scheduler:arrive(q.request, sim.clock())
  wait_for_grant(sim, g)
  answer(sim, res, q, g.ticket)
  g.answered = true
  if is_whole(g.ticket) then sim.ledger.answers = sim.ledger.answers + 1 end
end

return M
