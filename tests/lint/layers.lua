-- Who may know whom: agents -> stdlib -> lua -> host/bind -> the engines of host/ -> host/loop -> base.h.
-- The rules are the tables below; everything else is reading includes and requires.
local source = require "source"

-- Lua: the first pattern that matches the path decides; a module is allowed when one of the patterns matches its name.
local REQUIRES = {
  { path = "^lua/boot%.lua$", allow = { "^core%.", "^host%.", "^stoke%.cmd$" },
    mend = "boot starts the first task, stoke.cmd, and knows nothing else of stdlib" },
  { path = "^lua/embedder%.lua$", allow = { "^core%.", "^host%.", "^stoke%.cmd$" },
    mend = "the embedder puts flags into force by stoke.cmd, and knows nothing else of stdlib" },
  { path = "^lua/", allow = { "^core%.", "^host%." },
    mend = "the core knows only core.* and host.*; move this to stdlib/, or hand it in as an argument" },
  { path = "^stdlib/", allow = { "^stoke$", "^stoke%.", "^core%." },
    mend = "stdlib uses stoke.* and core.*; reach the host through an effect, or a one-line module in lua/" },
  { path = "^agents/", allow = { "^stoke$", "^stoke%.", "^cjson" },
    mend = "an agent requires stoke and stoke.* alone, as any script does" },
}

-- C, the rooms of host/: a folder each; the top is main and state. `uses`: rooms whose headers a room includes beside its own and
-- base.h. `lua`: may it name Lua?
local ROOMS = {
  [""] = { uses = { "bind", "embed", "fence", "httpd", "loop", "nats", "net", "store", "sys" }, lua = true },
  api = { uses = { "loop", "sys" }, lua = true },
  bind = { uses = { "api", "embed", "fence", "httpd", "json", "loop", "nats", "net", "pg", "store", "sys" }, lua = true },
  embed = { uses = {}, lua = true },
  fence = { uses = { "embed", "loop", "sys" }, lua = false },
  httpd = { uses = { "loop" }, lua = false },
  json = { uses = { "loop" }, lua = false },
  loop = { uses = { "embed" }, lua = true },
  nats = { uses = { "loop" }, lua = false },
  net = { uses = { "httpd", "loop" }, lua = false }, -- httpd: a server in this process, net_mem.c
  pg = { uses = { "loop" }, lua = false },
  store = { uses = { "loop" }, lua = false },
  sys = { uses = { "loop" }, lua = false },
}
-- Files that may name Lua in a room that may not: a program of their own.
local OWN_LUA = { ["host/fence/luabox.c"] = true }
-- Of loop/, only the bindings use what runs tasks and talks to Lua; an engine tells the loop through callbacks.
local SCHEDULER = { ["loop/op.h"] = true, ["loop/task.h"] = true, ["loop/call.h"] = true, ["loop/binding.h"] = true }
local SCHEDULED = { [""] = true, api = true, bind = true, loop = true }

-- A library's headers stay behind the engine that owns it; bind/about.c tells the versions of all.
local LIBRARIES = {
  { header = "^curl/", owners = { "^host/net/net_curl" }, mend = "talk to it through host/net/net.h" },
  { header = "^microhttpd", owners = { "^host/httpd/" }, mend = "talk to it through host/httpd/httpd.h" },
  { header = "^sqlite3", owners = { "^host/store/" }, mend = "talk to it through host/store/store.h" },
  { header = "^nats/nats%.h", owners = { "^host/nats/" }, mend = "talk to it through host/nats/connection.h" },
  { header = "^libpq", owners = { "^host/pg/" }, mend = "talk to it through host/pg/pg.h" },
  { header = "^openssl/", owners = { "^host/sys/hash" }, mend = "talk to it through host/sys/hash.h" },
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
  local strings = source.code(path, text, true)
  -- a file in a text holds no require of ours
  local code = strings:gsub("%[=+%[.-%]=+%]", function(whole) return (whole:gsub("[^\n]", " ")) end)
  local refused = {}
  for n, line in source.lines(code) do
    for name in line:gmatch "%f[%w_]require%s*%(?%s*[\"']([^\"']*)[\"']" do
      if not any(rule.allow, name) then
        report(path, n, ("requires '%s'"):format(name), rule.mend)
        refused[n] = true
      end
    end
    -- by another way: pcall(require, "host.fs"), package.loaded["host.fs"], require [[host.fs]], require(room .. "fs")
    for name in line:gmatch "[\"'%[](host%.[%w_]*)[\"'%]]" do
      if not refused[n] and not any(rule.allow, name) then report(path, n, ("names the module '%s'"):format(name), rule.mend) end
    end
  end
end

local function check_room(path, name, room, header)
  local other = header:match "^(%l+)/"
  if not other or not ROOMS[other] then return end
  local allowed = SCHEDULED[name] or OWN_LUA[path] or not SCHEDULER[header]
  for _, used in ipairs(room.uses) do
    if used == other and allowed then return end
  end
  return ("includes %s, which host/%s/ does not use"):format(header, name),
         "hand it in as a pointer or a callback, or move the code to host/bind/"
end

local function check_include(path, name, room, header, own)
  local what, mend
  if own then what, mend = check_room(path, name, room, header) end
  if what then return what, mend end
  if not room.lua and not OWN_LUA[path] and (header:find "^lua" or header:find "^lauxlib") then
    return ("includes %s, but host/%s/ knows no Lua"):format(header, name),
           "return plain values or fill a struct err; push them in host/bind/"
  end
  for _, library in ipairs(LIBRARIES) do
    if header:find(library.header) and not any(library.owners, path) then
      return ("includes %s, which belongs to another engine"):format(header), library.mend
    end
  end
end

local function check_c(path, text, report)
  local name = path:match "^host/([^/]*)/[^/]*%.[ch]$" or path:find "^host/[^/]*%.[ch]$" and ""
  local room = ROOMS[name]
  if not room then
    return report(path, 1, ("stands in host/%s/, which is no room"):format(name or "?"), "tests/lint/layers.lua lists them")
  end
  for n, line in source.lines(source.code(path, text, true)) do
    local mark, header = line:match "^%s*#%s*include%s*([\"<])([^\">]+)[\">]"
    if header then
      header = header:gsub("^[./]*%.%./", ""):gsub("^host/", "") -- "../loop/task.h" is loop/task.h
      local what, mend = check_include(path, name, room, header, mark == '"')
      if what then report(path, n, what, mend) end
    end
  end
  if room.lua or OWN_LUA[path] then return end
  for n, line in source.lines(source.code(path, text)) do
    local word = line:match "%f[%w_](luaL?_%w+)"
    if word then
      report(path, n, ("names %s, but host/%s/ knows no Lua"):format(word, name),
             "return plain values; push them in host/bind/")
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
