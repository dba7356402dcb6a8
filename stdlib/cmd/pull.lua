-- stoke pull NAME

local args = require "stoke.args"
local errors = require "core.errors"
local json = require "core.json"
local ollama = require "stoke.ollama"
local stdio = require "core.stdio"
local term = require "stoke.term"

local SPEC = {
  name = "stoke pull", summary = "Download a model to the server. An interrupted pull resumes.",
  examples = { { "stoke pull qwen2.5:3b", "with a progress bar" },
               { "stoke pull qwen2.5:3b --json", "one JSON line per event" } },
  options = { { "json", type = "boolean", help = "print the server's events as JSON lines" } },
  positionals = { { "name", help = "the model, with or without its tag" } },
}

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local bar <close> = term.progress { unit = "bytes", lines = true }
  local last
  for ev in ollama.pull { model = a.name } do
    last = ev.status
    if a.json then
      stdio.write(json.encode(ev) .. "\n")
    elseif ev.status ~= "success" then
      bar:update(ev.status or "", ev.completed, ev.total)
    end
  end
  if last ~= "success" then
    errors.raise("incomplete", ("the pull of %s ended without success after '%s'")
                 :format(a.name, last or "nothing"), { hint = "run it again: it resumes" })
  end
  bar:finish()
  if not a.json then stdio.write(("%s is ready: stoke chat %s\n"):format(a.name, a.name)) end
end
