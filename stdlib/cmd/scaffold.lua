-- stoke init [FOLDER]: creates a project: an agent with a tool, the script that runs it, a test, and editor settings.

local args = require "stoke.args"
local doc = require "stoke.doc"
local errors = require "core.errors"
local ordered = require "core.ordered"
local fs = require "stoke.fs"
local json = require "stoke.json"
local stdio = require "core.stdio"

local SPEC = {
  name = "stoke init", summary = "Make a folder with an agent, its test and what an editor needs. Nothing is overwritten.",
  examples = { { "stoke init town", "then: cd town && stoke test && stoke run --sim" },
               { "stoke init", "in this folder" } },
  options = { { "types", type = "boolean", help = "write the definition files in .stoke/types anew, and nothing else" } },
  positionals = { { "folder", default = ".", help = "made when it is not there" } },
}

local AGENT = [==[
-- An agent with a tool. main.lua asks it, agent_test.lua tests it.
local stoke = require "stoke"

--- Current weather in a city.
---@param city string name of the city
local function get_weather(city)
  return ("4 degrees and rain in %s"):format(city) -- ask a real service here: stoke.http.get(...)
end

return stoke.agent {
  name = "weather",
  model = "qwen2.5:3b",
  instructions = "You tell people what to wear. Look at the weather before you answer, in one sentence.",
  tools = { get_weather },
}
]==]

local MAIN = [==[
-- `stoke main.lua [QUESTION]` asks the model, `stoke run --sim` answers without a model server.
local stoke = require "stoke"
local weather = require "agent"

stoke.main(function(args)
  local question = args[1] or "What shall I wear in Oslo today?"
  for ev in weather:stream(question) do
    if ev.type == "tool_call" then print(("(%s %s)"):format(ev.name, stoke.json.encode(ev.arguments))) end
    if ev.type == "text" then io.write(ev.text) end
    if ev.type == "done" then print() end
  end
end)
]==]

local TEST = [==[
-- `stoke test` runs this; no model is asked: the answers are written here.
local test = require "stoke.test"
local weather = require "agent"

test("weather: looks at the weather before it answers", function(t)
  t.model { { tool = "get_weather", args = { city = "Oslo" } }, "Take a coat." }
  t.eq(weather:run("What shall I wear in Oslo?").text, "Take a coat.")
  t.called("get_weather", { city = "Oslo" })
end)

test("weather: a city that is missing is asked for again", function(t)
  local model = t.model { { tool = "get_weather", args = {} }, "Which city?" }
  t.eq(weather:run("What shall I wear?").text, "Which city?")
  t.eq(model.calls, 2)
end)
]==]

local README = [==[
# %s

An agent for stoke that tells people what to wear.

- `stoke run --sim` runs it on the simulator; `stoke main.lua "And in Rome?"` asks Ollama (`stoke pull qwen2.5:3b`).
- `stoke test` tests it, without a model.
- agent.lua is the agent and its tool, main.lua the script, agent_test.lua the test.
- .stoke/types tells lua-language-server what stoke offers; `stoke init --types` writes it anew.
- `stoke help stoke.agent` shows what an agent may have, `stoke help NAME` anything else.
]==]

-- The files, by path below the folder.
local function files(name)
  return {
    ["agent.lua"] = AGENT, ["main.lua"] = MAIN, ["agent_test.lua"] = TEST, ["README.md"] = README:format(name),
    [".gitignore"] = "*.log\n/trace.jsonl\n/lua_modules/\n",
    [".luarc.json"] = json.encode(json.object({
      ["runtime.version"] = "Lua 5.4", ["workspace.library"] = json.array { ".stoke/types" },
      ["workspace.checkThirdParty"] = false }), { pretty = true }) .. "\n",
  }
end

-- What each module offers, for lua-language-server.
local function add_types(out)
  for path, text in pairs(doc.definitions()) do out[".stoke/types/" .. path] = text end
  return out
end

-- Nothing is written before it is known that nothing is in the way.
local function check_free(folder, paths)
  local stat = fs.stat(folder)
  if stat and stat.type ~= "directory" then
    errors.raise("usage", ("%s is there already, and is no folder"):format(folder))
  end
  for _, path in ipairs(paths) do
    if fs.stat(folder .. "/" .. path, { link = true }) then
      errors.raise("usage", ("%s/%s is there already"):format(folder, path),
                   { hint = "nothing was changed; stoke init NAME makes a new folder" })
    end
  end
end

local function base_name(folder)
  if folder == "." then folder = os.getenv "PWD" or "agent" end
  return folder:match "([^/]+)/*$" or "agent"
end

local function write(folder, made)
  for _, path in ipairs(ordered.names(made)) do
    local whole = folder .. "/" .. path
    fs.mkdir(whole:match "^(.*)/", { parents = true })
    fs.write(whole, made[path])
  end
end

---@param argv string[]
---Raises `usage` when a file is there already.
local function main(argv)
  local a = args.parse(SPEC, argv)
  local folder = a.folder ~= "/" and a.folder:gsub("/+$", "") or a.folder
  if a.types then
    write(folder, add_types {})
    return stdio.write(("%s/.stoke/types: for stoke %s\n"):format(folder, require "stoke".version))
  end
  local made = add_types(files(base_name(folder)))
  check_free(folder, ordered.names(made))
  write(folder, made)
  local cd = folder ~= "." and ("cd %s && "):format(folder) or ""
  stdio.write(("%s: agent.lua, main.lua, agent_test.lua, README.md, .gitignore, .luarc.json, .stoke/types\n"
    .. "next: %sstoke test && stoke run --sim\n"):format(folder, cd))
end

return { main = main, files = files }
