--- pull, push, create, copy, delete and blobs: how models come and go.

local json = require "stoke.ollama.server.gojson"
local decode = require "stoke.ollama.server.decode"
local models = require "stoke.sim.models"
local wire = require "stoke.ollama.server.wire"
local gotemplate = require "stoke.ollama.server.gotemplate"

local M = {}

local function refuse(res, status, text)
  res:reply(status, wire.JSON, wire.error(text))
  return nil
end

-- What is said to a name that is none, by call; nil when it is one.
local function bad_name(sim, kind, name)
  if models.valid_name(name) then return nil end
  if kind == "show" then
    if name == "" then return 400, "model is required" end
    if not sim.habits.names then return 500, "unqualified name: " .. models.spelled_out(name) end
  elseif kind == "delete" then
    return 400, ('name "%s" is invalid'):format(name)
  elseif kind == "push" then
    if name ~= "" then return nil end
    return 400, "model is required"
  end
  return 400, "invalid model name"
end

-- The request and the model's name in it, or nil after an error was sent.
local function read(sim, req, res, kind)
  local body, err = decode.request(req.body, decode.requests[kind], sim.habits)
  if not body then return refuse(res, 400, err) end
  local name = body.model
  if name == nil or name == "" then name = body.name or "" end
  if kind ~= "copy" and kind ~= "create" then
    local status, text = bad_name(sim, kind, name)
    if status then return refuse(res, status, text) end
  end
  return body, name
end

-- Progress: say() for each line, finish() or fail() at the end; without streaming only the end is
-- told. What fails before the first line has its status.
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
    fail = function(status, text)
      if started then return res:write(wire.error(text) .. "\n") end
      local send = streaming and wire.send_chunked or wire.send
      send(res, status, wire.JSON_BARE, wire.error(text))
    end,
    finish = function()
      if streaming then return res:write '{"status":"success"}\n' end
      res:reply(200, wire.JSON_BARE, '{"status":"success"}')
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

local UNKNOWN = "pull model manifest: file does not exist"

-- A model as the imagined registry has it; nil after the failure was told.
local function pull(sim, out, name)
  local have = sim.models:find(name)
  out.say "pulling manifest"
  if not have and not models.in_library(name) then return out.fail(500, UNKNOWN) end
  local model = have or models.build({ name = name, modified = sim.wall() }, sim.models.defaults)
  transfer(sim, out, "pulling", model.sha, model.size, have and 0 or sim.pull_seconds)
  transfer(sim, out, "pulling", model.digest, 487, 0)
  out.say "verifying sha256 digest"
  out.say "writing manifest"
  if not have then sim.models:put(model) end
  return model
end

--- POST /api/pull
function M.pull(sim, req, res)
  local body, name = read(sim, req, res, "pull")
  if not body then return end
  local out = progress(res, body)
  if pull(sim, out, name) then out.finish() end
end

--- POST /api/push
function M.push(sim, req, res)
  local body, name = read(sim, req, res, "push")
  if not body then return end
  local model = sim.models:find(name)
  local out = progress(res, body)
  out.say "retrieving manifest"
  if not model then
    out.say "couldn't retrieve manifest"
    if not models.valid_name(name) then return out.fail(500, "unqualified name: " .. models.spelled_out(name)) end
    return out.fail(500, ("open /models/manifests/%s: no such file or directory"):format((models.long_name(name):gsub(":", "/"))))
  end
  transfer(sim, out, "pushing", model.sha, model.size, sim.pull_seconds)
  out.say "pushing manifest"
  out.finish()
end

-- The kind of the files a create call names; nil when it cannot be told.
local function kind_of_files(sim, files)
  for _, path in ipairs(json.keys(files)) do
    if path:match "%.gguf$" then return "gguf" end
    local hex = files[path]:match "^sha256[:-](%x+)$"
    if hex and sim.models.blobs[hex] and sim.models.blobs[hex].gguf then return "gguf" end
  end
  return nil
end

-- The weights of a GGUF file that was uploaded; nil after the failure was told.
local function weights(sim, out, files, late)
  if not kind_of_files(sim, files) then return out.fail(400, "unknown type") end
  local digest = files[json.keys(files)[1]]
  out.say "parsing GGUF"
  local hex = digest:match "^sha256[:-](%x+)$"
  if not hex or #hex ~= 64 then return out.fail(late or 500, "invalid digest format") end
  local blob = sim.models.blobs[hex]
  if not blob then
    return out.fail(late or 500, ("open /models/blobs/sha256-%s: no such file or directory"):format(hex))
  end
  if not blob.gguf then return out.fail(400, "supplied file was not in GGUF format") end
  return { sha = hex, size = blob.size }
end

-- What a create call starts from: a model, or a file's weights; nil after the failure was told.
local function source(sim, out, body)
  if body.from and body.from ~= "" then
    if not models.valid_name(body.from) then return out.fail(400, "invalid model name") end
    return sim.models:find(body.from) or pull(sim, out, body.from)
  end
  if not body.files then return out.fail(400, "neither 'from' or 'files' was specified") end
  return nil, weights(sim, out, body.files)
end

local QUANTS = { F32 = true, F16 = true, Q4_K_S = true, Q4_K_M = true, Q4_K = true, Q8_0 = true, BF16 = true }

-- What is wrong with the rest of a create call: status and text.
local function problem_of(body, quant)
  local want = body.quantize
  if want == nil or want == "" then want = body.quantization or "" end
  want = want:upper()
  if want ~= "" then
    if not QUANTS[want] then
      return 500, ("unsupported quantization type %s - supported types are F32, F16, Q4_K_S, Q4_K_M, Q8_0"):format(want)
    end
    if quant ~= "F16" and quant ~= "F32" then return 500, "quantization is only supported for F16 and F32 models" end
  end
  local template = body.template and body.template ~= "" and gotemplate.problem(body.template)
  if template then return 400, "template error: " .. template end
  local license = body.license
  if license ~= nil and type(license) ~= "string" and not json.is_array(license) then
    return 500, ("json: cannot unmarshal %s into Go value of type []string"):format(json.kind(license))
  end
  return nil
end

-- A path below the folder, written plainly.
local function is_relative(path)
  for part in (path .. "/"):gmatch "([^/]*)/" do
    if part == "" or part == "." or part == ".." then return path == "." end
  end
  return true
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
  local body, name = read(sim, req, res, "create")
  if not body then return end
  for _, path in ipairs(body.files and json.keys(body.files) or {}) do
    if not is_relative(path) then return refuse(res, 400, "file path must be relative") end
  end
  if not models.valid_name(name) then return refuse(res, 400, "invalid model name") end
  local out = progress(res, body)
  local base, file = source(sim, out, body)
  if not base and not file then return end
  if body.adapters and #json.keys(body.adapters) > 0 and not weights(sim, out, body.adapters, 400) then return end
  local status, text = problem_of(body, base and base.quant or "F16")
  if status then return out.fail(status, text) end
  local model
  if base then
    out.say("using existing layer sha256:" .. base.sha)
    model = sim.models:alias(base, name, sim.wall())
  else
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
  local body = read(sim, req, res, "copy")
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
  local body, name = read(sim, req, res, "delete")
  if not body then return end
  if not sim.models:remove(name) then return refuse(res, 404, ("model '%s' not found"):format(name)) end
  res:reply(200, {}, "")
end

--- POST /api/show
function M.show(sim, req, res)
  local body, name = read(sim, req, res, "show")
  if not body then return end
  local model = sim.models:find(name)
  if not model then return refuse(res, 404, ("model '%s' not found"):format(name)) end
  wire.send(res, 200, wire.JSON, wire.show(model, sim.habits))
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
  if not sound then return refuse(res, 400, "invalid digest format") end
  if req.method == "HEAD" and not known_blob(sim, hex) then
    return refuse(res, 404, ('blob "%s" not found'):format(digest))
  end
  if known_blob(sim, hex) then return res:reply(200, {}, "") end
  local got = sim.sha256(req.body or "")
  if got ~= hex then
    return refuse(res, 400, ('digest mismatch, expected "%s", got "sha256:%s"'):format(digest, got))
  end
  sim.models.blobs[hex] = { size = #req.body, gguf = req.body:sub(1, 4) == "GGUF" }
  res:reply(201, {}, "")
end

return M
