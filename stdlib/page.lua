--- stoke.page: worlds in a browser, and what the host does. One HTML document, fed by one stream of events, on this machine unless
--- told otherwise.
---
---     local town = stoke.world { ... }
---     local page <close> = stoke.page { world = town, port = 8080 }
---     print(page.link)                    -- http://127.0.0.1:8080/#token=...: who has it may act, others only look
---     town:run { speed = 60 }
---
--- `stoke town.lua --watch-at 8080` shows the worlds of a script that knows nothing of pages.
---
--- GET / is the document, GET /events the stream, GET /look?view=V what a view shows (of a world: &time=T a moment of the past,
--- &member=ID one member), POST /do an order, as JSON: { "view": V, "do": "pause" } (see the guide),
--- GET /metrics the figures of this process (stdlib/metrics.lua). The stream begins with `hello` and a `picture` of each view, and
--- goes on with `change`s. A view is an object of this shape; worlds are one kind (page/world.lua), and page/host.lua has those of
--- the host:
---
---     id, kind, title         texts; the document draws a view by its kind
---     picture(stream)         all that a browser needs to begin with: plain data
---     follow(stream)          runs in a task of its own and publishes what changes; a view that stays as it is needs none
---     look(query)             answers GET /look with the words of its query, all of them texts
---     act(order, stream)      answers POST /do
---     closed()                what it shows has ended: one that is added under its title takes its place

local data = require "stoke.page.data"
local document = require "stoke.page.document"
local errors = require "core.errors"
local guards = require "stoke.page.guard"
local http = require "stoke.http"
local json = require "stoke.json"
local log = require "stoke.log"
local redact = require "core.redact"
local requests = require "stoke.http.request"
local scopes = require "core.scope"
local streams = require "stoke.page.stream"
local tasks = require "core.task"
local time = require "stoke.time"
local worlds = require "stoke.page.world"

local M = {}

--- The port where none is told, and the browsers that may look at once.
---@private
M.PORT, M.BROWSERS = 8080, 200

local OPTIONS = { world = "table", worlds = "table", port = "number", address = "string", mem = "string", token = "string",
  token_file = "string", public = "boolean", private = "boolean", hosts = "table", browsers = "number", view = "table",
  system = "boolean", host = "boolean", through = "function" }

---@class stoke.page
---@field url string without the token: for those who only look; where it listens at all addresses, by loopback
---@field link string with the token: for those who act
---@field views table[]
---@field browsers integer how many look
---@field private through? fun(req: stoke.http.incoming, res: stoke.http.reply, may: boolean)
local Page = {}
Page.__name = "stoke.page"

function Page.__index(self, key)
  if key == "browsers" then return rawget(self, "stream").count end
  return Page[key]
end

-- ---- views ----------------------------------------------------------------------------------------------------------------------

local function hello(page, may)
  local views = json.array()
  for i, view in ipairs(page.views) do views[i] = { id = view.id, kind = view.kind, title = view.title } end
  return { may = may, views = views, now = time.now() }
end

local function free_id(page, name)
  local id, count = name, 1
  while page.by_id[id] do
    count = count + 1
    id = ("%s-%d"):format(name, count)
  end
  return id
end

--- A world that was closed stays as it was last seen, until another one of its name takes its place.
local function forget_closed(page, title)
  for i = #page.views, 1, -1 do
    local view = page.views[i]
    if view.title == title and view.closed and view:closed() then
      table.remove(page.views, i)
      page.by_id[view.id] = nil
    end
  end
end

local function follow(page, view)
  if view.follow then tasks.start(page.scope, "page." .. view.id, view.follow, view, page.stream) end
end

--- Show another view, from now on.
---@param view table see the top of this file
---@return nil
---
--- Example: `shown:add(view)`
function Page:add(view)
  self.views[#self.views + 1], self.by_id[view.id] = view, view
  if self.scope then
    follow(self, view)
    self.stream:renew()
  end
end

--- Show a world.
---@param world stoke.world
---@param view? table instead of the world's own `view`
---@return nil
---Raises `argument` for what is no world.
---
--- Example: `shown:show(town)`
function Page:show(world, view)
  local class = type(world) == "table" and getmetatable(world)
  if not (type(class) == "table" and class.__name == "stoke.world") then
    errors.argument("stoke.page: a world expected, got %s", errors.describe(world))
  end
  local name = world.name or "world"
  forget_closed(self, name)
  self:add(worlds.new(world, free_id(self, (name:gsub("[^%w_-]", "-"))), view))
end

local function first_world(page)
  for _, view in ipairs(page.views) do
    if view.kind == "world" then return view end
  end
end

--- The view of an id; without one the first world.
local function view_of(page, id)
  local view = id == nil and first_world(page) or page.by_id[id]
  if view then return view end
  if id ~= nil and type(id) ~= "string" then errors.raise("argument", "view must be a text: the id of a view") end
  local names = {}
  for i, known in ipairs(page.views) do names[i] = known.id end
  if id == nil then errors.raise("argument", "there is nothing to see yet") end
  local near = errors.suggest(id, names)
  errors.raise("argument", ("there is no view %s"):format(id), { hint = near and ("did you mean %s?"):format(near) or nil })
end

-- ---- requests -------------------------------------------------------------------------------------------------------------------

local HEADERS = { ["Cache-Control"] = "no-store", ["X-Content-Type-Options"] = "nosniff",
  ["Cross-Origin-Resource-Policy"] = "same-origin", ["Content-Type"] = "application/json" }

local function refuse(res, status, message, hint, decided)
  local headers = { ["WWW-Authenticate"] = status == 401 and "Bearer" or nil, ["Retry-After"] = status == 503 and "2" or nil }
  for name, value in next, HEADERS do headers[name] = value end
  return res:reply(status, headers, json.encode { error = redact.known(message), hint = hint and redact.known(hint),
    decided = decided and data.plain(decided) })
end

local STATUS = { argument = 400, protocol = 400, overloaded = 503, timeout = 504, denied = 403 }

--- What a view raises is told to the browser in its words; a bug is told to the log, too.
local function answer(res, f, ...)
  local ok, value = xpcall(f, errors.handler, ...)
  if ok then return res:reply(200, HEADERS, json.encode(value)) end
  local err = errors.wrap(value)
  if err.kind == "cancelled" or err.kind == "exit" then error(err, 0) end
  if err.kind == "script" or err.kind == "internal" then log.error("the page failed", { error = tostring(err) }) end
  return refuse(res, STATUS[err.kind] or 409, err.message, rawget(err, "hint"), rawget(err, "decided"))
end

local function get_document(_, _, res)
  local made = document.get()
  return res:reply(200, made.headers, made.html)
end

local function get_events(page, _, res, may)
  local stream = page.stream
  if stream.count >= page.most then return refuse(res, 503, ("%d browsers look already"):format(stream.count)) end
  return stream:feed(res, function()
    local parts = { streams.event("hello", hello(page, may)) }
    for _, view in ipairs(page.views) do
      local ok, picture = pcall(view.picture, view, stream)
      parts[#parts + 1] = ok and streams.event("picture", picture)
        or streams.event("failure", { view = view.id, error = tostring(errors.wrap(picture).message) })
    end
    return table.concat(parts)
  end)
end

local function get_metrics(_, _, res) return require "stoke.metrics".reply(res) end

local function get_look(page, req, res)
  return answer(res, function()
    local view = view_of(page, req.query.view)
    if view.look then return view:look(req.query, page.stream) end
    return view:picture(page.stream)
  end)
end

local function post_do(page, req, res)
  return answer(res, function()
    local kind = req.headers["content-type"] or ""
    if not kind:find "^application/json" then errors.raise("argument", "an order is JSON: Content-Type: application/json") end
    local order = req:json()
    if type(order) ~= "table" then errors.raise("argument", "an order is an object") end
    local view = view_of(page, order.view)
    if not view.act then errors.raise("argument", ("nothing can be done in %s"):format(view.title)) end
    return view:act(order, page.stream)
  end)
end

local ROUTES = {
  ["/"] = { GET = get_document, HEAD = get_document },
  ["/events"] = { GET = get_events, looks = true },
  ["/look"] = { GET = get_look, looks = true },
  ["/metrics"] = { GET = get_metrics, HEAD = get_metrics, looks = true },
  ["/do"] = { POST = post_do, acts = true },
}

local TOKEN = "the link with the token is needed for this"

local function handle(page, req, res)
  local may, status, why = page.guard:judge(req)
  if may == nil then return refuse(res, status, why) end
  local route = ROUTES[req.path]
  if not route then return refuse(res, 404, "there is nothing at " .. req.path) end
  local run = route[req.method]
  if not run then return refuse(res, 405, ("%s takes no %s"):format(req.path, req.method)) end
  if not may and (route.acts or route.looks and page.guard.private) then
    return refuse(res, 401, TOKEN, "the program that serves this page prints it when it starts")
  end
  if page.through then return page.through(req, res, may) end
  return run(page, req, res, may)
end

--- Answer a request that another server has judged.
---@private
---@param req stoke.http.incoming
---@param res stoke.http.reply
---@param path string where it would be at the root
---@param may boolean whether it may act
function Page:answer(req, res, path, may)
  local route = ROUTES[path]
  local run = route and route[req.method]
  if not run then return refuse(res, 404, "there is nothing at " .. path) end
  return run(self, req, res, may)
end

-- ---- the page -------------------------------------------------------------------------------------------------------------------

local function check(options)
  options = errors.options(options, OPTIONS, "stoke.page")
  local most = options.browsers
  if most and (not math.tointeger(most) or most < 1) then
    errors.argument("stoke.page: browsers must be a whole number of at least 1, got %s", tostring(most))
  end
  errors.list("stoke.page: worlds", options.worlds or {})
  return options
end

local function failed(err, task)
  if err.kind ~= "cancelled" then log.error("a view of the page failed", { view = task.name, error = tostring(err) }) end
end

--- Follows the views until the server is closed.
local function keep(page)
  local scope <close> = scopes.open { on_child_error = failed }
  page.scope = scope
  local _ <close> = setmetatable({}, { __close = function() page.scope = nil end })
  tasks.start(scope, "page.stream", page.stream.tend, page.stream)
  for _, view in ipairs(page.views) do follow(page, view) end
  if page.server then return page.server:wait() end
  while true do tasks.park "the page" end
end

local EVERY = { "*" }

local function make(fields)
  fields.views, fields.by_id, fields.stream = {}, {}, streams.new()
  return setmetatable(fields, Page)
end

--- A page without an address of its own, as long as the process lives: who has one hands requests to page:answer.
---@private
---@return stoke.page
function M.within()
  local page = make { most = M.BROWSERS }
  tasks.spawn(keep, { name = "page", system = true }, page)
  return page
end

--- Serve a page. It is a child of the current scope, as a server of http.serve is.
---@param options { world?: stoke.world, worlds?: stoke.world[], port?: integer, address?: string, token?: string }
---  world, or worlds: what is shown, to which page:show adds; port (8080; 0: any free one), address (127.0.0.1), or mem: a name,
---  for http://NAME.mem/ inside this process; token: at least 16 letters or digits, or token_file, the path of a file of the
---  owner's alone, made where it is not there; else a new one each time; public: who has no token may look from other machines,
---  too, where the address lets them reach it; private: nobody looks without it, on this machine, too; hosts: names that this
---  machine is asked by, beside its own (judged on loopback, elsewhere where they are listed); browsers (200) that may look at
---  once; view: what the map needs instead of the world's own `view` ({ place =, mind =, member = }); host: show what this host
---  does and what waits for approval, too; system: its tasks are the host's own, and no scope's children; through: a function that
---  answers what the guard lets pass, in place of the views
---@return stoke.page page { url =, link =, browsers =, close, wait, show }
---Raises `argument`; `denied` when others may read the file of the token; `os` when it cannot listen.
---
--- Example: `local page <close> = stoke.page { world = town, port = 8080 }`
function M.new(options)
  options = check(options)
  local guard = guards.new(options)
  local page = make { guard = guard, through = options.through, most = math.tointeger(options.browsers) or M.BROWSERS }
  if options.host then require "stoke.page.host".show(page) end
  if options.world then page:show(options.world, options.view) end
  for _, world in ipairs(options.worlds or {}) do page:show(world, options.view) end
  page.server = http.serve { port = not options.mem and (options.port or M.PORT) or nil, address = options.address,
    mem = options.mem, hosts = EVERY, origins = EVERY, max_body = 64 * 1024, drain = 0, system = options.system,
    handler = function(req, res) return handle(page, req, res) end }
  page.url = requests.reachable(page.server.url) .. "/"
  page.link = page.url .. "#token=" .. guard.token
  tasks.spawn(keep, { name = "page", system = options.system }, page)
  return page
end

--- Wait until the page is closed, or its scope ends.
---@return nil
---Raises `cancelled`.
---
--- Example: `shown:wait()`
function Page:wait() return self.server:wait() end

--- Close the page: browsers are let go.
---@return nil
---
--- Example: `shown:close()`
function Page:close() return self.server:close() end

Page.__close = Page.close

return setmetatable(M, { __call = function(_, options) return M.new(options) end })
