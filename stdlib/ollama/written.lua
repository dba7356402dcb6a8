--- Requests that are checked and written in one pass of C (host/bind/json_spec.c), byte for byte as the way through Lua writes
--- them. A spec knows the plain case alone. Whatever it does not know, and all that is wrong, goes the way through Lua, which has
--- the words for it.
---
--- Only for calls that nobody looks into on their way (effect.unseen): such a request has its text in place of a body. Where a body
--- is wanted after all, by a server's answer or for another attempt, it is made of what was given.

local json = require "core.json"
local options = require "stoke.ollama.options"

local M = {}

local call = json.spec {
  { name = "function", kind = "record", required = true, of = json.spec {
    { name = "arguments", kind = "table", required = true }, { name = "index", kind = "integer" },
    { name = "name", kind = "string", required = true } } },
  { name = "id", kind = "string" }, { name = "type", kind = "string" },
}
local message = json.spec {
  { name = "content", kind = "string" },
  { name = "role", kind = "string", required = true, words = { "user", "assistant", "tool", "system" } },
  { name = "thinking", kind = "string" }, { name = "tool_call_id", kind = "string" },
  { name = "tool_calls", kind = "list", min = 1, of = { kind = "record", of = call } }, { name = "tool_name", kind = "string" },
}

local NAMES, SAMPLES = {}, {}
for _, name in ipairs(options.SAMPLING) do SAMPLES[name] = true end
for _, names in ipairs { options.LOAD, options.SAMPLING } do table.move(names, 1, #names, #NAMES + 1, NAMES) end
table.sort(NAMES)

--- The options of a model: what its profile says of sampling stands for what a call does not say; how it is loaded is the same with
--- every call. And what goes out where a call has none.
local function sampling(target)
  local load, defaults = target.profile.options or {}, target.sampling or {}
  local fields, all = {}, {}
  for _, name in ipairs(NAMES) do
    local field
    if load[name] ~= nil then
      field = { name = name, constant = load[name] }
    elseif name == "stop" then
      field = { name = name, kind = "list", min = 1, default = defaults.stop }
    elseif SAMPLES[name] then
      field = { name = name, kind = name == "num_predict" and "integer" or "number", default = defaults[name] }
    end
    fields[#fields + 1] = field
    all[name] = field and (field.constant == nil and field.default or field.constant)
  end
  return { name = "options", kind = "record", of = json.spec(fields), default = next(all) ~= nil and all or nil }
end

--- Fields of a request in the order in which they are written.
local function spec(target, more)
  local fields = { sampling(target), { name = "think", kind = "boolean|string", words = { "low", "medium", "high", "max" },
    default = false }, { name = "truncate", kind = "boolean", default = false } }
  if target.profile.shift ~= nil then fields[#fields + 1] = { name = "shift", constant = target.profile.shift } end
  table.move(more, 1, #more, #fields + 1, fields)
  table.sort(fields, function(a, b) return a.name < b.name end)
  return json.spec(fields)
end

--- What a call says beside what is asked.
local function asides(stream, fields)
  for _, name in ipairs { "split_thinking", "auto_pull", "any_arguments", "fitted", stream and "merge" or nil } do
    fields[#fields + 1] = { name = name, kind = "boolean", unsent = true }
  end
  fields[#fields + 1] = { name = "endpoint", kind = "string", unsent = true }
  fields[#fields + 1] = { name = "model", kind = "string", required = true, min = 1 }
  fields[#fields + 1] = { name = "stream", kind = "boolean", default = stream }
  return fields
end

local TOOLS = { name = "tools", kind = "list", min = 1 }

local WAYS = {}

function WAYS.chat(stream)
  return asides(stream, { { name = "messages", kind = "list", required = true, min = 1, of = { kind = "record", of = message } },
    TOOLS })
end

function WAYS.generate(stream)
  return asides(stream, { { name = "prompt", kind = "string", required = true }, { name = "suffix", kind = "string" },
    { name = "system", kind = "string" }, { name = "template", kind = "string" }, { name = "raw", kind = "boolean" },
    { name = "context", kind = "list", min = 1 } })
end

--- One for each target, way and kind of answer, made when it is first asked.
---@param target stoke.target
---@param way "chat"|"generate"
---@param stream boolean
---@param body fun(target: stoke.target, about: table, stream: boolean): table
local function kind_of(target, way, stream, body)
  local kinds = target.written[stream]
  local kind = kinds[way]
  if not kind then
    kind = { spec = spec(target, WAYS[way](stream)), __index = function(q, name)
      if name == "body" then
        local made = body(target, q.about, stream)
        q.body = made
        return made
      end
      return name == "any_arguments" and q.about.any_arguments or nil
    end }
    kinds[way] = kind
  end
  return kind
end

--- A request, checked and written.
---@param target stoke.target
---@param way "chat"|"generate"
---@param stream boolean
---@param path string
---@param about table what it is made of: a script's table as it came
---@param body fun(target: stoke.target, about: table, stream: boolean): table makes the body, should one be wanted; the
---  same for all of a way
---@return table|nil q nil: look at it in Lua
function M.request(target, way, stream, path, about, body)
  local kind = kind_of(target, way, stream, body)
  local text = kind.spec:encode(about)
  if not text then return nil end
  return setmetatable({ protocol = "ollama", path = path, model = target.name, endpoint = about.endpoint,
    split_thinking = about.split_thinking, sent = text, about = about, body = nil }, kind)
end

-- ---- agents -------------------------------------------------------------------------------------------------------------------

--- What an agent asks, of which everything was checked before; what was written of its messages already is copied (json.growing).
local function agent_spec(target, stream)
  return spec(target, { { name = "messages", kind = "list", required = true, min = 1 }, TOOLS, { name = "format", kind = "table" },
    { name = "model", constant = target.name }, { name = "stream", constant = stream },
    { name = "path", kind = "string", unsent = true }, { name = "endpoint", kind = "string", unsent = true } })
end

--- What an agent's requests to a target have in common, made when it is first asked; target.written[stream].agent is it, then.
--- A request is the very table of what it is made of: `spec` writes its text, and with this for its metatable it says the rest
--- when it is asked for it.
---@param target stoke.target
---@param stream boolean
---@param body fun(target: stoke.target, about: table, stream: boolean): table
---@return { spec: any, __index: function } kind spec:encode(q), of { messages, tools?, format?, options?, think?, truncate?, path,
---  endpoint? }, is the text, nil where it has to be looked at in Lua
function M.agent(target, stream, body)
  local facts = { protocol = "ollama", model = target.name, any_arguments = true }
  local kind = { spec = agent_spec(target, stream), __index = function(asked, name)
    if name == "about" then return asked end
    if name ~= "body" then return facts[name] end
    local made = body(target, asked, stream)
    asked.body = made
    return made
  end }
  target.written[stream].agent = kind
  return kind
end

return M
