-- Agents in front of a scripted model, served in memory, and clients that read strictly:
--
--     local place <close> = served({ "a text" }, function(model) return { stoke.agent { name = "poet", ... model } } end)
--     place:post("/api/chat", { model = "poet", messages = ... })

local stoke = require "stoke"
local http = require "stoke.http"
local json = require "stoke.json"
local scripted = require "scripted"

local M = {}

local Place = {}
Place.__index = Place
Place.__close = function(place)
  place.server:close()
  local _ <close> = place.model -- luacheck: ignore
end

local count = 0

--- One agent, "poet", or what `make` gives; the rest goes to stoke.serve.
setmetatable(M, { __call = function(_, script, make, options, simulated)
  count = count + 1
  local model = scripted(script, simulated)
  local function agent(more)
    local given = { name = "poet", model = scripted.MODEL, endpoint = model.url, instructions = "Be brief." }
    for name, value in pairs(more or {}) do given[name] = value end
    return stoke.agent(given)
  end
  local given = { mem = "served" .. count, agents = make and make(agent) or { agent() } }
  for name, value in pairs(options or {}) do given[name] = value end
  local server = stoke.serve(given)
  return setmetatable({ server = server, url = server.url, model = model }, Place)
end })

--- Whole answer of a request.
function Place:ask(method, path, body, headers)
  return http.request { method = method, url = self.url .. path, body = type(body) == "table" and json.encode(body) or body,
    headers = headers, raise = false }
end

function Place:get(path, headers) return self:ask("GET", path, nil, headers) end
function Place:post(path, body, headers) return self:ask("POST", path, body, headers) end

--- Lines of a stream, each a value.
function M.lines(text)
  local out = {}
  assert(text == "" or text:sub(-1) == "\n", "the last line ends")
  for line in text:gmatch "[^\n]*\n" do out[#out + 1] = json.decode(line) end
  return out
end

--- What the events of a server-sent stream say; the last one must be [DONE].
function M.events(text)
  local out, ended = {}, false
  for record in text:gmatch "(.-)\n\n" do
    assert(not ended, "nothing follows [DONE]")
    local data = assert(record:match "^data: ([^\n]*)$", "one line of data: " .. record)
    if data == "[DONE]" then ended = true else out[#out + 1] = json.decode(data) end
  end
  return out, ended
end

return M
