--- Which dialect an endpoint speaks, where nobody has said: found out by asking, once, before its first call. Ollama answers GET
--- /api/version; who does not, and lists its models at /v1/models, speaks OpenAI's.

local effect = require "core.effect"
local endpoints = require "core.endpoint"
local errors = require "core.errors"
local llm = require "core.driver.llm"
local tasks = require "core.task"

local current = tasks.current

local M = {}

--- Dialects that come with the library, and the modules that register them.
local MODULES = { ollama = "stoke.ollama", openai = "stoke.openai.protocol", ["openai-responses"] = "stoke.openai.protocol" }
local NAMES = { "ollama", "openai", "openai-responses" }

--- Seconds that a question may take.
local PATIENCE <const> = 5

--- Kinds of errors that say nothing of the dialect: nobody was reached.
local UNREACHED = { refused = true, dns = true, tls = true, unreachable = true, timeout = true, denied = true,
  needs_approval = true,
  cancelled = true }

--- The table of a dialect.
---@param name string
---@param who string the endpoint, for the error
---@return table dialect
---Raises `usage` for a name that nobody knows.
---
--- Example: `local dialect = dialects.named("openai", "gpu")`
function M.named(name, who)
  local dialect = llm.dialect(name)
  if not dialect and MODULES[name] then
    require(MODULES[name])
    dialect = llm.dialect(name)
  end
  if dialect then return dialect end
  local near = errors.suggest(name, NAMES)
  errors.raise("usage", ("endpoint %s: no dialect is named %q%s"):format(who, name,
    near and (" (did you mean %s?)"):format(near) or ""),
    { hint = "known: " .. table.concat(NAMES, ", ") .. "; others are registered by their module" })
end

local function get(endpoint, dialect, path)
  local target = endpoints.plain(endpoint, nil, M.named(dialect, endpoint.name))
  return llm.ask({ protocol = dialect, method = "GET", path = path, endpoint = endpoint.name,
    timeouts = { total = PATIENCE, first_byte = PATIENCE, connect = 2 } }, target)
end

--- Ask; an error where nobody answers, or nobody of these.
local function ask(endpoint)
  local _, err = get(endpoint, "ollama", "/api/version")
  if not err then return "ollama" end
  if UNREACHED[err.kind] then return nil, err end
  local _, second = get(endpoint, "openai", "/v1/models")
  if not second then return "openai" end
  if UNREACHED[second.kind] or second.kind == "auth" then return nil, second end
  return nil, errors.new("usage", ("endpoint %s: %s answers neither as Ollama nor as OpenAI's API"):format(endpoint.name,
    endpoint.url), { hint = 'check the address (stoke doctor), or say which it is: dialect = "openai"', cause = second })
end

--- What was found before, in this process or an earlier one. Waits until that is read.
local function remembered(endpoint, memory)
  local cancelled = memory.wait()
  if cancelled then return nil, cancelled end
  local facts = memory.facts("dialect " .. endpoint.meant)
  return facts and (facts.dialect == "ollama" or facts.dialect == "openai") and facts.dialect or nil
end

--- What nobody has said, found out now.
local function find(endpoint)
  if endpoint.dialect then return endpoint.dialect end
  local memory = require "core.gate.memory"
  local found, err = remembered(endpoint, memory)
  if not found and not err then found, err = ask(endpoint) end
  if not found then return nil, err end
  memory.note("dialect " .. endpoint.meant, function() return { dialect = found } end)
  return found
end

--- The name of the dialect of an endpoint. What nobody has said is on the tape of a run that asks by it.
---@param endpoint stoke.endpoint
---@return string
---Raises what asking gives: `refused`, `unreachable`, `auth` ...; `usage` where nothing of either kind answers.
---
--- Example: `print(dialects.name(endpoints.of "gpu"))`
function M.name(endpoint)
  if endpoint.dialect and not endpoint.unsaid then return endpoint.dialect end
  local task = current()
  if endpoint.dialect and not (task and (task.scope or task).context.gated) then return endpoint.dialect end
  local found = errors.check(effect.perform("llm.dialect", { endpoint = endpoint.name }, function() return find(endpoint) end))
  if endpoint.dialect ~= found then
    endpoint.dialect, endpoint.unsaid, endpoint.targets, endpoint.own = found, true, {}, {}
  end
  return found
end

--- The dialect of an endpoint; asked where it was not said.
---@param endpoint stoke.endpoint
---@return table dialect
---Raises as M.name, and `usage` for a name that nobody knows.
---
--- Example: `local dialect = dialects.of(endpoints.of "gpu")`
function M.of(endpoint)
  local dialect = not endpoint.unsaid and llm.dialect(endpoint.dialect)
  return dialect or M.named(M.name(endpoint), endpoint.name)
end

return M
