--- What differs between versions of the imitated server, and between its engines: one record of
--- habits for each version. The newest is the default.
---
--- Two ages: before 0.30 models ran in engines of the server's own ("llama", and "ollama" for gemma3,
--- qwen3 and others), since then in llama-server. What is said of 0.17 was measured on 0.17.4, on a
--- machine without a GPU; so that age also has no GPU here, unless one is asked for.

local M = {}

--- The names that stand for an age; a full version ("0.22.1") takes the habits of its time.
M.NAMES = { "0.17", "0.30" }

local FULL = { ["0.17"] = "0.17.4", ["0.30"] = "0.33.0" }

--- Families that 0.17 runs in its own engine; the others run in the llama.cpp runner.
local OWN_ENGINE = {}
for name in ("bert deepseek2 deepseekocr gemma3 gemma3n gptoss gpt-oss llama4 mistral3 mllama nemotron_h nemotron_h_moe " ..
  "nomic-bert olmo3 qwen25vl qwen3 qwen3moe qwen35 qwen35moe qwen3next qwen3vl qwen3vlmoe glm4moelite glmocr lfm2 " ..
  "lfm2moe"):gmatch "%S+" do OWN_ENGINE[name] = true end

--- Where a further stream costs nothing more: a processor is busy with two, a GPU waits for its
--- memory. A part of a step, for each stream beyond the first.
M.BATCH_COST = { processor = 0.33, gpu = 0.02 }

---@class stoke.sim.habits
---@field version string as GET /api/version says it
---@field age "runner"|"llama-server"
---@field gpus integer how many, when nobody says
---@field inventory boolean tags and show tell window, width and abilities
---@field levels boolean any model that thinks takes a level ("high"), not only those made for it
---@field max boolean "max" is a level
---@field names boolean malformed names are refused before they are looked up
---@field deaf boolean a prompt under evaluation cannot be cancelled
---@field cache "slot"|"host" what is remembered: one conversation a slot, or old ones in the host's memory too
---@field role_once boolean chunks of /v1 name the role once, and the last one is empty
---@field lock boolean a call for a model whose weights are being loaded waits for it, outside the queue
---@field join integer whole steps a new stream waits for, beyond the one under way
---@field overhead number seconds of a call that no duration counts
---@field no_longer string what calls are told that waited for a slot of a runner that died
local function record(minor, patch, version)
  local function since(m, p) return minor > m or minor == m and patch >= (p or 0) end
  local new = since(30)
  return {
    version = version, age = new and "llama-server" or "runner", gpus = new and 1 or 0, inventory = new,
    levels = since(17, 7), max = since(22), names = since(17, 6), deaf = not new, cache = new and "host" or "slot",
    role_once = since(32, 6), lock = not new, join = new and 0 or 1, overhead = new and 0 or 0.0013,
    no_longer = new and "llama-server process no longer running: unknown " or "llama runner process no longer running: -1 ",
  }
end

--- What is said when a runner dies while it loads.
---@param habits stoke.sim.habits
---@param model table
---@return string
function M.terminated(habits, model)
  local engine = M.engine(habits, model)
  if engine == "ollama" then
    return "model failed to load, this may be due to resource limitations or an internal error, check ollama server logs " ..
      "for details"
  end
  return (engine == "llama" and "llama runner" or engine) .. " process has terminated: exit status 2"
end

--- The habits of a version: "0.17", "0.30", or a full one from 0.17.0 on.
---@param like string? nil: the newest
---@return stoke.sim.habits? habits
---@return string? err
function M.of(like)
  local full = FULL[like or "0.30"] or like
  local major, minor, patch = full:match "^v?(%d+)%.(%d+)%.?(%d*)[%w.+-]*$"
  if not major then return nil, ("no version '%s'"):format(full) end
  minor, patch = tonumber(minor), tonumber(patch) or 0
  if tonumber(major) > 0 then minor = 1000 end
  if minor < 17 then return nil, ("no habits are known of version %s"):format(full) end
  return record(minor, patch, (full:gsub("^v", "")))
end

--- The engine of a model: "llama", "ollama" or "llama-server".
---@param habits stoke.sim.habits
---@param model table its `engine`, where it says one, is for versions that have two
---@return string
function M.engine(habits, model)
  if habits.age == "llama-server" then return "llama-server" end
  return model.engine or OWN_ENGINE[model.family] and "ollama" or "llama"
end

-- Seconds between a request's arrival and its runner: least, and how much more it may be.
local WAITS = { llama = { 0.002, 0.002 }, ollama = { 0.150, 0.025 }, embedding = { 0.010, 0.004 } }

--- What a request spends before it gets to the scheduler: the model's file is read, in the own
--- engine its whole vocabulary. nil where it is not worth an event.
---@param habits stoke.sim.habits
---@param model table
---@return number? least
---@return number? more
function M.handling(habits, model)
  if habits.age == "llama-server" then return nil end
  local engine = M.engine(habits, model)
  local w = WAITS[engine == "ollama" and model.embed_only and "embedding" or engine]
  return w[1], w[2]
end

return M
