-- A model server for tests of the cache: it counts what it is asked, and its models can be replaced.
--
--     local server <close> = cached { delay = 1 }
--     server:chat("Hi", { cache = true }).message.content      --> "1: Hi", where 1 counts the questions

local fake = require "fake"
local files = require "core.cache.file"
local gate = require "core.gate.cache"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local stoke = require "stoke"

local M = { ONE = ("1"):rep(64), TWO = ("2"):rep(64) }

local Server = {}
Server.__index = Server

-- What the model says to a body: how often it was asked, and the last message.
local function content(server, body)
  local messages = body.messages
  return ("%d: %s"):format(server.asked, messages and messages[#messages].content or body.prompt)
end

local function chat(server, res, body)
  server.asked = server.asked + 1
  server.bodies[#server.bodies + 1] = body
  local n = server.asked
  local answer = server.answer and server.answer(body, n)
  if server.delay then stoke.sleep(server.delay) end
  if type(answer) == "number" then return res:reply(answer, {}, '{"error":"no luck"}') end
  local parts = type(answer) == "table" and answer or { content = answer or content(server, body) }
  local text, reason = parts.content, server.reason or "stop"
  local last = { model = body.model, done = true, done_reason = reason, prompt_eval_count = 10, eval_count = 5,
    total_duration = 2000000000, load_duration = 1, prompt_eval_duration = 1000000, eval_duration = 1000000 }
  local function piece(part, more)
    local made = body.messages and { model = body.model, message = { role = "assistant", content = part }, done = false }
      or { model = body.model, response = part, done = false }
    for name, value in pairs(more or {}) do
      (name ~= "logprobs" and made.message or made)[name] = name ~= "content" and value or part
    end
    return made
  end
  if body.stream == false then
    local whole = piece(text, parts)
    for name, value in pairs(last) do whole[name] = value end
    return res:reply(200, {}, json.encode(whole))
  end
  if parts.thinking then res:write(json.encode(piece("", { thinking = parts.thinking })) .. "\n") end
  local odds = parts.logprobs and { logprobs = parts.logprobs } or nil
  for part in text:gmatch "%S+%s*" do
    if odds then res:write(json.encode(piece(text, odds)) .. "\n") break end
    res:write(json.encode(piece(part)) .. "\n")
    if server.pace then stoke.sleep(server.pace) end
  end
  local ending = piece("", { tool_calls = parts.tool_calls })
  for name, value in pairs(last) do ending[name] = value end
  res:write(json.encode(ending) .. "\n")
end

function Server:handle(req, res)
  if self.down then
    res:reply(500, {}, '{"error":"down"}')
  elseif req.path == "/api/tags" then
    self.tags = self.tags + 1
    local list = {}
    for name, digest in pairs(self.models) do list[#list + 1] = { name = name .. ":latest", digest = digest } end
    res:reply(200, {}, json.encode { models = json.array(list) })
  elseif req.path == "/api/ps" then
    res:reply(200, {}, '{"models":[]}')
  elseif req.path == "/api/chat" or req.path == "/api/generate" then
    chat(self, res, json.decode(req.body))
  else
    res:reply(200, {}, '{"status":"success"}\n')
  end
end

local function merged(given, extra)
  for name, value in pairs(extra or {}) do given[name] = value end
  if given.options == nil then given.options = { temperature = 0 } end
  if given.cache == nil then given.cache = true end
  return given
end

-- Asks a question; `extra` goes over what it is asked with.
function Server:chat(text, extra)
  return ollama.chat(merged({ model = "m", endpoint = self.url, messages = { { role = "user", content = text } } }, extra))
end

function Server:try(text, extra)
  return ollama.try_chat(merged({ model = "m", endpoint = self.url, messages = { { role = "user", content = text } } }, extra))
end

-- The events of a streamed answer, in a list.
function Server:stream(text, extra)
  local events = {}
  for ev in ollama.stream(merged({ model = "m", endpoint = self.url, prompt = text, merge = false }, extra)) do
    events[#events + 1] = ev
  end
  return events
end

return setmetatable(M, { __call = function(_, options)
  gate.forget()
  local server = setmetatable({ asked = 0, tags = 0, bodies = {}, models = { m = M.ONE } }, Server)
  for name, value in pairs(options or {}) do server[name] = value end
  local one = fake(function(req, res) server:handle(req, res) end)
  server.url = one.url
  getmetatable(server).__close = function()
    gate.settle()
    one.server:close()
    files.path = nil
    gate.forget()
  end
  return server
end })
