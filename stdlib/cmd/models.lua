-- stoke models [--loaded] [--json]

local args = require "stoke.args"
local config = require "stoke.config"
local dialects = require "stoke.model.dialect"
local endpoints = require "core.endpoint"
local errors = require "core.errors"
local json = require "core.json"
local look = require "stoke.cmd.doctor.look"
local models = require "stoke.model"
local ollama = require "stoke.ollama"
local stdio = require "core.stdio"
local term = require "stoke.term"
local time = require "stoke.time"

local SPEC = {
  name = "stoke models", summary = "List the models the server has, or has loaded.",
  examples = { { "stoke models", "what can be asked, newest first" },
               { "stoke models --loaded", "what is in memory, and until when" },
               { "stoke models --json", "the server's own reply" } },
  options = { { "loaded", short = "l", type = "boolean", help = "only those in memory" },
              { "json", type = "boolean", help = "print the server's reply as JSON" } },
}

local function age(text, now)
  local at = look.parse_time(text)
  if not at then return "" end
  return term.duration(math.max(now - at, 0)) .. " ago"
end

local function until_when(text, now)
  local at = look.parse_time(text)
  if not at then return "" end
  if at <= now then return "busy" end
  return at - now > 3e8 and "for ever" or "in " .. term.duration(at - now)
end

-- Which part of the model sits in the memory of a GPU.
local function processor(m)
  local size, vram = m.size or 0, m.size_vram or 0
  if size <= 0 then return "" end
  if vram <= 0 then return "CPU" end
  if vram >= size then return "GPU" end
  return ("%d%% GPU"):format(vram * 100 // size)
end

local function detail(m, field)
  return type(m.details) == "table" and type(m.details[field]) == "string" and m.details[field] or ""
end

local function loaded_rows(list, now)
  local rows = { { "NAME", "SIZE", "WHERE", "CONTEXT", "UNLOADS" } }
  for _, m in ipairs(list) do
    rows[#rows + 1] = { m.name, term.bytes(m.size or 0), processor(m),
                        m.context_length and ("%d"):format(m.context_length) or "",
                        until_when(m.expires_at, now) }
  end
  return rows, { [2] = true, [4] = true }
end

local function tag_rows(list, now)
  local rows = { { "NAME", "SIZE", "PARAMETERS", "QUANTIZATION", "CHANGED" } }
  for _, m in ipairs(list) do
    rows[#rows + 1] = { m.name, term.bytes(m.size or 0), detail(m, "parameter_size"),
                        detail(m, "quantization_level"), age(m.modified_at, now) }
  end
  return rows, { [2] = true, [3] = true }
end

--- Models of a server of another dialect: it lists what it serves, and tells no more than a window.
local function others(json_wanted)
  local list = errors.check(models.residency())
  if json_wanted then return stdio.write(json.encode { models = json.array(list) } .. "\n") end
  if #list == 0 then return stdio.err "the server has no models\n" end
  local rows = { { "NAME", "CONTEXT" } }
  for _, m in ipairs(list) do rows[#rows + 1] = { m.name, m.window and ("%d"):format(m.window) or "" } end
  term.table(rows, { right = { [2] = true } })
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  if config.endpoint().dialect ~= nil and dialects.name(endpoints.of()) ~= "ollama" then return others(a.json) end
  local reply = a.loaded and ollama.ps() or ollama.tags()
  if a.json then return stdio.write(json.encode(reply) .. "\n") end
  if #reply.models == 0 then
    return stdio.err(a.loaded and "no model is loaded\n"
                     or "the server has no models; try: stoke pull qwen2.5:3b\n")
  end
  local rows, right = (a.loaded and loaded_rows or tag_rows)(reply.models, time.now())
  term.table(rows, { right = right })
end
