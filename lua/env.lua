--- The script's environment: every standard function is kept, made an effect, or refused with what to use instead.
---
--- Globals are strict: reading an undefined one and assigning a new one inside a function are errors. `require` is replaced, so
--- that a module's body may wait.

local host = require "host.task"
local coro = require "core.coro"
local effect = require "core.effect"
local envfile = require "core.envfile"
local errors = require "core.errors"
local frames = require "core.frame"
local garbage = require "core.garbage"
local input = require "core.driver.input"
local modules = require "core.modules"
local ordered = require "core.ordered"
local spelling = require "core.names"
local scopes = require "core.scope"
local source = require "core.source"
local stdio = require "core.stdio"
require "core.driver.env"
require "core.driver.fs"
require "core.driver.rand"
require "core.driver.time"

local M = {}

local function copy(from, names)
  local out = {}
  for name in names:gmatch "%S+" do out[name] = from[name] end
  return out
end

local function refuse(name, instead)
  return function()
    errors.argument("%s is not available to scripts: %s", name, instead)
  end
end

local function perform(name, q) return errors.check(effect.perform(name, q)) end

-- ---- kept as they are -----------------------------------------------------------------------------------------------------

local G = copy(_G, [[_VERSION assert error getmetatable ipairs rawequal rawget rawlen rawset select
  tonumber tostring type warn]])
M.globals = G
G.pairs, G.next = ordered.pairs, ordered.next
G.collectgarbage = garbage.collectgarbage

local finalizers = setmetatable({}, { __mode = "k" })

--- Lua runs finalizers with hooks disabled, so an endless one could not be interrupted. In a coroutine of its own it can; its
--- error is reported on standard error.
local function finalizer(f)
  local function run(object)
    local ok, err = coro.coroutine.resume(coro.coroutine.create(f), object)
    if not ok then pcall(stdio.err, ("stoke: a finalizer (__gc) failed: %s\n"):format(tostring(err))) end
  end
  finalizers[run] = true
  return run
end

function G.setmetatable(t, ...)
  local meta = ...
  local gc, mode
  if type(meta) == "table" then gc, mode = rawget(meta, "__gc"), rawget(meta, "__mode") end
  if gc or mode then garbage.check(gc, mode) end
  if gc and type(gc) == "function" and not finalizers[gc] then rawset(meta, "__gc", finalizer(gc)) end
  return setmetatable(t, ...)
end
G._G = G
G.string = copy(string, "byte char find format gmatch gsub len lower match pack packsize rep reverse sub unpack upper")
G.table = copy(table, "concat insert move pack remove sort unpack")
G.utf8 = copy(utf8, "char charpattern codepoint codes len offset")
G.math = copy(math, [[abs acos asin atan ceil cos deg exp floor fmod huge log max maxinteger min mininteger modf pi rad sin
  sqrt tan tointeger type ult]])
setmetatable(string, { __index = G.string }) -- functions that a script adds to `string` are methods of its strings too
G.debug = copy(debug, "getinfo traceback getlocal getmetatable getupvalue upvalueid")
G.coroutine, G.pcall, G.xpcall = coro.coroutine, coro.pcall, coro.xpcall

-- ---- made effects -----------------------------------------------------------------------------------------------------------

G.print = stdio.print
local function integer(value, position)
  local n = math.tointeger(value)
  if not n then errors.argument("math.random: argument %d must be an integer, got %s", position, tostring(value)) end
  return n
end
G.math.random = function(low, high)
  if low == nil then return perform("rand.float") end
  if high == nil then
    if low == 0 then return perform("rand.int", { low = math.mininteger, high = math.maxinteger }) end
    low, high = 1, integer(low, 1)
  end
  low, high = integer(low, 1), integer(high, 2)
  if low > high then errors.argument("math.random: no integer between %d and %d", low, high) end
  return perform("rand.int", { low = low, high = high })
end
G.math.randomseed = function(seed) perform("rand.seed", { seed = math.tointeger(seed) or 0 }) end

G.os = { difftime = os.difftime }

--- Results that depend on the time zone are an effect where effects are recorded; `value` is the result on this machine.
local function zoned(value, q)
  local me = host.current()
  if not me or not (me.scope or me).context.gated then return value end
  return perform("time.zone", q)
end

function G.os.time(t)
  if not t then return math.floor(perform "time.now") end
  if type(t) ~= "table" then return os.time(t) end -- raises Lua's own message
  local fields = { year = t.year, month = t.month, day = t.day, hour = t.hour, min = t.min, sec = t.sec, isdst = t.isdst }
  return zoned(os.time(t), { fields = fields })
end
function G.os.date(format, t)
  t = t or G.os.time()
  local value = os.date(format, t)
  if type(format) == "string" and format:sub(1, 1) == "!" then return value end
  return zoned(value, { date = format or "%c", time = t })
end
function G.os.clock() return perform "time.cpu" end
function G.os.getenv(name) return perform("env.get", { name = name }) end
function G.os.exit(code)
  if code == nil or code == true then code = 0 elseif code == false then code = 1 end
  local number = math.tointeger(code)
  if not number then errors.argument("os.exit: the code must be a whole number, got %s", errors.describe(code)) end
  if modules.change then scopes.deliver(host.current()) end -- a reload runs the body again
  if not frames.current() or frames.inside_body() then require "core.keeper".exit(number & 255) end -- else its run ends with it
  local me = require "core.task".current()
  if me then scopes.unwind(me) end -- `<close>` handlers run during the error raised below
  errors.raise("exit", "the script called os.exit", { code = number & 255 })
end
-- The standard functions return nil and a message where ours raise.
local function told(value, err)
  if err then return nil, err.message, err.code end
  return value == nil and true or value
end
function G.os.remove(path) return told(effect.perform("fs.remove", { path = path })) end
function G.os.rename(from, to) return told(effect.perform("fs.rename", { from = from, to = to })) end
G.string.dump = refuse("string.dump", "code is loaded as text only")
for name, instead in next, {
  debug = "help is in the traceback and in stoke.tasks()", sethook = "a watchdog reports what never waits",
  gethook = "a watchdog reports what never waits", getregistry = "it is the runtime's", setmetatable = "use setmetatable",
  setlocal = "write to the variable", setupvalue = "write to the variable", upvaluejoin = "pass the value",
  getuservalue = "it is the C module's", setuservalue = "it is the C module's",
} do
  G.debug[name] = refuse("debug." .. name, instead)
end
G.os.execute = refuse("os.execute", "stoke.proc runs programs, without a shell")
G.os.tmpname = refuse("os.tmpname", "choose a name below os.getenv 'TMPDIR'")
G.os.setlocale = refuse("os.setlocale", "numbers would be read and written differently")

G.io = {}
function G.io.write(...)
  stdio.write(...)
  return G.io.stdout
end
function G.io.read(what)
  what = type(what) == "string" and what:gsub("^%*", "") or what or "l"
  if what == "l" then return input.read "line" end
  if what == "L" then
    local line = input.read "line"
    return line and line .. "\n"
  end
  if what == "a" then return input.read "all" end
  if what == "n" then return tonumber(input.read "line" or "") end
  if math.type(what) == "integer" then return input.read(what) end
  errors.argument("io.read: the format must be 'l', 'L', 'a', 'n' or a number of bytes")
end
function G.io.lines(path)
  if not path then return function() return input.read "line" end end
  return perform("fs.read", { path = path }):gmatch "([^\n]*)\n?"
end
local Out = { __index = {}, __name = "stoke.output" }
function Out.__index:write(...)
  local parts = { ... }
  for i = 1, #parts do parts[i] = tostring(parts[i]) end
  self.put(table.concat(parts))
  return self
end
function Out.__index.flush(self) return self end
function Out.__index.setvbuf() return true end
G.io.stdout = setmetatable({ put = stdio.write }, Out)
G.io.stderr = setmetatable({ put = stdio.err }, Out)
G.io.stdin = { read = function(_, what) return G.io.read(what) end, lines = function() return G.io.lines() end }
G.io.open = refuse("io.open", "stoke.fs reads and writes whole files")
G.io.popen = refuse("io.popen", "stoke.proc runs programs, without a shell")
G.io.tmpfile = refuse("io.tmpfile", "stoke.fs writes files")
G.io.input = refuse("io.input", "io.read reads standard input, stoke.fs files")
G.io.close = refuse("io.close", "standard input and output stay open; stoke.fs closes what it opens")
G.io.type = refuse("io.type", "there are no file handles; stoke.fs reads and writes whole files")
function G.io.flush() return G.io.stdout end -- io.write does not buffer in Lua
G.io.output = refuse("io.output", "io.write writes standard output, stoke.fs files")

-- ---- loading code: text only ------------------------------------------------------------------------------------------------

function G.load(chunk, name, mode, env)
  if mode and mode ~= "t" then errors.argument("load: only text can be loaded, not mode %q", mode) end
  if type(chunk) == "function" then
    local parts = {}
    for part in chunk do
      if part == "" then break end
      parts[#parts + 1] = part
    end
    chunk = table.concat(parts)
  end
  local loaded, message = load(chunk, name, "t", env == nil and G or env)
  if loaded and type(name) == "string" and name:sub(1, 1) == "@" then source.remember(name, chunk) end
  return loaded, message
end
local function load_file(path, env)
  local code, err = effect.perform("fs.read", { path = path })
  if err then return nil, err.message end
  local chunk, message = G.load(source.code(code), "@" .. path, "t", env)
  return chunk, message, code
end
function G.loadfile(path, _, env)
  local chunk, message = load_file(path, env)
  return chunk, message
end
function G.dofile(path)
  local chunk, message = G.loadfile(path)
  if not chunk then error(message, 2) end
  return chunk()
end

-- ---- require ------------------------------------------------------------------------------------------------------------------

--- true lets scripts require core.* and host.*; for stoke's own tests.
M.internal = false

local folder = "."
local loading = {} -- module -> { task that loads it, waiters }
local wanted = setmetatable({}, { __mode = "k" }) -- task -> the module it waits for
G.package = { loaded = {}, preload = {}, config = package.config, cpath = package.cpath, path = "" }
for _, name in ipairs { "string", "table", "utf8", "math", "os", "io", "coroutine", "debug", "package" } do
  G.package.loaded[name] = G[name]
end
G.package.loaded._G = G
G.package.loadlib = refuse("package.loadlib", "require loads C modules")
G.package.searchpath = refuse("package.searchpath", "require searches; package.path says where")
G.package.searchers = setmetatable({}, { __newindex = refuse("package.searchers", "put loaders into package.preload") })

--- The system Lua's search path, or LUA_PATH. Lua reads LUA_PATH when it starts, so values from --env-file must be applied here.
local function system_path(variable, standard)
  for _, name in ipairs { variable .. "_5_4", variable } do
    local path = envfile.origin(name) and os.getenv(name)
    if path then return ((";" .. path .. ";"):gsub(";;", ";" .. standard .. ";")) end
  end
  return standard
end

--- Join search paths, without duplicate templates.
local function join_templates(list)
  local out, seen = {}, {}
  for _, path in ipairs(list) do
    for template in path:gmatch "[^;]+" do
      if not seen[template] then
        seen[template] = true
        out[#out + 1] = template
      end
    end
  end
  return table.concat(out, ";")
end

--- Set the search path of require: the script's folder, the current folder, lua_modules of both, the system Lua's path.
function M.set_folder(path)
  folder = path
  local own, shared = {}, {}
  for i, place in ipairs { folder, "." } do
    own[i] = ("%s/?.lua;%s/?/init.lua"):format(place, place)
    own[i + 2] = ("%s/lua_modules/share/lua/5.4/?.lua;%s/lua_modules/share/lua/5.4/?/init.lua"):format(place, place)
    shared[i] = ("%s/lua_modules/lib/lua/5.4/?.so"):format(place)
  end
  own[5], shared[3] = system_path("LUA_PATH", package.path), system_path("LUA_CPATH", package.cpath)
  G.package.path, G.package.cpath = join_templates(own), join_templates(shared)
end

local function from_file(name, tried)
  for template in G.package.path:gmatch "[^;]+" do
    local path = template:gsub("%?", (name:gsub("%.", "/")))
    local stat = effect.perform("fs.stat", { path = path })
    if stat and stat.type == "file" then
      local chunk, message, code = load_file(path)
      if not chunk then
        modules.broken = path
        errors.raise("script", message, { hint = code and spelling.syntax(message, code) })
      end
      return chunk, path, code
    end
    tried[#tried + 1] = path
  end
end

local function from_library(name, tried)
  local path, message = package.searchpath(name, G.package.cpath)
  if not path then
    tried[#tried + 1] = (message:gsub("^%s*no file '", ""):gsub("'\n%s*no file '", ", "):gsub("'$", ""))
    return
  end
  local open = "luaopen_" .. name:gsub("^.*%-", ""):gsub("%.", "_")
  local f, why = package.loadlib(path, open)
  if not f then errors.raise("script", ("module '%s' cannot be loaded from %s: %s"):format(name, path, why)) end
  modules.native = true
  return f, path
end

--- A similar module name, for did-you-mean.
local function instead(name)
  if name:find "%.lua$" then return ("a module is named without .lua: require %q"):format((name:gsub("%.lua$", ""))) end
  for _, known in ipairs(require "host.about".modules()) do
    if known == "stoke." .. name then return ("it is part of stoke: require %q"):format(known) end
  end
end

--- Find a module.
---@param name string
---@return function chunk
---@return string path
---@return string|nil text of a Lua file
---Raises `script`.
function M.find(name)
  if G.package.preload[name] then return G.package.preload[name], ":preload:" end
  local tried = {}
  local chunk, path, text = from_file(name, tried)
  if not chunk then chunk, path = from_library(name, tried) end
  if chunk then return chunk, path, text end
  local meant = instead(name)
  errors.raise("script", ("module '%s' not found"):format(name),
    { hint = meant or "looked for " .. table.concat(tried, ", "), where = errors.site() })
end

local function ours(name)
  local ok, module = pcall(require, name)
  if ok then return module end
  if tostring(module):find("module '" .. name .. "' not found", 1, true) then
    local near = errors.suggest(name, require "host.about".modules())
    errors.raise("script", ("the runtime has no module '%s'%s"):format(name, near and (" (did you mean '%s'?)"):format(near)
      or ""), { hint = not near and "stoke help stoke lists them" or nil, where = errors.site() })
  end
  error(module, 0)
end

--- Would waiting here deadlock (a require cycle across tasks)?
local function circular(name, me)
  local entry = loading[name]
  while entry do
    if entry.task == me then return true end
    local module = wanted[entry.task]
    entry = module and loading[module]
  end
  return false
end

local function wait_for_loading(name, me)
  if circular(name, me) then
    errors.raise("script", ("module '%s' requires itself, directly or through others"):format(name))
  end
  wanted[me] = name
  local _ <close> = setmetatable({}, { __close = function() wanted[me] = nil end })
  scopes.deliver(me)
  host.enter("require " .. name)
  local woken, err = scopes.queue_up(loading[name], me, "require " .. name)
  if woken == nil then
    scopes.deliver(me)
    error(err, 0)
  end
end

--- Built-in modules need no file, so they can be loaded even while a reload runs a body again.
local function is_ours(name)
  return name == "stoke" or name == "cjson.safe" or name:find "^stoke%." or name:find "^core%." or name:find "^host%."
end

--- Run the body of a module.
local function run_body(name, chunk, path, text)
  if not text then return chunk(name, path) end
  local file = modules.file(name, path, text)
  local _ <close> = modules.enter(file)
  local value = chunk(name, path)
  file.value = value == nil and true or value
  return value
end

--- Load a module, or wait for the task that is loading it.
local function load_module(name, me)
  local loaded = G.package.loaded
  while loading[name] do
    wait_for_loading(name, me)
    if loaded[name] ~= nil then return loaded[name] end
  end
  local entry = { task = me }
  loading[name] = entry
  local _ <close> = setmetatable({}, { __close = function()
    me.finding, loading[name] = nil, nil
    scopes.wake_all(entry)
  end })
  me.finding = true -- effects of the search are not effects of the body
  local chunk, path, text = M.find(name)
  me.finding = nil
  local value = run_body(name, chunk, path, text)
  if value ~= nil then loaded[name] = value elseif loaded[name] == nil then loaded[name] = true end
  return loaded[name], path
end

--- Load a built-in module.
local function load_builtin(name)
  if name == "cjson.safe" then -- lives in cjson.so
    return package.loadlib(package.searchpath("cjson", G.package.cpath) or "", "luaopen_cjson_safe")()
  end
  local module = ours(name)
  return name:find "^stoke%.%l+$" and name ~= "stoke.cmd" and spelling.seal(name, module) or module
end

--- The journal of the run that a task belongs to, unless the task is inside an effect of that run.
local function journal_of(task)
  local context = task and (task.scope or task).context
  return context and not context.inside and context.journal or nil
end

--- Like Lua's require, but a module's body may wait, and tasks that require the same module at once share one load.
function G.require(name)
  if type(name) ~= "string" then errors.argument("require: a module name expected, got %s", type(name)) end
  local loaded = G.package.loaded
  local body = modules.body()
  if body then
    body.requires[name] = true
    if modules.change and not is_ours(name) then return modules.change:require(name) end
  end
  local me = host.current()
  local journal = journal_of(me)
  if loaded[name] ~= nil and (not journal or is_ours(name)) then return loaded[name] end
  if name:find "^core%." or name:find "^host%." then
    if M.internal then return require(name) end
    errors.argument("module '%s' belongs to the runtime; scripts use stoke.*", name)
  end
  if name == "stoke" or name:find "^stoke%." or name == "cjson.safe" and not package.searchpath(name, G.package.cpath) then
    loaded[name] = load_builtin(name)
    return loaded[name]
  end
  if not me then errors.argument("require waits, so it can only be called inside a task") end
  if journal then return journal:require(name, loaded[name], function() return (load_module(name, me)) end) end
  return load_module(name, me)
end

-- ---- strict globals ------------------------------------------------------------------------------------------------------------

local function global_names()
  local list = {}
  for name in next, G do if type(name) == "string" then list[#list + 1] = name end end
  table.sort(list)
  return list
end

setmetatable(G, {
  __index = function(_, name)
    local meant = type(name) == "string" and spelling.global(name, global_names())
    error(("undefined variable '%s'%s"):format(tostring(name), meant and (" (%s)"):format(meant) or ""), 2)
  end,
  __newindex = function(_, name, value)
    local info = debug.getinfo(2, "S")
    if info and info.what ~= "main" and info.what ~= "C" then
      error(("assignment to the undeclared global '%s' inside a function; write `local %s`, or assign it once at the top of "
        .. "the file"):format(tostring(name), tostring(name)), 2)
    end
    rawset(G, name, value)
  end,
})

M.set_folder "."

return M
