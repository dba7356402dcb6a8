-- What of an answer is compared: status, framing, headers, the shape of the body, and its texts where they are errors.

local gojson = require "stoke.ollama.server.gojson"
local http = require "stoke.http"

local M = {}

local HEADERS = { "content-type", "transfer-encoding", "allow", "vary", "location", "access-control-allow-origin",
  "access-control-allow-headers", "access-control-allow-methods", "access-control-max-age" }

local function shape(v)
  local kind = gojson.kind(v)
  if kind == "array" then
    local seen, list = {}, {}
    for _, x in ipairs(v) do
      local s = shape(x)
      if not seen[s] then list[#list + 1] = s end
      seen[s] = true
    end
    return "[" .. table.concat(list, "|") .. "]"
  elseif kind == "object" then
    local list = {}
    for i, k in ipairs(gojson.keys(v)) do
      if k == "model_info" or k == "arguments" then list[i] = k .. ":{}" else list[i] = k .. ":" .. shape(v[k]) end
    end
    return "{" .. table.concat(list, ",") .. "}"
  end
  return kind
end

-- Texts that name places of a machine, or a network that is not there.
local function neutral(text)
  text = text:gsub("open %S*/(%w+/)", "open /%1"):gsub("^(pull model manifest: ).*$", "%1...")
  return text
end

local function line_shape(line)
  local value, err = gojson.decode(line)
  if err or not gojson.is_object(value) then return line end
  if type(value.error) == "string" then return "error " .. neutral(value.error) end
  local s = shape(value)
  if value.status then s = s .. " " .. tostring(value.status):gsub("%x%x%x%x%x%x%x%x%x%x%x%x%S*", "HEX") end
  return s
end

-- One text for all that is compared. A whole answer of more than 2 KB goes out as a chunk; how long one is depends on the model.
function M.summary(res, method)
  local out = { "status " .. res.status }
  for _, name in ipairs(HEADERS) do
    if res.headers[name] then out[#out + 1] = name .. ": " .. res.headers[name] end
  end
  local whole = res.status == 200 and (res.headers["content-type"] or ""):find("application/json", 1, true)
  if whole or method == "HEAD" then
    for i, line in ipairs(out) do if line:find("^transfer%-encoding") then table.remove(out, i) end end
  elseif not res.headers["transfer-encoding"] then
    out[#out + 1] = res.headers["content-length"] and "length given" or "no length"
  end
  local last
  for line in res.body:gmatch "[^\n]+" do
    local s = line_shape(line)
    if s ~= last then out[#out + 1] = s end
    last = s
  end
  return table.concat(out, "\n")
end

---@param url string
---@param entry table of corpus.lua
---@param names table<string, string> models by their role
function M.ask(url, entry, names)
  local body = entry.body and entry.body:gsub("%f[%u]%u+%f[%U]", names)
  local res = http.request { url = url .. entry.path, method = entry.method, body = body, headers = entry.headers, raise = false,
    max_redirects = 0, timeout = 300 }
  return M.summary(res, entry.method)
end

return M
