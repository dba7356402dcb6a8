-- A program that holds secrets, and a server that sends them back wherever it can: what of them is found in what leaves.
--
--     local place <close> = leaks.place()
--     t.eq(leaks.found(place.run("use.lua", "--sim").stderr), {})

local binary = require "binary"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "stoke.json"

local M = {}

--- What is planted, by where it comes from. None looks like a secret: only its name, or its place, tells.
M.PLANTED = {
  ["key of an endpoint"] = "endpoint-plugh-one", ["header of an endpoint"] = "header-plugh-two",
  ["secret variable"] = "variable-plugh-three", ["password in a URL"] = "url-plugh-four",
  ["secret in a query"] = "query-plugh-five", ["header of a request"] = "script-plugh-six",
  ["variable of a child"] = "child-plugh-seven", ["argument of a tool"] = "sesame-plugh-eight",
  ["field of the log"] = "field-plugh-nine",
}

--- Those of them that are in a text, by where they come from, sorted.
---@param text string
---@return string[]
function M.found(text)
  local out = {}
  for name, secret in pairs(M.PLANTED) do
    if text:find(secret, 1, true) then out[#out + 1] = name end
  end
  table.sort(out)
  return out
end

local CONFIG <const> = [[
return { endpoint = "gpu", traces = %s,
  endpoints = { gpu = { url = "%s", dialect = "ollama", key = "endpoint-plugh-one",
    headers = { ["X-Api-Key"] = "header-plugh-two" } } } }
]]

local SCRIPT <const> = [[
local stoke = require "stoke"
local login = stoke.tool { name = "login", description = "Log in", params = { user = "string", password = "string" },
  run = function(a) error("cannot log in with " .. a.password) end }
local bot = stoke.agent { name = "umbrella", model = "m", tools = { login } }
stoke.main(function(args)
  local key = stoke.env.get "TOWN_API_KEY"
  stoke.log.warn("it begins", { api_key = "field-plugh-nine", list = { { password = "field-plugh-nine" } }, why = "with " .. key })
  stoke.try(bot.run, bot, "weather")
  local function failing(f, ...)
    local _, err = stoke.try(f, ...)
    stoke.log.error("it failed", { error = tostring(err), again = "field-plugh-nine" })
  end
  failing(stoke.chat, { model = "m", prompt = "please fail" })
  failing(stoke.http.get, "SERVER/x?token=query-plugh-five", { headers = { Authorization = "Bearer script-plugh-six" } })
  failing(stoke.http.get, ("SERVER/x"):gsub("//", "//ada:url-plugh-four@"))
  stoke.proc.run { argv = { "true" }, env = { CHILD_TOKEN = "child-plugh-seven" } }
  stoke.chat { model = "m", prompt = "tell " .. key }
  if args[1] == "figures" then
    stoke.metrics.counter("asked_total", "What was asked.", { "key" }):add(1, key)
    print(stoke.http.get("http://127.0.0.1:" .. args[2] .. "/metrics").body)
  elseif args[1] == "crash" then
    error("it ends with " .. key .. " and script-plugh-six")
  elseif args[1] == "refused" then
    stoke.chat { model = "m", prompt = "please fail" }
  end
end)
]]

--- A server that tells everybody what he sent.
local function echo(req, res)
  local who = req.headers.authorization or "nobody"
  if req.path == "/api/tags" then return { models = { { name = "m:latest", model = "m:latest", digest = ("a"):rep(64) } } } end
  if req.path ~= "/api/chat" then return res:reply(403, {}, ("you sent %s and %s"):format(who, req.query.token)) end
  local body = req:json()
  local last = body.messages[#body.messages]
  if last.content == "please fail" then
    return res:reply(401, {}, json.encode { error = ("%s and %s are not known"):format(who, req.headers["x-api-key"]) })
  end
  local message = { role = "assistant", content = "you said " .. last.content }
  if body.tools and last.role == "user" then
    message = { role = "assistant", content = "", tool_calls = { { ["function"] = { name = "login",
      arguments = { user = "ada", password = "sesame-plugh-eight" } } } } }
  end
  return { model = "m", message = message, done = true, done_reason = "stop", prompt_eval_count = 5, eval_count = 5 }
end

--- A folder with the program and its settings, as binary.place gives it, and the server.
---@param traces? string Lua of the setting `traces`
function M.place(traces)
  local server = http.serve { port = 0, handler = echo }
  local here = binary.place { ["stoke.config.lua"] = CONFIG:format(traces or "nil", server.url),
    ["use.lua"] = (SCRIPT:gsub("SERVER", server.url)) }
  here.env.TOWN_API_KEY = "variable-plugh-three"
  local folder <const> = getmetatable(here).__close
  here.server = server
  function here.read(name) return fs.read(here.path .. "/" .. name) end
  return setmetatable(here, { __close = function(self)
    server:close()
    folder(self)
  end })
end

return M
