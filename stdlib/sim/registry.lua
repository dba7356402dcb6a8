--- pull, push, create, copy, delete and blobs: how models come and go.

local json = require "stoke.sim.gojson"
local decode = require "stoke.sim.decode"
local models = require "stoke.sim.models"
local wire = require "stoke.sim.wire"

local M = {}

local function refuse(res, status, text)
  res:reply(status, wire.JSON, wire.error(text))
  return nil
end

-- The request and the model's name in it, or nil after an error was sent.
local function read(req, res, kind)
  local body, err = decode.request(req.body, decode.requests[kind])
  if not body then return refuse(res, 400, err) end
  local name = body.model
  if name == nil or name == "" then name = body.name or "" end
  if kind ~= "copy" and not models.valid_name(name) then
    return refuse(res, 400, kind == "show" and "model is required" or "invalid model name")
  end
  return body, name
end

-- Progress: status(text, fields) for each line, done at the end; without streaming only the end is
-- told.
local function progress(res, body)
  local streaming = body.stream ~= false
  local started = false
  return {
    say = function(status, digest, total, completed)
      if not streaming then return end
      if not started then res:start(200, wire.NDJSON) end
      started = true
      res:write(json.encode(json.object { { "status", status }, { "digest", digest }, { "total", total },
        { "completed", completed ~= 0 and completed or nil } }) .. "\n")
    end,
    finish = function()
      if streaming then return res:write '{"status":"success"}\n' end
      res:reply(200, wire.JSON, '{"status":"success"}')
    end,
  }
end

local STEP = 0.06 -- seconds between two lines of progress

local function transfer(sim, out, verb, digest, total, seconds)
  local label, full = verb .. " " .. digest:sub(1, 12), "sha256:" .. digest
  local steps = math.max(1, math.floor(seconds / STEP + 0.5))
  if seconds > 0 then
    for i = 0, steps - 1 do
      out.say(label, full, total, total * i // steps)
      sim:sleep(seconds / steps)
    end
  end
  out.say(label, full, total, total)
end

--- POST /api/pull
function M.pull(sim, req, res)
  local body, name = read(req, res, "pull")
  if not body then return end
  local have = sim.models:find(name)
  if not have and not models.in_library(name) then
    return refuse(res, 500, "pull model manifest: file does not exist")
  end
  local model = have or models.build({ name = name, modified = sim.wall() }, sim.models.defaults)
  local out = progress(res, body)
  out.say "pulling manifest"
  transfer(sim, out, "pulling", model.sha, model.size, have and 0 or sim.pull_seconds)
  transfer(sim, out, "pulling", model.digest, 487, 0)
  out.say "verifying sha256 digest"
  out.say "writing manifest"
  if not have then sim.models:put(model) end
  out.finish()
end

--- POST /api/push
function M.push(sim, req, res)
  local body, name = read(req, res, "push")
  if not body then return end
  local model = sim.models:find(name)
  if not model then return refuse(res, 404, ("model '%s' not found"):format(name)) end
  local out = progress(res, body)
  out.say "retrieving manifest"
  transfer(sim, out, "pushing", model.sha, model.size, sim.pull_seconds)
  out.say "pushing manifest"
  out.finish()
end

-- The weights a create call names: a description's fields, or nil after an error was sent.
local function source(sim, res, body)
  if body.from and body.from ~= "" then
    local base = sim.models:find(body.from)
    if base then return base end
    return refuse(res, 500, "pull model manifest: file does not exist")
  end
  local files = body.files and json.keys(body.files) or {}
  if #files == 0 then return refuse(res, 400, "neither 'from' or 'files' was specified") end
  for _, path in ipairs(files) do
    if path:sub(1, 1) == "/" or path:find("..", 1, true) then
      return refuse(res, 400, "file path must be relative: " .. path)
    end
  end
  local digest = body.files[files[1]]
  local hex = digest:match "^sha256[:-](%x+)$"
  if not hex or #hex ~= 64 then return refuse(res, 400, "invalid digest format") end
  local blob = sim.models.blobs[hex]
  if not blob then
    return refuse(res, 500, ("open /models/blobs/sha256-%s: no such file or directory"):format(hex))
  end
  if not blob.gguf then return refuse(res, 400, "supplied file was not in GGUF format") end
  return nil, { sha = hex, size = blob.size }
end

local function apply(model, body)
  if body.system then model.system = body.system end
  if body.template then model.template = "go" end
  if body.messages and #body.messages > 0 then model.messages = body.messages end
  if type(body.license) == "string" then model.license = body.license end
  local parameters = {}
  for k, v in pairs(model.parameters) do parameters[k] = v end
  for _, item in ipairs(decode.pairs_of(body.parameters)) do parameters[item[1]] = item[2] end
  model.num_ctx, parameters.num_ctx = parameters.num_ctx or model.num_ctx, nil
  model.parameters = parameters
end

--- POST /api/create
function M.create(sim, req, res)
  local body, name = read(req, res, "create")
  if not body then return end
  local base, file = source(sim, res, body)
  if not base and not file then return end
  local out = progress(res, body)
  local model
  if base then
    out.say("using existing layer sha256:" .. base.sha)
    model = sim.models:alias(base, name, sim.wall())
  else
    out.say "parsing GGUF"
    out.say("creating new layer sha256:" .. file.sha)
    model = models.build({ name = name, sha = file.sha, size = file.size, modified = sim.wall() }, sim.models.defaults)
    sim.models:put(model)
  end
  apply(model, body)
  out.say "writing manifest"
  out.finish()
end

--- POST /api/copy
function M.copy(sim, req, res)
  local body = read(req, res, "copy")
  if not body then return end
  for _, side in ipairs { "source", "destination" } do
    if not models.valid_name(body[side] or "") then
      return refuse(res, 400, ('%s "%s" is invalid'):format(side, body[side] or ""))
    end
  end
  local model = sim.models:find(body.source)
  if not model then return refuse(res, 404, ('model "%s" not found'):format(body.source)) end
  sim.models:alias(model, body.destination, sim.wall())
  res:reply(200, {}, "")
end

--- DELETE /api/delete: a loaded runner stays.
function M.delete(sim, req, res)
  local body, name = read(req, res, "delete")
  if not body then return end
  if not sim.models:remove(name) then return refuse(res, 404, ("model '%s' not found"):format(name)) end
  res:reply(200, {}, "")
end

--- POST /api/show
function M.show(sim, req, res)
  local body, name = read(req, res, "show")
  if not body then return end
  local model = sim.models:find(name)
  if not model then return refuse(res, 404, ("model '%s' not found"):format(name)) end
  res:reply(200, wire.JSON, wire.show(model))
end

local function known_blob(sim, hex)
  if sim.models.blobs[hex] then return true end
  for _, m in ipairs(sim.models.list) do if m.sha == hex then return true end end
  return false
end

--- HEAD and POST /api/blobs/DIGEST
function M.blob(sim, req, res)
  local digest = req.path:match "^/api/blobs/(.*)$"
  local hex = digest:match "^sha256[:-](%x+)$"
  local sound = hex and #hex == 64
  if req.method == "HEAD" then
    return res:reply(sound and known_blob(sim, hex) and 200 or sound and 404 or 400, {}, "")
  end
  if not sound then return refuse(res, 400, "invalid digest format") end
  if known_blob(sim, hex) then return res:reply(200, {}, "") end
  local got = sim.sha256(req.body or "")
  if got ~= hex then
    return refuse(res, 400, ('digest mismatch, expected "sha256:%s", got "sha256:%s"'):format(hex, got))
  end
  sim.models.blobs[hex] = { size = #req.body, gguf = req.body:sub(1, 4) == "GGUF" }
  res:reply(201, {}, "")
end

return M
