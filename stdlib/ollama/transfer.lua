--- Moving models: pull, push, create with their progress, and blobs.

local effect = require "core.effect"
local endpoints = require "core.endpoint"
local errors = require "core.errors"
local json = require "core.json"
local llm = require "core.driver.llm"
local models = require "core.cache.models"
local config = require "stoke.config"
local failures = require "stoke.ollama.failures"
local options = require "stoke.ollama.options"
local protocol = require "stoke.ollama.protocol"
local wire = require "stoke.reading.wire"

local M = {}

-- ---- progress ---------------------------------------------------------------------------------------------------------------

local function progress_line(text, state)
  if not text:find "%S" then return nil end
  local line, err, damaged = wire.decode(text)
  if err then return nil, failures.no_json(text, err, state.q) end
  if damaged then wire.mend(line) end
  if type(line) ~= "table" or json.is_array(line) then return nil, failures.odd("a line is no JSON object", state.q) end
  if line.error ~= nil and line.error ~= json.null then return nil, failures.line(line.error, state.q) end
  if type(line.status) ~= "string" then return nil, failures.odd("a line of progress has no status", state.q) end
  for _, name in ipairs { "completed", "total" } do
    if not math.type(line[name]) then line[name] = nil end
  end
  state.last = line.status
  line.type = line.status == "success" and "done" or "progress"
  if line.type == "done" then models.forget(state.target.endpoint.url) end -- a name may mean another model now
  return { line }, line.status == "success"
end

--- A second reading of the same wire: each line is a status, "success" is the end.
llm.protocol("ollama.progress", {
  request = protocol.request, error = protocol.error, broken = protocol.broken, canonical = protocol.canonical,
  line = progress_line,
  incomplete = function(state)
    return errors.new("incomplete", ("%s of %s ended after %q, without success"):format(state.q.path:match "[^/]*$", state.q.model,
      state.last or "nothing"), { model = state.q.model, hint = "do it again: what has come already is kept" })
  end,
})

--- Seconds without a word: checking the digest of a large file or quantizing takes minutes and tells nothing.
local SILENCE = 1800

local function progress(what, path, body, given)
  endpoints.of(given.endpoint)
  body.stream = true
  if given.timeouts then options.timeouts(what, given.timeouts) end
  local timeouts = { idle = math.max(SILENCE, config.get().timeouts.idle or 0), first_byte = SILENCE, total = false }
  for name, value in next, given.timeouts or {} do timeouts[name] = value end
  local stream = errors.check(effect.perform("llm.stream", { protocol = "ollama.progress", path = path, model = body.model,
    endpoint = given.endpoint, body = body, timeouts = timeouts }))
  return stream:iterate {}, stream, nil, stream
end

local function transfer(what, path, given)
  if type(given) == "string" then given = { model = given } end
  given = errors.options(given, { model = "string", insecure = "boolean", endpoint = "string", timeouts = "table" }, what)
  options.model(what, given.model)
  return progress(what, path, { model = given.model, insecure = given.insecure }, given)
end

--- Download a model. Iterate the progress; the last event has status "success". Stopping early keeps what came: a later pull
--- goes on from there.
---@param given string|{ model: string, insecure?: boolean, endpoint?: string, timeouts?: table } the name alone will do
---@return fun(): { type: "progress"|"done", status: string, digest?: string, total?: integer, completed?: integer }
---Raises what ollama.chat raises; `incomplete` when it ends without success.
---
--- Example: `for ev in ollama.pull { model = "qwen2.5:3b" } do print(ev.status, ev.completed, ev.total) end`
function M.pull(given) return transfer("ollama.pull", "/api/pull", given) end

--- Upload a model. As pull.
---@param given string|{ model: string, insecure?: boolean, endpoint?: string, timeouts?: table } the name alone will do
---@return fun(): { type: "progress"|"done", status: string, digest?: string, total?: integer, completed?: integer }
---
--- Example: `for ev in ollama.push { model = "me/mine" } do print(ev.status) end`
function M.push(given) return transfer("ollama.push", "/api/push", given) end

local CREATE = { model = "string", from = "string", files = "table", adapters = "table", template = "string", system = "string",
  license = true, parameters = "table", messages = "table", quantize = "string", renderer = "string", parser = "string",
  requires = "string", draft_files = "table", draft_quantize = "string", info = "table", endpoint = "string",
  timeouts = "table" }

--- Make a model out of another (`from`) or out of uploaded blobs (`files`: relative path -> digest). As pull.
---@param given { model: string, from?: string, files?: table, adapters?: table, template?: string, system?: string }
---  also license, parameters, messages, quantize, renderer, parser, requires, draft_files, draft_quantize, info, as the API
---  has them, and endpoint, timeouts
---@return fun(): { type: "progress"|"done", status: string }
---
--- Example: `for ev in ollama.create { model = "terse", from = "qwen2.5:3b", system = "One sentence." } do print(ev.status) end`
function M.create(given)
  given = errors.options(given, CREATE, "ollama.create")
  options.model("ollama.create", given.model)
  if not given.from and not given.files then
    errors.raise("argument", "ollama.create: from or files is missing",
      { hint = 'from = "qwen2.5:3b", or files = { ["model.gguf"] = ollama.blob { path = "model.gguf" } }' })
  end
  local body = {}
  for name, value in next, given do body[name] = value end
  body.endpoint, body.timeouts = nil, nil
  if body.messages then body.messages = options.messages("ollama.create", body.messages, options.images) end
  if type(body.license) == "table" then body.license = options.list(body.license) end
  return progress("ollama.create", "/api/create", body, given)
end

-- ---- blobs ------------------------------------------------------------------------------------------------------------------

local function admin(q) return effect.perform("llm.admin", q) end

--- Whether the server has a blob.
---@param digest string|{ digest: string, endpoint?: string } "sha256:" and 64 lower-case hex digits
---@param endpoint? string
---@return boolean
---
--- Example: `if not ollama.blob_exists(digest) then ollama.blob { path = "model.gguf" } end`
function M.blob_exists(digest, endpoint)
  if type(digest) == "table" then
    local given = errors.options(digest, { digest = "string", endpoint = "string" }, "ollama.blob_exists")
    digest, endpoint = given.digest, given.endpoint
  end
  if type(digest) ~= "string" or #digest ~= 71 or not digest:find "^sha256:[0-9a-f]+$" then
    errors.argument("ollama.blob_exists: \"sha256:\" and 64 lower-case hex digits expected, got %s",
      type(digest) == "string" and ("%q"):format(digest) or type(digest))
  end
  endpoints.of(endpoint)
  local _, err = admin { protocol = "ollama", method = "HEAD", path = "/api/blobs/" .. digest, endpoint = endpoint }
  if err and err.status == 404 then return false end
  errors.check(true, err)
  return true
end

--- Upload a blob unless the server has it. The bytes are held in memory, twice while they are sent; a file may have 4 GB.
---@param given { path?: string, data?: string, endpoint?: string, timeouts?: table } the bytes, or the file that holds them
---@return string digest "sha256:..."
---
--- Example: `local digest = ollama.blob { path = "model.gguf" }`
function M.blob(given)
  given = errors.options(given, { path = "string", data = "string", endpoint = "string", timeouts = "table" }, "ollama.blob")
  if not given.data and not given.path then errors.argument("ollama.blob: path or data is missing") end
  if given.timeouts then options.timeouts("ollama.blob", given.timeouts) end
  local data = given.data
  if not data then
    require "core.driver.fs"
    data = errors.check(effect.perform("fs.read", { path = given.path, max = 4 << 30 }))
  end
  local digest = "sha256:" .. require "core.hash".sha256(data)
  if not M.blob_exists(digest, given.endpoint) then
    local timeouts = { first_byte = SILENCE, total = false }
    for name, value in next, given.timeouts or {} do timeouts[name] = value end
    errors.check(admin { protocol = "ollama", path = "/api/blobs/" .. digest, endpoint = given.endpoint, raw = data,
      timeouts = timeouts })
  end
  return digest
end

return M
