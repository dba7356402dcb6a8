--- Moving models: pull, push, create with their progress, and blobs.

local effect = require "core.effect"
local errors = require "core.errors"
local json = require "core.json"
local llm = require "core.driver.llm"
local protocol = require "stoke.ollama.protocol"
local failures = require "stoke.ollama.failures"

local M = {}

--- A second reading of the same wire: each line is a status, "success" is the end.
llm.protocol("ollama.progress", {
  request = protocol.request, error = protocol.error,
  line = function(text, state)
    local line, err = json.decode(text)
    if err or type(line) ~= "table" then return nil, failures.broken(text, err, state.q) end
    if line.error then return nil, failures.line(line.error, state.q) end
    line.type = line.status == "success" and "done" or "progress"
    return { line }, line.status == "success"
  end,
  incomplete = function(state) return failures.incomplete(state.q) end,
})

local function progress(path, body, endpoint)
  local stream = errors.check(effect.perform("llm.stream",
    { protocol = "ollama.progress", path = path, model = body.model, endpoint = endpoint, body = body }))
  return llm.iterator(stream), stream, nil, stream
end

--- Download a model. Iterate the progress; the last event has status "success". Stopping early keeps what came: a later pull
--- goes on from there.
---@param options { model: string, insecure?: boolean, endpoint?: string }
---@return fun(): { status: string, digest?: string, total?: integer, completed?: integer }
---
--- Example: `for ev in ollama.pull { model = "qwen2.5:3b" } do print(ev.status, ev.completed, ev.total) end`
function M.pull(options)
  options = errors.options(options, { model = "string", insecure = "boolean", endpoint = "string" }, "ollama.pull")
  if not options.model then errors.argument("ollama.pull: model is missing") end
  return progress("/api/pull", { model = options.model, insecure = options.insecure }, options.endpoint)
end

--- Upload a model. As pull.
---@param options { model: string, insecure?: boolean, endpoint?: string }
---@return fun(): { status: string, digest?: string, total?: integer, completed?: integer }
---
--- Example: `for ev in ollama.push { model = "me/mine" } do print(ev.status) end`
function M.push(options)
  options = errors.options(options, { model = "string", insecure = "boolean", endpoint = "string" }, "ollama.push")
  if not options.model then errors.argument("ollama.push: model is missing") end
  return progress("/api/push", { model = options.model, insecure = options.insecure }, options.endpoint)
end

--- Make a model out of another (`from`) or out of uploaded blobs (`files`: relative path -> digest). As pull.
---@param options { model: string, from?: string, files?: table, adapters?: table, template?: string, system?: string, license?: string|string[], parameters?: table, messages?: table[], quantize?: string, endpoint?: string }
---@return fun(): { status: string }
---
--- Example: `for ev in ollama.create { model = "terse", from = "qwen2.5:3b", system = "One sentence." } do print(ev.status) end`
function M.create(options)
  options = errors.options(options, { model = "string", from = "string", files = "table", adapters = "table",
    template = "string", system = "string", license = true, parameters = "table", messages = "table", quantize = "string",
    renderer = "string", parser = "string", endpoint = "string" }, "ollama.create")
  if not options.model then errors.argument("ollama.create: model is missing") end
  local body = {}
  for name, value in next, options do body[name] = value end
  body.endpoint = nil
  return progress("/api/create", body, options.endpoint)
end

local function admin(q) return effect.perform("llm.admin", q) end

--- Whether the server has a blob.
---@param digest string "sha256:" and 64 lower-case hex digits
---@param endpoint? string
---@return boolean
---
--- Example: `if not ollama.blob_exists(digest) then ollama.blob { path = "model.gguf" } end`
function M.blob_exists(digest, endpoint)
  local _, err = admin { protocol = "ollama", method = "HEAD", path = "/api/blobs/" .. digest, endpoint = endpoint }
  if err and err.status == 404 then return false end
  errors.check(true, err)
  return true
end

--- Upload a blob unless the server has it.
---@param options { path?: string, data?: string, endpoint?: string } the bytes, or the file that holds them
---@return string digest "sha256:..."
---
--- Example: `local digest = ollama.blob { path = "model.gguf" }`
function M.blob(options)
  options = errors.options(options, { path = "string", data = "string", endpoint = "string" }, "ollama.blob")
  local data = options.data
  if not data then
    if not options.path then errors.argument("ollama.blob: path or data is missing") end
    require "core.driver.fs"
    data = errors.check(effect.perform("fs.read", { path = options.path, max = 4 << 30 }))
  end
  local digest = "sha256:" .. require "core.hash".sha256(data)
  if not M.blob_exists(digest, options.endpoint) then
    errors.check(admin { protocol = "ollama", path = "/api/blobs/" .. digest, endpoint = options.endpoint, raw = data })
  end
  return digest
end

return M
