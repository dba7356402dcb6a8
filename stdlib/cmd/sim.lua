-- stoke sim [--port N] [--model NAME[,key=value...]]... [--fault KIND] ...

local args = require "stoke.args"
local config = require "stoke.config"
local errors = require "core.errors"
local stdio = require "core.stdio"

local SPEC = {
  name = "stoke sim",
  summary = "Serve a simulated Ollama. Its first line is its address; it runs until stopped.",
  examples = {
    { "stoke sim", "on port 11434, with a few models" },
    { "stoke sim --port 0 --model tiny,tps=500 --slots 4", "any free port, one fast model" },
    { "stoke sim --fault reset:0.1", "a tenth of the streams break" },
    { "stoke sim --fault runner-dies-mid:0.1", "a tenth of the calls take their model's process along" },
    { "stoke sim --like 0.17 --slots 4 --model gemma,family=gemma3", "an old server without a GPU, its own engine" },
    { "stoke sim --script replies.lua", "answers from a script" },
  },
  options = {
    { "port", type = "integer", default = 11434, help = "0 takes any free one" },
    { "model", type = "list", placeholder = "NAME[,key=value...]",
      help = "a model to have, may be repeated; keys: tps, prefill, load, caps, size, fault, family, engine (llama or ollama, "
        .. "like 0.17), batch, ..." },
    { "like", placeholder = "VERSION", help = "whose habits: 0.30 (the newest, default), 0.17 (measured on a processor), or a "
      .. "whole version: error texts, fields, prefix cache, cancelling of prompts, embeddings of chat models, load_duration" },
    { "gpus", type = "integer", help = "default 1, like 0.17: 0; without one nothing waits for video memory, and streams of one "
      .. "model slow each other more" },
    { "slots", type = "integer", default = 1, help = "requests a model works on at once" },
    { "max-loaded", type = "integer", default = 3, help = "models in memory at once" },
    { "max-queue", type = "integer", default = 512, help = "requests that may wait for a load" },
    { "load-seconds", type = "number", placeholder = "S", help = "how long a model takes to load" },
    { "tokens-per-second", type = "number", placeholder = "N", help = "speed of every model; 0 = at once" },
    { "script", placeholder = "FILE", help = "a Lua file returning a list of replies or a function" },
    { "fault", placeholder = "KIND", help = "404 429 500 503, 429-wait 503-wait (with Retry-After), hang hang-mid reset "
      .. "error-line silent-end html slow cuts nondone "
      .. "runner-dies runner-dies-mid server-dies; KIND:0.1 strikes a tenth of the requests" },
  },
}

local function load_script(path)
  if not path then return nil end
  local script, err = require "stoke.sim.script".load(path)
  if not script then error(err, 0) end
  return script
end

-- A bad model or fault came from the command line: a usage error, not one of a script.
local function serve(options)
  local ok, server = pcall(require "stoke.sim".serve, options)
  if ok then return server end
  local err = server
  if errors.is(err) and err.kind == "argument" then
    errors.raise("usage", (err.message:gsub("^sim%.%w+: ", "")), { hint = err.hint })
  end
  error(err, 0)
end

local JITTER = 0.004 -- seconds; handlers of a real server do not end in the order in which they began

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local chosen = a.model
  local server <close> = serve {
    port = a.port, models = chosen and #chosen > 0 and chosen or nil, slots = a.slots,
    max_loaded = a.max_loaded, max_queue = a.max_queue, load_seconds = a.load_seconds,
    tokens_per_second = a.tokens_per_second, script = load_script(a.script), fault = a.fault,
    like = a.like, gpus = a.gpus, seed = tonumber(config.flags().seed), jitter = JITTER,
  }
  stdio.write(("http://127.0.0.1:%d\n"):format(server.port))
  require "core.task".park "sim.serve"
end
