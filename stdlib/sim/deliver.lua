--- Takes an inference request through the scheduler and writes its answer: waits for the grant,
--- then for each token, one line and one write a token; or the whole object at once.

local wire = require "stoke.sim.wire"
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

local function failed(res, status, text)
  return res:reply(status, wire.JSON, wire.error(text))
end

-- Waits until the scheduler has something to say about the ticket.
local function wait_for_grant(sim, g)
  local t = g.ticket
  if t.state == "running" or t.state == "done" or t.state == "failed" then return end
  g.waiting = true
  sim.waiters = sim.waiters + 1
  t.task = sim.tasks.current()
  repeat
    sim:kick()
    sim.tasks.park("sim.queue")
    sim.scheduler:advance(sim.clock())
  until t.state == "running" or t.state == "done" or t.state == "failed"
  sim.waiters = sim.waiters - 1
  g.waiting = false
  if sim.waiters == 0 then sim:kick() end
end

local function wait_until(sim, due)
  local left = due - sim.clock()
  while left > NEAR do
    sim.tasks.park("sim.token", left < math.huge and left or nil)
    left = due - sim.clock()
  end
end

local function at_least(n) return n > 1000 and n or 1000 end

local function metrics(t)
  local job = t.job
  return {
    total_duration = wire.nanos(t.ends - t.arrived), load_duration = wire.nanos(t.load_seconds),
    prompt_eval_count = job.prompt_tokens, prompt_eval_duration = at_least(wire.nanos(t.prefill)),
    eval_count = job.n, eval_duration = job.n > 0 and at_least(wire.nanos(job.n * t.each)) or 0,
  }
end

local function last_object(sim, q, t, text, thinking, calls)
  local job = t.job
  local context
  if not q.chat and not q.body.raw then context = prompt.numbers(job.prompt .. job.text) end
  return wire.object {
    name = q.name, chat = q.chat, at = wire.time(sim.wall()), text = text, thinking = thinking, calls = calls,
    done = true, done_reason = job.done_reason, context = context, metrics = metrics(t),
  }
end

-- The tokens, a line each.
local function write_lines(sim, res, q, t, out)
  local job = t.job
  local lines, at, thinking = job.lines, job.at, job.thinking
  local f = wire.frame(q.name, q.chat)
  local head, before, after = f.head, f.text, f.text_end
  local clock, wall, time = sim.clock, sim.wall, wire.time
  local first, each = t.first, t.each
  for i = 1, #lines do
    local due = first + (at and at[i] or i) * each
    if due - clock() > NEAR then wait_until(sim, due) end
    if i == 1 then res:start(200, wire.NDJSON) end
    if i <= thinking then
      out:line(head .. time(wall()) .. f.thinking .. lines[i] .. f.thinking_end)
    else
      out:line(head .. time(wall()) .. before .. lines[i] .. after)
    end
  end
  return #lines > 0
end

-- An ending that is none. True when the reply is over.
local function broken_end(sim, res, q, t, out, started)
  local job = t.job
  if job.endless then wait_until(sim, math.huge) end
  if not started then res:start(200, wire.NDJSON) end
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
  local started = write_lines(sim, res, q, t, out)
  if job.cut_short then return broken_end(sim, res, q, t, out, started) end
  wait_until(sim, t.ends)
  if not started then res:start(200, wire.NDJSON) end
  local calls = job.calls
  if calls and not job.calls_in_done then
    out:line(wire.object { name = q.name, chat = q.chat, at = wire.time(sim.wall()), calls = calls, done = false } .. "\n")
    calls = nil
  end
  out:line(last_object(sim, q, t, nil, nil, calls) .. "\n")
  out:finish()
end

local function whole(sim, res, q, t)
  local job = t.job
  wait_until(sim, t.ends)
  local thinking = table.concat(job.lines, "", 1, job.thinking)
  local text = table.concat(job.lines, "", job.thinking + 1)
  if not job.cut_short then
    return res:reply(200, wire.JSON, last_object(sim, q, t, text, thinking, job.calls))
  end
  if job.fault == "reset" then
    return res:reset()
  elseif job.fault == "error-line" then
    return failed(res, 500, job.error or faults.ERROR_LINE)
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
  if t.state == "failed" then return failed(res, t.error[1], t.error[2]) end
  if q.request.kind == "load" then return loaded(sim, res, q) end
  local status, headers, body = faults.instead(t.job.fault, q.name)
  if status then return res:reply(status, headers, body) end
  if t.job.reply then -- the job has its own answer (embeddings)
    wait_until(sim, t.ends)
    return t.job.reply(t, q)
  end
  if q.stream then return stream(sim, res, q, t) end
  return whole(sim, res, q, t)
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
end

return M
