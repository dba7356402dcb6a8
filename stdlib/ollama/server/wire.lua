--- The server's answers as text: key order, omitted zeros, escapes and times as the original writes
--- them.

local hash = require "core.hash"
local json = require "stoke.ollama.server.gojson"
local ordered = require "core.ordered"

local M = {}

local floor, format = math.floor, string.format

M.JSON = { ["Content-Type"] = "application/json; charset=utf-8" }
M.JSON_BARE = { ["Content-Type"] = "application/json" }
M.NDJSON = { ["Content-Type"] = "application/x-ndjson" }
M.SSE = { ["Content-Type"] = "text/event-stream" }
M.TEXT = { ["Content-Type"] = "text/plain" }
M.TEXT_UTF8 = { ["Content-Type"] = "text/plain; charset=utf-8" }
M.HTML = { ["Content-Type"] = "text/html" }

M.HTML_BODY = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n" ..
  "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"

local UNCHUNKED = 2048 -- bytes; a longer answer goes out as a chunk, as Go's server does it

--- A whole answer.
---@param res table
---@param status integer
---@param headers table
---@param body string
function M.send(res, status, headers, body)
  if #body <= UNCHUNKED then return res:reply(status, headers, body) end
  return M.send_chunked(res, status, headers, body)
end

--- A whole answer that was to be a stream.
function M.send_chunked(res, status, headers, body)
  res:start(status, headers)
  return res:write(body)
end

-- Times -------------------------------------------------------------------------------------------

-- Days since 1970-01-01 to year, month, day (proleptic Gregorian).
local function civil(days)
  local z = days + 719468
  local era = z // 146097
  local doe = z - era * 146097
  local yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
  local doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
  local mp = (5 * doy + 2) // 153
  local month = mp < 10 and mp + 3 or mp - 9
  return yoe + era * 400 + (month <= 2 and 1 or 0), month, doy - (153 * mp + 2) // 5 + 1
end

local last_second, last_text

--- Wall seconds as RFC 3339, trailing zeros of the fraction trimmed.
---@param wall number
---@return string
function M.time(wall)
  local second = floor(wall)
  if second ~= last_second then
    local y, m, d = civil(second // 86400)
    local s = second % 86400
    last_second = second
    last_text = ("%04d-%02d-%02dT%02d:%02d:%02d"):format(y, m, d, s // 3600, s // 60 % 60, s % 60)
  end
  local micros = floor((wall - second) * 1e6 + 0.5) -- a double holds no more of a date than this
  if micros == 0 then return last_text .. "Z" end
  if micros > 999999 then micros = 999999 end
  if micros % 10 ~= 0 then return format("%s.%06dZ", last_text, micros) end
  return last_text .. "." .. ("%06d"):format(micros):gsub("0+$", "") .. "Z"
end

--- Wall seconds with six digits and an offset: what Python before 3.11 reads as well.
---@param wall number
---@return string
function M.instant(wall)
  local whole = M.time(math.floor(wall))
  return ("%s.%06d+00:00"):format(whole:sub(1, -2), math.floor((wall - math.floor(wall)) * 1e6))
end

--- Seconds as whole nanoseconds.
---@param seconds number
---@return integer
function M.nanos(seconds) return math.floor(seconds * 1e9 + 0.5) end

-- Inference ---------------------------------------------------------------------------------------

local function build_frame(name, chat)
  local head = '{"model":' .. json.quote(name) .. ',"created_at":"'
  if chat then
    return {
      head = head, text = '","message":{"role":"assistant","content":"', text_end = '"},"done":false}\n',
      thinking = '","message":{"role":"assistant","content":"","thinking":"', thinking_end = '"},"done":false}\n',
    }
  end
  return {
    head = head, text = '","response":"', text_end = '","done":false}\n', thinking = '","response":"","thinking":"',
    thinking_end = '","done":false}\n',
  }
end

local frames = { [true] = { [0] = 0 }, [false] = { [0] = 0 } } -- [0]: how many

--- The fixed parts of a stream's lines: head, then the time, then one of the middles, the text, and
--- its end.
---@param name string the model's name as sent
---@param chat boolean
---@return { head: string, text: string, text_end: string, thinking: string, thinking_end: string }
function M.frame(name, chat)
  local known = frames[chat]
  local f = known[name]
  if not f then
    if known[0] >= 64 then known = { [0] = 0 } end
    f = build_frame(name, chat)
    frames[chat], known[name], known[0] = known, f, known[0] + 1
  end
  return f
end

local METRICS = { "total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration" }

local function metrics(m, out)
  for _, k in ipairs(METRICS) do
    if m and m[k] and m[k] ~= 0 then out[#out + 1] = (',"%s":%d'):format(k, m[k]) end
  end
end

--- A whole object: the last of a stream, or the only one.
---@param o table name, chat, at (text), text?, thinking?, calls?, done, done_reason?, logprobs?, context?, metrics?
---@return string without a newline; text and thinking are escaped already
function M.object(o)
  local out = { '{"model":', json.quote(o.name), ',"created_at":"', o.at, '"' }
  local function thinking()
    if o.thinking and o.thinking ~= "" then out[#out + 1] = ',"thinking":"' .. o.thinking .. '"' end
  end
  if o.chat then
    out[#out + 1] = ',"message":{"role":"assistant","content":"' .. (o.text or "") .. '"'
    thinking()
    if o.calls then out[#out + 1] = ',"tool_calls":' .. o.calls end
    out[#out + 1] = "}"
  else
    out[#out + 1] = ',"response":"' .. (o.text or "") .. '"'
    thinking()
  end
  out[#out + 1] = o.done and ',"done":true' or ',"done":false'
  if o.done_reason then out[#out + 1] = ',"done_reason":' .. json.quote(o.done_reason) end
  local odds = o.logprobs and o.logprobs ~= "" and ',"logprobs":[' .. o.logprobs .. "]"
  if o.chat and odds then out[#out + 1] = odds end
  if o.context and #o.context > 0 then out[#out + 1] = ',"context":' .. json.encode(o.context) end
  metrics(o.metrics, out)
  if o.calls and not o.chat then out[#out + 1] = ',"tool_calls":' .. o.calls end
  if odds and not o.chat then out[#out + 1] = odds end
  out[#out + 1] = "}"
  return table.concat(out)
end

--- A call of a tool.
---@param id string
---@param index integer from 0
---@param name string
---@param arguments string JSON
---@return string
function M.call(id, index, name, arguments)
  return ('{"id":%s,"function":{"index":%d,"name":%s,"arguments":%s}}'):format(json.quote(id), index, json.quote(name), arguments)
end

--- Tokens of an answer as OpenAI's API tells them.
---@param input integer
---@param output integer
---@return table
function M.usage(input, output)
  return json.object { { "prompt_tokens", input }, { "completion_tokens", output }, { "total_tokens", input + output } }
end

--- {"error":"text"}
---@param text string
---@return string
function M.error(text) return '{"error":' .. json.quote(text) .. "}" end

--- The rows of an embedding reply, numbers as float32.
---@param rows number[][]
---@return string
function M.rows(rows)
  local out = {}
  for i, row in ipairs(rows) do
    local cells = {}
    for j = 1, #row do cells[j] = json.number(row[j] + 0.0, 32) end
    out[i] = "[" .. table.concat(cells, ",") .. "]"
  end
  return "[" .. table.concat(out, ",") .. "]"
end

function M.embed(name, rows, total, load, count)
  local out = { '{"model":', json.quote(name), ',"embeddings":', M.rows(rows) }
  metrics({ total_duration = total, load_duration = load, prompt_eval_count = count }, out)
  out[#out + 1] = "}"
  return table.concat(out)
end

local function packed(row)
  local out = {}
  for i = 1, #row do out[i] = ("<f"):pack(row[i]) end
  return (hash.base64(table.concat(out)))
end

--- The same as OpenAI's API has it.
---@param name string
---@param rows number[][]
---@param tokens integer
---@param base64? boolean numbers as their bytes
---@return string
function M.openai_embeddings(name, rows, tokens, base64)
  local items = {}
  for i, row in ipairs(rows) do
    local numbers = base64 and json.quote(packed(row)) or M.rows { row }:sub(2, -2)
    items[i] = ('{"object":"embedding","embedding":%s,"index":%d}'):format(numbers, i - 1)
  end
  return ('{"object":"list","data":[%s],"model":%s,"usage":{"prompt_tokens":%d,"total_tokens":%d}}'):format(
    table.concat(items, ","), json.quote(name), tokens, tokens)
end

-- Inventory ---------------------------------------------------------------------------------------

--- The details of a model.
---@param m table family, params, quant; format where it is not "gguf"; for `long` context, embedding
---@param long? boolean as newer servers tell them
---@return table
function M.details(m, long)
  local list = {
    { "parent_model", "" }, { "format", m.format or "gguf" }, { "family", m.family }, { "families", json.array { m.family } },
    { "parameter_size", m.params }, { "quantization_level", m.quant },
  }
  if long then
    list[#list + 1] = { "context_length", m.context }
    list[#list + 1] = { "embedding_length", m.embedding }
  end
  return json.object(list)
end

local function caps(m) return json.array(table.move(m.caps, 1, #m.caps, 1, {})) end

function M.tags(models, habits)
  local list = json.array()
  for i, m in ipairs(models) do
    list[i] = json.object {
      { "name", m.name }, { "model", m.name }, { "modified_at", M.time(m.modified) }, { "size", m.size },
      { "digest", m.digest }, { "details", M.details(m, habits.inventory) },
      { "capabilities", habits.inventory and caps(m) or nil },
    }
  end
  return json.encode(json.object { { "models", list } })
end

--- resident: as scheduler.resident gives it; offset: wall time minus machine time.
function M.ps(resident, offset)
  local list = json.array()
  for i, e in ipairs(resident) do
    local r = e.runner
    local m = r.model
    local at = e.expires_at
    list[i] = json.object {
      { "name", m.name }, { "model", m.name }, { "size", r.size }, { "digest", m.digest }, { "details", M.details(m) },
      { "expires_at", M.time(at == math.huge and offset + 292 * 365.25 * 86400 or offset + at) }, { "size_vram", r.vram },
      { "context_length", r.opts.num_ctx },
    }
  end
  return json.encode(json.object { { "models", list } })
end

local function parameters(m)
  local list = {}
  if m.num_ctx then list[1] = ("%-30s %d"):format("num_ctx", m.num_ctx) end
  local names = ordered.names(m.parameters)
  for _, k in ipairs(names) do
    local v = m.parameters[k]
    for _, x in ipairs(type(v) == "table" and v or { v }) do
      list[#list + 1] = ("%-30s %s"):format(k, type(x) == "string" and json.quote(x) or tostring(x))
    end
  end
  return #list > 0 and table.concat(list, "\n") or nil
end

local TEMPLATE = "{{ if .System }}{{ .System }}{{ end }}{{ if .Tools }}{{ .Tools }}{{ end }}{{ .Prompt }}"

function M.show(m, habits)
  local arch = m.family
  local text = parameters(m)
  local template = m.template == "go" and TEMPLATE or nil
  local file = "# Modelfile generated by \"ollama show\"\n# To build a new Modelfile based on this, replace FROM with:\n# FROM "
    .. m.name .. "\n\nFROM /models/blobs/sha256-" .. m.sha .. "\n"
  if template then file = file .. 'TEMPLATE """' .. template .. '"""\n' end
  if m.system ~= "" then file = file .. 'SYSTEM """' .. m.system .. '"""\n' end
  for line in (text or ""):gmatch "[^\n]+" do file = file .. "PARAMETER " .. line:gsub("%s+", " ", 1) .. "\n" end
  return json.encode(json.object {
    { "license", m.license }, { "modelfile", file }, { "parameters", text }, { "template", template },
    { "system", m.system ~= "" and m.system or nil }, { "details", M.details(m, habits.inventory) },
    { "messages", m.messages },
    { "model_info", json.object {
      { "general.architecture", arch }, { "general.parameter_count", math.floor(m.size * 1.6) },
      { arch .. ".context_length", m.context }, { arch .. ".embedding_length", m.embedding },
    } },
    { "tensors", json.array { json.object { { "name", "token_embd.weight" }, { "type", m.quant },
      { "shape", json.array { m.embedding, 32000 } } } } },
    { "capabilities", caps(m) }, { "modified_at", M.time(m.modified) },
  })
end

--- The ledger's report (pairs in order) as one JSON object.
function M.ledger(report)
  local list = {}
  for i, e in ipairs(report) do
    local v = e[2]
    if type(v) == "table" then
      local models = {}
      for j, m in ipairs(v) do models[j] = { m[1], json.object(m[2]) } end
      v = json.object(models)
    end
    list[i] = { e[1], v }
  end
  return json.encode(json.object(list))
end

return M
