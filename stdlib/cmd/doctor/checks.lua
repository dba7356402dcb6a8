-- What stoke doctor judges: a list of checks. One is a table:
--
--     { name = "disk",                        -- what --json calls it
--       look = function(facts) ... end,       -- the subjects that are in trouble: nil, one, or a list of them
--       say = function(subject, facts) ... end,    -- what is wrong, in one sentence
--       why = "...",                          -- why that matters; a text, or a function as say
--       cure = function(subject, facts) ... end,   -- what to set, in the words of the one who sets it
--       level = "warning" }                   -- "error": nothing works so, and `kind` gives the exit code; "note": may be well
--
-- A subject with `inferred` was worked out of something else and is told as such. stdlib/cmd/doctor/look.lua finds the facts.

local errors = require "core.errors"
local look = require "stoke.cmd.doctor.look"
local options = require "stoke.ollama.options"
local term = require "stoke.term"

local M = {}

--- Tokens that an agent with a few tools and a conversation needs.
M.WINDOW = 8192
--- Seconds a model should stay loaded without work.
M.KEEP = 60

-- ---- words ---------------------------------------------------------------------------------------------------------------------

local function count(n) return (tostring(n):reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")) end

local function has(model, capability)
  for _, name in ipairs(model.capabilities or {}) do
    if name == capability then return true end
  end
  return false
end

local function embeds(model) return has(model, "embedding") and not has(model, "completion") end

local function names(list, most)
  local out = {}
  for i, m in ipairs(list) do
    if i > (most or 4) then
      out[#out + 1] = ("and %d more"):format(#list - #out)
      break
    end
    out[i] = m.name or m
  end
  return table.concat(out, ", ")
end

--- A setting of the server, as `ollama serve` or systemd reads it.
local function server_setting(text)
  return ("start the server with %s (systemctl edit ollama: Environment=\"%s\")"):format(text, text)
end

local function profile(model, text) return ('profiles = { ["%s"] = { %s } } in stoke.config.lua'):format(model, text) end

-- ---- reaching the server -------------------------------------------------------------------------------------------------------

local function unreachable(f) return not f.server.reachable and f.server end

--- The value of the variable the address came from, where it did.
local function written(f)
  local from = f.server.from or ""
  return from:find "OLLAMA_HOST" and f.asked.OLLAMA_HOST or from:find "STOKE_ENDPOINT" and f.asked.STOKE_ENDPOINT or nil
end

local function where_set(f)
  local from = f.server.from
  return from == "built in" and "OLLAMA_HOST" or from:gsub("^environment ", ""):gsub("^flag ", "")
end

--- Go's and nginx's words of a port that wanted https.
local function speaks_https(f)
  local a = unreachable(f) and not f.server.elsewhere and f.server.answers
  return a and a.status == 400 and ((a.text or ""):find "to an? HTTPS server" or (a.text or ""):find "sent to HTTPS port") and true
end

local function explained(s)
  local found = s.elsewhere
  if not found then return nil end
  local scheme, _, port, path = look.parts(s.url)
  local scheme2, _, port2 = look.parts(found)
  if path ~= "" and scheme == scheme2 and port == port2 then return "path" end
  if scheme ~= scheme2 and port == port2 then return "scheme" end
  return "port"
end

-- ---- versions ------------------------------------------------------------------------------------------------------------------

-- What came with which version, as far as agents need it.
local FEATURES = {
  { "0.3.0", "tools" }, { "0.5.0", "schemas for answers" }, { "0.6.4", "capabilities of models" },
  { "0.8.0", "tool calls in streams" }, { "0.9.0", "thinking" }, { "0.10.0", "the window of a loaded model" },
  { "0.12.4", "an error instead of a prompt that is cut" }, { "0.12.11", "tool ids and logprobs" },
}

local function version_number(text)
  local a, b, c = tostring(text):match "^v?(%d+)%.(%d+)%.?(%d*)"
  if not a then return nil end
  local n = (tonumber(a) * 1000 + tonumber(b)) * 1000 + (tonumber(c) or 0)
  return n > 0 and n or nil -- 0.0.0: built from source
end

--- The window of a model nobody gave one.
local function default_window(version)
  local n = version_number(version)
  return n and n < version_number "0.6.7" and 2048 or 4096
end

-- ---- proxies -------------------------------------------------------------------------------------------------------------------

--- Does NO_PROXY spare a host, as libcurl reads it?
---@param host string
---@param list string|nil
---@return boolean
function M.spared(host, list)
  for pattern in (list or ""):gmatch "[^%s,]+" do
    pattern = pattern:gsub("^%.", ""):gsub(":%d+$", ""):lower()
    if pattern == "*" or pattern == host:lower() then return true end
    if host:lower():sub(-#pattern - 1) == "." .. pattern then return true end
  end
  return false
end

--- The variable by which a proxy catches a URL; nil when none does. libcurl reads http_proxy in small letters only.
local function caught(f, url)
  local scheme, host = look.parts(url)
  if host == "localhost" or host:find "^127%." or host == "[::1]" or host:find "%.mem$" then return nil end
  if M.spared(host, f.proxies.no_proxy or f.proxies.NO_PROXY) then return nil end
  local order = scheme == "https" and { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" }
    or { "http_proxy", "all_proxy", "ALL_PROXY" }
  for _, name in ipairs(order) do
    if f.proxies[name] then return { variable = name, proxy = f.proxies[name], host = (host:gsub("[%[%]]", "")) } end
  end
end

-- ---- models --------------------------------------------------------------------------------------------------------------------

--- Are the capabilities of at least one model known?
local function knows_capabilities(f)
  for _, m in ipairs(f.server.list or {}) do
    if m.capabilities then return true end
  end
  return false
end

local function all_embed(f)
  local list = f.server.list or {}
  if not list[1] then return false end
  for _, m in ipairs(list) do
    if not embeds(m) then return false end
  end
  return true
end

--- What a loaded model's window comes from.
local function small_windows(f)
  local out, seen = {}, {}
  for _, m in ipairs(f.server.ps or {}) do
    local own = f.profiles[options.canonical(m.name)]
    if type(m.context_length) == "number" and m.context_length < M.WINDOW and not embeds(m) then
      local listed
      for _, known_model in ipairs(f.server.list) do listed = listed or known_model.name == m.name and known_model end
      if not (listed and embeds(listed)) then
        out[#out + 1] = { model = m.name, tokens = m.context_length, loaded = true, own = own and own.num_ctx }
      end
    end
    seen[options.canonical(m.name)] = true
  end
  for name, own in next, f.profiles do
    if own.num_ctx and own.num_ctx < M.WINDOW and not seen[name] then
      out[#out + 1] = { model = name, tokens = own.num_ctx, own = own.num_ctx }
    end
  end
  table.sort(out, function(a, b) return a.model < b.model end)
  return out
end

--- A model for agents that has no window of its own, and is not loaded: what it would get.
local function default_windows(f)
  local process = f.process and f.process.env
  local set = process and tonumber(process.OLLAMA_CONTEXT_LENGTH or "")
  local tokens = set or default_window(f.server.version)
  if not f.server.reachable or f.server.ps[1] or tokens >= M.WINDOW then return nil end
  for _, m in ipairs(f.server.list) do
    local own = f.profiles[options.canonical(m.name)]
    local fixed = m.parameters and m.parameters:match "num_ctx%s+(%d+)"
    if not embeds(m) and not (own and own.num_ctx) and not m.remote_host and (not fixed or tonumber(fixed) < M.WINDOW) then
      return { model = m.name, tokens = tonumber(fixed) or tokens, inferred = fixed and "its Modelfile" or set
        and "OLLAMA_CONTEXT_LENGTH of the server's process" or "the server's version" }
    end
  end
end

local function duration(text)
  local n = tonumber(text)
  if n then return n end
  local seconds, units = 0, { h = 3600, m = 60, s = 1 }
  for value, unit in tostring(text):gmatch "(%d+%.?%d*)([hms])s?" do
    if tostring(text):find(value .. "ms", 1, true) then return 0 end
    seconds = seconds + tonumber(value) * units[unit]
  end
  return tostring(text):sub(1, 1) == "-" and -1 or seconds
end

--- keep_alive that is short: told by a profile, the server's process, a probe, or when the loaded models will go.
local function short_keeps(f)
  local out = {}
  for name, own in next, f.profiles do
    local seconds = own.keep_alive ~= nil and duration(own.keep_alive)
    if seconds and seconds >= 0 and seconds < M.KEEP then
      out[#out + 1] = { text = ("the profile of %s has keep_alive = %s"):format(name, own.keep_alive), model = name }
    end
  end
  table.sort(out, function(a, b) return a.model < b.model end)
  local process = f.process and f.process.env.OLLAMA_KEEP_ALIVE
  if process and duration(process) >= 0 and duration(process) < M.KEEP then
    out[#out + 1] = { text = ("the server runs with OLLAMA_KEEP_ALIVE=%s"):format(process),
      inferred = ("the environment of process %d"):format(f.process.pid) }
  end
  local probed = f.probe and f.probe.keep_alive
  if probed then
    if probed < M.KEEP then
      out[#out + 1] = { text = probed == 0 and ("%s was unloaded right after its call"):format(f.probe.model)
        or ("after a call %s stays loaded for %d s"):format(f.probe.model, probed) }
    end
    return out
  end
  if out[1] then return out end
  local soon = {}
  for _, m in ipairs(f.server.ps or {}) do
    local at = look.parse_time(m.expires_at)
    if at and at > f.now and at - f.now < M.KEEP then soon[#soon + 1] = ("%s in %.0f s"):format(m.name, at - f.now) end
  end
  if soon[1] then
    out[1] = { note = true, text = ("unloaded soon if nobody asks: %s"):format(names(soon)),
      inferred = "/api/ps: it may also have been idle for minutes; stoke doctor --probe tells" }
  end
  return out
end

local function slots(f)
  if not f.server.reachable then return nil end
  local at_once = f.pool and f.pool.per_model or 2
  if f.probe and f.probe.slots then
    return f.probe.slots == 1 and { text = ("%s answers one call at a time"):format(f.probe.model) } or nil
  end
  if f.process then
    local n = tonumber(f.process.env.OLLAMA_NUM_PARALLEL or "")
    local version = version_number(f.server.version)
    if n == 1 or not n and version and version >= version_number "0.10.0" then
      return { text = ("the server gives each model one slot (OLLAMA_NUM_PARALLEL %s)"):format(n and "is 1" or "is not set"),
        inferred = ("the environment of process %d"):format(f.process.pid) }
    end
    if n then return nil end
  end
  return { note = true, text = ("not known: how many calls a model answers at once; stoke sends %d"):format(at_once),
    inferred = "nothing that the server tells; stoke doctor --probe asks with a few short calls" }
end

local function one_model(f)
  if not f.server.reachable or #f.server.list < 2 or #f.server.ps > 1 then return nil end
  if f.probe and f.probe.models then
    return f.probe.evicted and { text = ("%s had to go when %s was loaded"):format(f.probe.model, f.probe.other) } or nil
  end
  local set = f.process and tonumber(f.process.env.OLLAMA_MAX_LOADED_MODELS or "")
  if set == 1 then
    return { text = "the server holds one model at once (OLLAMA_MAX_LOADED_MODELS=1)",
      inferred = ("the environment of process %d"):format(f.process.pid) }
  end
  if set and set > 1 then return nil end
  return { note = true, text = ("not known: whether models stay in memory together; %s loaded now"):format(
    #f.server.ps == 1 and "one is" or "none is"),
    inferred = "/api/ps alone; stoke doctor --probe loads two" }
end

-- ---- the list ------------------------------------------------------------------------------------------------------------------

local WINDOW_WHY = ("instructions, tools and a conversation want %s or more; what does not fit falls out, oldest first"):format(
  count(M.WINDOW))

M.list = {
  { name = "settings", level = "error", kind = "usage",
    look = function(f) return f.problems end,
    say = function(x) return x.message end,
    why = "every other command ends with this error; here the setting is left out, and what follows is judged without it",
    cure = function(x) return x.hint or "correct it there, or take it out" end },
  { name = "proxy", level = "warning",
    look = function(f) return caught(f, f.server.url) end,
    say = function(x, f) return ("calls to %s go through the proxy %s (%s)"):format(f.server.url, x.proxy, x.variable) end,
    why = "the proxy may refuse or cut them, and its errors look like the server's",
    cure = function(x) return ("NO_PROXY=%s in the environment, beside what is in it"):format(x.host) end },
  { name = "address", level = "error", kind = "protocol",
    look = function(f) return unreachable(f) and f.server.elsewhere and f.server end,
    say = function(x)
      local what = explained(x)
      if what == "path" then
        local _, _, _, path = look.parts(x.url)
        return ("the address has the path %s; Ollama answers at %s"):format(path, x.elsewhere)
      end
      if what == "scheme" then
        return ("the scheme is wrong: what listens there speaks %s"):format(x.elsewhere:match "^%a+")
      end
      return ("Ollama answers at %s, not at %s"):format(x.elsewhere, x.url)
    end,
    why = function(x)
      return explained(x) == "path" and "stoke speaks Ollama's own API below /api; /v1 is for OpenAI's clients"
        or "nothing can be asked at the address that is set"
    end,
    cure = function(x, f) return ("%s=%s"):format(where_set(f), x.elsewhere) end },
  { name = "address", level = "error", kind = "protocol",
    look = function(f) return speaks_https(f) and f.server end,
    say = function(x) return ("%s speaks https, and was asked by http"):format(x.url:match "//(.*)") end,
    why = "nothing can be asked at the address that is set",
    cure = function(x, f) return ("%s=%s"):format(where_set(f), (x.url:gsub("^http:", "https:"))) end },
  { name = "other-server", level = "error", kind = "protocol",
    look = function(f)
      local a = unreachable(f) and f.server.answers
      return a and not a.ollama and not f.server.elsewhere and not speaks_https(f) and a
    end,
    say = function(x, f)
      local who = x.server and (", which says it is %s"):format(term.clean(x.server))
        or x.title and (', with a page "%s"'):format(term.clean(x.title)) or ""
      local to = x.location and (" and sends to %s"):format(term.clean(x.location)) or ""
      return ("something else than Ollama answers at %s: status %d%s%s"):format(f.server.url, x.status, who, to)
    end,
    why = "agents would get its pages instead of answers",
    cure = function(_, f)
      return ("%s=http://HOST:11434, Ollama's address; of a server of OpenAI's API: HOST:PORT/v1"):format(where_set(f))
    end },
  { name = "server", level = "error",
    look = function(f)
      if not unreachable(f) or f.server.elsewhere or f.server.answers and not f.server.answers.ollama then return nil end
      return f.server
    end,
    kind = function(x) return x.error.kind end,
    say = function(x)
      if x.error.kind == "refused" then return ("nothing listens at %s"):format(x.url) end
      if x.error.kind == "timeout" then return ("%s did not answer in time"):format(x.url) end
      return x.error.message
    end,
    why = "no model can be asked; scripts run with --sim alone",
    cure = function(x, f)
      if x.error.kind == "refused" then
        return f.process and ("process %d is an Ollama that listens elsewhere: see its OLLAMA_HOST"):format(f.process.pid)
          or "start it: ollama serve; is it elsewhere: OLLAMA_HOST=http://HOST:11434"
      end
      if x.error.kind == "timeout" then return "look at the server's load and the way to it; --wait SECONDS waits longer" end
      return x.error.hint or "check the address"
    end },
  { name = "every-interface", level = "note",
    look = function(f)
      local text = written(f) or ""
      return (text:find "0%.0%.0%.0" or text:find "^%[?::%]?" or text:find "//%[::%]") and { text = text }
    end,
    say = function(x, f) return ("%s is an address to listen on; as a client stoke reads it as %s"):format(x.text,
      f.server.url) end,
    why = "OLLAMA_HOST is read by the server and by its clients, and means different things to them",
    cure = function() return "OLLAMA_HOST=0.0.0.0 for the server alone; for clients the server's own address" end },
  { name = "slow", level = "warning",
    look = function(f) return f.server.reachable and f.server.seconds > 1 and f.server end,
    say = function(x) return ("the server took %.1f s to say its version"):format(x.seconds) end,
    why = "that costs no model anything: the machine or the way to it is overloaded, and each call pays for it",
    cure = function() return "look at what else runs there; timeouts = { connect = 10 } in stoke.config.lua waits longer" end },
  { name = "clock", level = "warning",
    look = function(f)
      local off = f.server.clock_behind
      return off and math.abs(off) > 60 and { off = off }
    end,
    say = function(x)
      return ("the server's clock is %s %s ours"):format(term.duration(math.abs(x.off)), x.off < 0 and "behind" or "ahead of")
    end,
    why = "certificates, the time a model is unloaded at, and logs of the two do not fit together",
    cure = function() return "set both clocks: timedatectl set-ntp true" end },
  { name = "old-server", level = "warning",
    look = function(f)
      local n = version_number(f.server.version)
      if not n then return nil end
      local missing = {}
      for _, feature in ipairs(FEATURES) do
        if n < version_number(feature[1]) then missing[#missing + 1] = feature[2] end
      end
      return missing[1] and { missing = missing }
    end,
    say = function(_, f) return ("Ollama %s is old"):format(f.server.version) end,
    why = function(x) return "it lacks " .. table.concat(x.missing, ", ") end,
    cure = function() return "update it: https://ollama.com/download" end },
  { name = "no-models", level = "error", kind = "http",
    look = function(f) return f.server.reachable and #f.server.list == 0 and f.server end,
    say = function() return "the server has no models" end,
    why = "there is nobody to ask",
    cure = function() return "stoke pull qwen2.5:3b" end },
  { name = "embedding-only", level = "error", kind = "http",
    look = function(f) return all_embed(f) and f.server end,
    say = function(x) return ("only embedding models are there: %s"):format(names(x.list)) end,
    why = "they make vectors; none of them can answer",
    cure = function() return "stoke pull qwen2.5:3b" end },
  { name = "no-tools", level = "warning",
    look = function(f)
      if all_embed(f) or not knows_capabilities(f) then return nil end
      for _, m in ipairs(f.server.list) do
        if has(m, "tools") or not m.capabilities then return nil end
      end
      return f.server
    end,
    say = function(x) return ("no model can call tools: %s"):format(names(x.list)) end,
    why = "an agent with tools fails at its first question",
    cure = function() return "stoke pull qwen2.5:3b, or another of https://ollama.com/search?c=tools" end },
  { name = "profile-model", level = "warning",
    look = function(f)
      if not f.server.reachable or #f.server.list == 0 then return nil end
      local there, out = {}, {}
      for _, m in ipairs(f.server.list) do there[options.canonical(m.name)] = true end
      for name in next, f.profiles do
        if not there[name] then out[#out + 1] = { name = name } end
      end
      table.sort(out, function(a, b) return a.name < b.name end)
      return out
    end,
    say = function(x) return ("the profile of %s is for a model that the server does not have"):format(x.name) end,
    why = "its settings are used by nobody, or the first call to it fails",
    cure = function(x, f)
      local all = {}
      for i, m in ipairs(f.server.list) do all[i] = m.name end
      local near = errors.suggest(x.name:gsub(":latest$", ""), all)
      return near and ("did you mean %s? (profiles in stoke.config.lua); or stoke pull %s"):format(near, x.name)
        or ("stoke pull %s, or take the profile out of stoke.config.lua"):format(x.name)
    end },
  { name = "window", level = "warning",
    look = small_windows,
    say = function(x)
      return ("%s %s a window of %s tokens"):format(x.model, x.loaded and "is loaded with" or "has in its profile", count(x.tokens))
    end,
    why = WINDOW_WHY,
    cure = function(x) return profile(x.model, ("num_ctx = %d"):format(M.WINDOW)) .. (x.own and "" or ", or "
      .. server_setting(("OLLAMA_CONTEXT_LENGTH=%d"):format(M.WINDOW))) end },
  { name = "window", level = "note",
    look = default_windows,
    say = function(x) return ("%s would be loaded with a window of about %s tokens"):format(x.model, count(x.tokens)) end,
    why = WINDOW_WHY,
    cure = function(x) return profile(x.model, ("num_ctx = %d"):format(M.WINDOW)) end },
  { name = "processor", level = "warning",
    look = function(f)
      local out = {}
      for _, m in ipairs(f.server.ps or {}) do
        local size, vram = m.size or 0, m.size_vram or 0
        if size > 0 and vram < size then
          out[#out + 1] = { model = m.name, size = size, vram = vram, note = vram <= 0 }
        end
      end
      return out
    end,
    say = function(x)
      if x.note then return ("%s runs on the processor alone (%s)"):format(x.model, term.bytes(x.size)) end
      return ("%s runs partly on the processor: %s of %s are in the GPU's memory (%d %%)"):format(x.model, term.bytes(x.vram),
        term.bytes(x.size), x.vram * 100 // x.size)
    end,
    why = function(x)
      return x.note and "without a GPU each token takes many times longer"
        or "each token waits for the slower part: often three to ten times slower than the whole in the GPU"
    end,
    cure = function(x)
      if x.note then return "a GPU that the server sees (its log says why not), or a smaller model" end
      return "a smaller model or quantization; a smaller num_ctx; fewer slots (OLLAMA_NUM_PARALLEL); OLLAMA_FLASH_ATTENTION=1 with "
        .. "OLLAMA_KV_CACHE_TYPE=q8_0; other models unloaded first"
    end },
  { name = "keep-alive", level = "warning",
    look = short_keeps,
    say = function(x) return x.text end,
    why = "a model that goes between two questions is loaded anew for each of them",
    cure = function(x)
      if x.model then return profile(x.model, 'keep_alive = "30m"') end
      return server_setting "OLLAMA_KEEP_ALIVE=30m" .. "; for one model: ollama.load { model =, keep_alive = \"30m\" }"
    end },
  { name = "slots", level = "warning",
    look = slots,
    say = function(x) return x.text end,
    why = "with one slot many agents wait for each other, and the batch that makes several as fast as one is never used",
    cure = function() return server_setting "OLLAMA_NUM_PARALLEL=4" .. "; then pool = { per_model = 4 } in stoke.config.lua" end },
  { name = "models-at-once", level = "warning",
    look = one_model,
    say = function(x) return x.text end,
    why = "agents on two models make the server load one in place of the other at each turn",
    cure = function() return server_setting "OLLAMA_MAX_LOADED_MODELS=3" .. ", if they fit; else one model for all agents" end },
  { name = "threads", level = "warning",
    look = function(f)
      local out = {}
      for name, own in next, f.profiles do
        if own.num_thread and own.num_thread > f.processors then out[#out + 1] = { model = name, threads = own.num_thread } end
      end
      table.sort(out, function(a, b) return a.model < b.model end)
      return out
    end,
    say = function(x, f)
      return ("the profile of %s has num_thread = %d; this machine has %d processors"):format(x.model, x.threads, f.processors)
    end,
    why = "threads that wait for each other on too few processors make a model many times slower",
    cure = function(x, f) return profile(x.model, ("num_thread = %d"):format(f.processors)) .. ", or leave it out" end },
  { name = "folder", level = "warning",
    look = function(f)
      local out = {}
      for _, folder in ipairs(f.folders) do
        if folder.problem then out[#out + 1] = folder end
      end
      return out
    end,
    say = function(x) return ("nothing can be written to the %s folder %s: %s"):format(x.name, x.path, x.problem) end,
    why = function(x) return ("it holds %s"):format(x.use) end,
    cure = function(x)
      local variable = x.name == "temp" and "TMPDIR" or x.name == "runtime" and "XDG_RUNTIME_DIR"
        or "XDG_" .. x.name:upper() .. "_HOME"
      return ("make it writable (chown, chmod u+w), or %s=/another/folder"):format(variable)
    end },
  { name = "disk", level = "warning",
    look = function(f)
      local out = {}
      for _, disk in ipairs(f.disks) do
        if disk.free < 1e9 or disk.free < disk.size / 50 then out[#out + 1] = disk end
      end
      return out
    end,
    say = function(x) return ("the disk of %s (%s) is nearly full: %s of %s free"):format(x.path, x.holds, term.bytes(x.free),
      term.bytes(x.size)) end,
    why = "models cannot be pulled, and files that are written whole fail",
    cure = function() return "make room: ollama rm NAME frees what a model takes; OLLAMA_MODELS moves them to another disk" end },
  { name = "store", level = "warning",
    look = function(f)
      local out = {}
      for _, store in ipairs(f.stores or {}) do
        if store.problems[1] then out[#out + 1] = store end
      end
      return out
    end,
    say = function(x)
      local more = #x.problems > 1 and (" (and %d problems more)"):format(#x.problems - 1) or ""
      return ("the durable runs in %s cannot all be read: %s%s"):format(x.path, x.problems[1], more)
    end,
    why = "runs whose records are damaged cannot go on, and cannot be played again",
    cure = function(x)
      return ("stop what uses it; `sqlite3 %s .recover | sqlite3 saved.db` saves what can be read, and --store saved.db uses that")
        :format(x.path)
    end },
  { name = "open-files", level = "warning",
    look = function(f) return f.open_files and f.open_files < 1024 and { most = f.open_files } end,
    say = function(x) return ("this process may open %d files and connections"):format(x.most) end,
    why = "each call, child program and client takes one or more",
    cure = function() return "ulimit -n 4096 before stoke starts (LimitNOFILE=4096 in a systemd unit)" end },
}

-- ---- judging -------------------------------------------------------------------------------------------------------------------

local function text(given, ...) return type(given) == "function" and given(...) or given end

---@class stoke.cmd.doctor.problem
---@field check string
---@field level "error"|"warning"|"note"
---@field what string
---@field why string
---@field set string what to set
---@field inferred? string what it was worked out of
---@field kind? string of an error: its exit code follows from that

--- Checks of what only an Ollama has, or tells.
local OWN = {}
for name in ([[every-interface old-server no-models embedding-only no-tools profile-model window processor keep-alive slots
  models-at-once threads]]):gmatch "%S+" do OWN[name] = true end

--- What is wrong, the worst first.
---@param facts stoke.cmd.doctor.facts
---@return stoke.cmd.doctor.problem[]
function M.run(facts)
  local found = { error = {}, warning = {}, note = {} }
  local other = facts.server.dialect ~= nil and facts.server.dialect ~= "ollama"
  for _, check in ipairs(M.list) do
    local subjects = not (other and OWN[check.name]) and check.look(facts) or nil
    if subjects and not (type(subjects) == "table" and (subjects[1] or next(subjects) == nil)) then subjects = { subjects } end
    for _, x in ipairs(subjects or {}) do
      local level = type(x) == "table" and x.note and "note" or check.level
      table.insert(found[level], { check = check.name, level = level, what = check.say(x, facts), why = text(check.why, x, facts),
        set = check.cure(x, facts), inferred = type(x) == "table" and x.inferred or nil, kind = text(check.kind, x, facts) })
    end
  end
  local out = {}
  for _, level in ipairs { "error", "warning", "note" } do table.move(found[level], 1, #found[level], #out + 1, out) end
  return out
end

--- The exit code of what was found: that of the first error's kind, else 0.
---@param problems stoke.cmd.doctor.problem[]
---@return integer
function M.exit(problems)
  for _, p in ipairs(problems) do
    if p.level == "error" then
      local kind = errors.kinds[p.kind]
      return p.kind == "timeout" and 4 or kind and kind.exit or 1
    end
  end
  return 0
end

return M
