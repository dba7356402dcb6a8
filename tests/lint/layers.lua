-- Who may know whom: agents -> stdlib -> lua -> host bindings -> task, op, call and engines -> base.
-- The rules are the tables below; everything else is reading includes and requires.
local source = require "source"

-- Lua: the first pattern that matches the path decides; a module is allowed when one of the patterns matches its name.
local REQUIRES = {
  { path = "^lua/boot%.lua$", allow = { "^core%.", "^host%.", "^stoke%.cmd$" },
    mend = "boot starts the first task, stoke.cmd, and knows nothing else of stdlib" },
  { path = "^lua/", allow = { "^core%.", "^host%." },
    mend = "the core knows only core.* and host.*; move this to stdlib/, or hand it in as an argument" },
  { path = "^stdlib/", allow = { "^stoke$", "^stoke%.", "^core%." },
    mend = "stdlib uses stoke.* and core.*; reach the host through an effect, or a one-line module in lua/" },
  { path = "^agents/", allow = { "^stoke$", "^stoke%.", "^cjson" },
    mend = "an agent requires stoke and stoke.* alone, as any script does" },
}

-- C, the rooms of host/. A file belongs to the first room whose pattern matches its name without folder and ending.
-- `headers`: own headers it must not include. `lua`: may it name Lua at all?
local CORE = { "^op%.h$", "^task%.h$", "^call%.h$", "^state%.h$" }
local ROOMS = {
  { name = "binding", match = { "^l_" }, lua = true, headers = {} },
  { name = "start", match = { "^main$", "^luabox$" }, lua = true, headers = {} },
  { name = "core", lua = true, headers = { "^l_" },
    match = { "^state$", "^hostlibs$", "^loop$", "^task$", "^op$", "^call$", "^err$", "^host$", "^watchdog$" } },
  { name = "base", match = { "^base$", "^mem$", "^timers$", "^embed$" }, lua = false,
    headers = { "^l_", "^net", "^httpd", "^lines", "^json", "^proc", "^fs", table.unpack(CORE) } },
  { name = "engine", match = { "" }, lua = false, headers = { "^l_", table.unpack(CORE) } },
}

-- A library's headers stay behind the engine that owns it; l_about tells the versions of all.
local LIBRARIES = {
  { header = "^curl/", owners = { "^net_curl", "^l_about$" }, mend = "talk to it through host/net.h" },
  { header = "^microhttpd", owners = { "^httpd", "^l_about$" }, mend = "talk to it through host/httpd.h" },
  { header = "^openssl/", owners = { "^hash", "^l_about$" }, mend = "talk to it through host/hash.h" },
}

local function any(patterns, name)
  for _, p in ipairs(patterns) do
    if name:find(p) then return true end
  end
  return false
end

local function check_lua(path, text, report)
  local rule
  for _, r in ipairs(REQUIRES) do
    if path:find(r.path) then rule = r break end
  end
  if not rule then return end
  local code = source.code(path, text, true)
  code = code:gsub("%[=+%[.-%]=+%]", function(whole) return (whole:gsub("[^\n]", " ")) end) -- a file in a text: no require of ours
  for n, line in source.lines(code) do
    for name in line:gmatch "%f[%w_]require%s*%(?%s*[\"']([^\"']*)[\"']" do
      if not any(rule.allow, name) then
        report(path, n, ("requires '%s'"):format(name), rule.mend)
      end
    end
  end
end

local function room_of(base)
  for _, room in ipairs(ROOMS) do
    if any(room.match, base) then return room end
  end
end

local function check_include(base, room, header)
  if any(room.headers, header) then
    return ("includes %s, which this room (%s) lies below"):format(header, room.name),
           "hand it in as a pointer or a callback, or move the code to a binding (host/l_*.c)"
  end
  if not room.lua and (header:find "^lua" or header:find "^lauxlib") then
    return ("includes %s, but this room (%s) knows no Lua"):format(header, room.name),
           "return plain values or fill a struct err; push them in host/l_*.c"
  end
  for _, library in ipairs(LIBRARIES) do
    if header:find(library.header) and not any(library.owners, base) then
      return ("includes %s, which belongs to another engine"):format(header), library.mend
    end
  end
end

local function check_c(path, text, report)
  local base = path:match "([^/]*)%.[ch]$"
  if not path:find "^host/[^/]*$" then return end -- host/embed/ holds a build tool
  local room = room_of(base)
  for n, line in source.lines(source.code(path, text, true)) do
    local header = line:match "^%s*#%s*include%s*[\"<]([^\">]+)[\">]"
    if header then
      local what, mend = check_include(base, room, header)
      if what then report(path, n, what, mend) end
    end
  end
  if room.lua then return end
  for n, line in source.lines(source.code(path, text)) do
    local word = line:match "%f[%w_](luaL?_%w+)"
    if word then
      report(path, n, ("names %s, but this room (%s) knows no Lua"):format(word, room.name),
             "return plain values; push them in host/l_*.c")
    end
  end
end

return {
  name = "layers",
  folders = { "host", "lua", "stdlib", "agents" },
  endings = { "c", "h", "lua" },
  check = function(path, text, report)
    if path:find "%.lua$" then check_lua(path, text, report) else check_c(path, text, report) end
  end,
}
