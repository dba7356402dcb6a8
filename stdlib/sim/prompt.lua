--- The prompt a request becomes: its text (what the prefix cache compares), its length in tokens,
--- and how it is cut to fit. A token is four bytes, rounded up; an image counts 768.

local json = require "stoke.ollama.server.gojson"

local M = {}

M.IMAGE_TOKENS = 768
local PER_TOKEN = 4

--- Tokens of a text.
---@param text string
---@return integer
function M.tokens(text) return (#text + PER_TOKEN - 1) // PER_TOKEN end

local function part(role, text) return "<|" .. role .. "|>" .. text end

local function message_text(m)
  local text = m.content or ""
  if m.thinking and m.thinking ~= "" then text = m.thinking .. "\n" .. text end
  for _, call in ipairs(m.tool_calls or {}) do
    text = text .. json.encode(call["function"] or {})
  end
  if m.tool_name then text = m.tool_name .. ": " .. text end
  return part(m.role or "", text)
end

local function images(list) return type(list) == "table" and #list * M.IMAGE_TOKENS or 0 end

local function too_long(n, ctx)
  local text = json.encode(json.object {
    { "error", json.object {
      { "code", 400 },
      { "message", ("request (%d tokens) exceeds the available context size (%d tokens), try increasing it"):format(n, ctx) },
      { "type", "exceed_context_size_error" }, { "n_prompt_tokens", n }, { "n_ctx", ctx },
    } },
  })
  return nil, { 400, text, late = true }
end

M.TOO_LONG = "the input length exceeds the context length"

-- What is left when even the last message is too long. Go-rendered models keep num_keep tokens and
-- a tail, half the window in all, before 0.30 all of it; native templates refuse.
local function cut(text, n, model, merged, opts, old)
  local ctx = opts.num_ctx
  if old then
    local keep = math.min(merged.num_keep or 4, ctx - 1)
    return text:sub(1, keep * PER_TOKEN) .. text:sub(-(ctx - keep) * PER_TOKEN), ctx
  end
  if model.template == "native" then return too_long(n, ctx) end
  if not opts.shift then
    return nil, { 400, "the prompt is longer than the context length currently available to the model" }
  end
  local keep = math.min(merged.num_keep or 4, ctx // 4)
  local want = math.max(1, ctx // 2)
  local tail = math.max(1, want - keep)
  return text:sub(1, keep * PER_TOKEN) .. text:sub(-tail * PER_TOKEN), keep + tail
end

-- parts: { {text =, keep =, extra = image tokens} }; drops whole messages from the front until the
-- rest fits.
local function assemble(parts, ctx)
  local n = 0
  for _, p in ipairs(parts) do n = n + #p.text end
  local extra = 0
  for _, p in ipairs(parts) do extra = extra + p.extra end
  local function size() return (n + PER_TOKEN - 1) // PER_TOKEN + extra end
  local full = size()
  for i, p in ipairs(parts) do
    if size() <= ctx then break end
    if not p.keep and i < #parts then
      n, extra = n - #p.text, extra - p.extra
      p.gone = true
    end
  end
  local out = {}
  for _, p in ipairs(parts) do if not p.gone then out[#out + 1] = p.text end end
  return table.concat(out), size(), full
end

local function chat_parts(body, model)
  local parts = {}
  local system = model.system
  local messages = body.messages
  if system ~= "" and (not messages[1] or messages[1].role ~= "system") then
    parts[1] = { text = part("system", system), keep = true, extra = 0 }
  end
  if body.tools and #body.tools > 0 then
    parts[#parts + 1] = { text = part("tools", json.encode(body.tools)), keep = true, extra = 0 }
  end
  for _, m in ipairs(model.messages or {}) do
    parts[#parts + 1] = { text = message_text(m), keep = m.role == "system", extra = 0 }
  end
  for _, m in ipairs(messages) do
    parts[#parts + 1] = { text = message_text(m), keep = m.role == "system", extra = images(m.images) }
  end
  return parts
end

local function generate_parts(body, model)
  if body.raw then return { { text = body.prompt, keep = true, extra = images(body.images) } } end
  local system = body.system ~= nil and body.system ~= "" and body.system or model.system
  local text = system ~= "" and part("system", system) or ""
  if body.context then text = text .. part("context", json.encode(body.context)) end
  text = text .. part("user", body.prompt)
  if body.suffix and body.suffix ~= "" then text = text .. part("suffix", body.suffix) end
  return { { text = text, keep = true, extra = images(body.images) } }
end

--- The prompt of a chat or generate request on a runner with these load options.
---@param body table the decoded request
---@param model table
---@param merged table options in force
---@param opts table load options of the runner
---@param habits stoke.sim.habits?
---@return string? text
---@return integer|table tokens, or {status, text}
function M.build(body, model, merged, opts, habits)
  local old = habits and habits.age == "runner"
  local parts = body.messages and chat_parts(body, model) or generate_parts(body, model)
  local text, n, full = assemble(parts, opts.num_ctx)
  if full > opts.num_ctx and body.truncate == false then
    if old then return nil, { 400, M.TOO_LONG, late = true } end
    return too_long(full, opts.num_ctx)
  end
  if n > opts.num_ctx then return cut(text, n, model, merged, opts, old) end
  return text, n
end

--- Numbers standing for the tokens of a text, as /api/generate returns them in `context`.
---@param text string
---@return integer[]
function M.numbers(text)
  local out = {}
  for i = 1, #text, PER_TOKEN do
    local a, b, c, d = text:byte(i, i + 3)
    out[#out + 1] = (a * 7919 + (b or 0) * 263 + (c or 0) * 31 + (d or 0)) % 32000
  end
  return json.array(out)
end

return M
