-- stoke page [NAME|FILE]: a running host, or the store of one that does not run, in a browser.

local args = require "stoke.args"
local attach = require "stoke.attach"
local config = require "stoke.config"
local drivers = require "core.driver.runs"
local errors = require "core.errors"
local fs = require "stoke.fs"
local host = require "stoke.page.host"
local json = require "core.json"
local page = require "stoke.page"
local remote = require "stoke.page.remote"
local requests = require "stoke.http.request"
local stdio = require "core.stdio"

local SPEC = {
  name = "stoke page",
  summary = "Show a running host in a browser: what it does now, what waits for approval, its worlds; or the store of one that "
    .. "does not run. Who has the link that is printed may act, the address without its token only looks. Runs until stopped.",
  examples = {
    { "stoke page", "the only host there is; where none runs, the store of this folder" },
    { "stoke page town", "the host of this name, or process" },
    { "stoke page bot/.stoke/state.db", "the durable runs of a store, also while nobody runs them (so with --store)" },
    { "stoke page --token-file page.key --port 9000", "the same link at each start: the file is made where it is not there" },
    { "stoke page --address 0.0.0.0", "for other machines, which need the token to look, too" },
  },
  options = {
    { "port", type = "integer", placeholder = "N", help = "0 takes any free one; without it 8080, or a free one where that is "
      .. "taken" },
    { "address", default = "127.0.0.1", help = "where to listen" },
    { "token-file", placeholder = "FILE", help = "keep the token in this file, and use it again" },
    { "host", type = "list", placeholder = "NAME", help = "a name that browsers on this machine ask for, beside localhost" },
    { "private", type = "boolean", help = "nobody looks without the token, on this machine, too" },
    { "json", type = "boolean", help = "the address and the link as JSON" },
  },
  positionals = { { "what", optional = true, placeholder = "NAME|FILE", help = "a host, or the file of a store" } },
}

--- A store by its file, or by the folder that it belongs to.
local function store_of(path)
  local stat = fs.stat(path)
  if stat and stat.type == "directory" then path = path:gsub("/*$", "") .. "/.stoke/state.db" end
  return errors.check(drivers.locate(path))
end

--- What is shown: a host, or the file of a store.
---@return table|nil place
---@return string|nil store
local function find(what)
  if what and (what:find "/" or what:find "%.db$" or fs.stat(what)) then return nil, store_of(what) end
  if what then return attach.find(what) end
  if config.source "store" == "flag --store" then return nil, store_of(config.get().store) end
  if #attach.hosts() > 0 then return attach.find() end
  local store = drivers.locate(config.get().store)
  if store then return nil, store end
  errors.raise("usage", "no host is running, and there is no store of durable runs here",
    { hint = "stoke page beside a running script, or stoke page FILE for a store elsewhere" })
end

--- Serve it; where nobody has named a port and the usual one is taken, at a free one.
local function open(options, port)
  options.port = port or page.PORT
  local ok, shown = pcall(page, options)
  if not ok and not port and errors.is(shown) and shown.kind == "os" then
    options.port = 0
    return page(options)
  end
  if not ok then error(shown, 0) end
  return shown
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local place, store = find(a.what)
  local options = { address = a.address, token_file = a.token_file, private = a.private,
    hosts = a.host, through = place and remote.through(place) }
  local shown <close> = open(options, a.port)
  if store then host.show(shown, { store = store, idle = true }) end
  local name = place and place.name or store
  if a.json then
    stdio.write(json.encode { url = shown.url, link = shown.link, host = place and place.name, store = store } .. "\n")
  else
    stdio.write(("%s\n"):format(shown.link))
    stdio.err(("stoke: the page of %s%s; Ctrl-C ends\n"):format(name, place and "" or ", which no host is asked for"))
    if not requests.is_loopback(a.address) then stdio.err "stoke: what goes to and fro is not encrypted\n" end
  end
  shown:wait()
end
