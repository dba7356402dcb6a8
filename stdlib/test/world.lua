--- The environment of one test: clock, network, the simulator behind every endpoint, its effects, its cassette. Everything is
--- removed afterwards, so that tests are independent.

local effects = require "stoke.test.effects"
local cache = require "core.cache.settings"
local embedding = require "core.cache.embedding"
local endpoints = require "core.endpoint"
local errors = require "core.errors"
local testbed = require "core.testbed"
local policy = require "core.gate.policy"
local pool = require "core.gate.pool"
local random = require "core.random"
local retry = require "core.gate.retry"
local script = require "core.script"
local span = require "core.gate.span"
local cassette = require "stoke.test.cassette"
local show = require "stoke.show"
local config = require "stoke.config"
local files = require "stoke.test.files"
local models = require "stoke.test.models"

local M = {}

---@class stoke.test.world
---@field name string the test
---@field folder string of its file: "tests/", or nothing
---@field effects stoke.test.effect[]
---@field problems string[] failures that the code under test cannot catch
---@field failures stoke.error[] checks that failed
---@field made table<string, boolean|string> see stdlib/test/files.lua
---@field written string[] files
---@field models stoke.test.models
---@field update boolean golden files are written
---@field again fun(flags: string): string the command that repeats this test
---@field tape? stoke.test.cassette

--- The world of the test that runs.
---@type stoke.test.world|nil
M.now = nil

-- ---- the simulator ------------------------------------------------------------------------------------------------------------

local server

--- One server in memory for all tests of this process; each test has a simulator of its own behind it.
local function url()
  if not server then
    server = require "stoke.http.serve" {
      mem = "test", system = true, max_connections = 65536, drain = 0, max_body = 1 << 30,
      handler = function(req, res)
        local world = M.now
        if world then return world.models:sim().handler(req, res) end
        return res:reply(503)
      end,
    }
  end
  return server.url
end

--- Every named endpoint leads to the simulator, until the test ends; once a model has a script, closed addresses do so, too.
function M.stand_in(world, scripted)
  if world.undo and (world.everywhere or not scripted) then return end
  if world.undo then world.undo() end
  world.everywhere = scripted and not world.real
  world.undo = config.stand_in(url(), "stoke test", world.everywhere)
end

-- ---- effects ------------------------------------------------------------------------------------------------------------------

local listening = false

local function listen(wanted)
  if not listening then
    listening = true
    span.listen(function(record)
      local world = M.now
      if world and not world.paused and not record.around then world.effects[#world.effects + 1] = effects.of(record) end
    end)
  end
  span.bodies = wanted
  span.switch(wanted) -- last: who listens turns it on
  span.opening = wanted and function(name, q)
    local world = M.now
    if world and not world.paused then files.watch(world, name, q) end
  end or nil
end

--- In the order they began.
---@param world stoke.test.world
---@return stoke.test.effect[]
---
--- Example: `for _, e in ipairs(world.effects_of(w)) do print(e.name) end`
function M.effects_of(world)
  local list = table.move(world.effects, 1, #world.effects, 1, {})
  table.sort(list, function(a, b) return a.span < b.span end)
  return list
end

-- ---- cassettes ----------------------------------------------------------------------------------------------------------------

--- A test's name as that of a file.
local function slug(text)
  text = text:lower():gsub("[^%w\128-\255]+", "-"):gsub("^%-+", ""):gsub("%-+$", "")
  return #text > 100 and ("%s-%s"):format(text:sub(1, 80), require "core.hash".sha256(text):sub(1, 8)) or text
end

local function cassette_path(world, options, context)
  local own = options.cassette ~= true and options.cassette
  return ("%scassettes/%s.jsonl"):format(world.folder, own or context.file:match "([^/]*)%.lua$" .. "-" .. slug(world.name))
end

--- The cassette to be replayed; its lack is an error.
local function insert(world, path)
  local tape = cassette.load(path, world.again, world.problems)
  if tape then return tape end
  errors.raise("script", ("there is no cassette %s, so this test cannot run without a server"):format(path),
    { failed = true, hint = "record it, with the server running: " .. world.again "--record" })
end

-- ---- begin and end --------------------------------------------------------------------------------------------------------------

--- Begin a test.
---@param item { name: string, options: table }
---@param context { file: string, seed: integer, update?: boolean, record?: boolean, internal?: boolean }
---@return stoke.test.world
---Raises what makes the test fail before it began: no cassette.
---
--- Example: `local w = world.enter(item, { file = path, seed = 7 })`
function M.enter(item, context)
  local options = item.options
  local world = { name = item.name, folder = context.file:match "^.*/" or "", effects = {}, problems = {},
    failures = {}, written = {}, made = {},
    update = context.update or false, seed = context.seed, rules = policy.rules }
  function world.again(flags)
    return ("stoke test %s%s -f %s %s"):format(context.internal and "--internal " or "", show.word(context.file),
      show.word(item.name), flags)
  end
  world.models = models.new(world.problems)
  retry.forget()
  pool.forget()
  endpoints.forget()
  embedding.forget()
  cache.forget()
  local path = options.cassette and cassette_path(world, options, context)
  local recording = path and context.record
  local tape = path and not recording and insert(world, path) or nil
  world.real = recording or (options.real and not tape) or false
  random.seed(tape and tape.seed or context.seed)
  url() -- there before anything is counted
  testbed.enter(world.real, tape and tape.start, options.programs or context.internal) -- ours are about programs, too
  if recording then tape = cassette.record(path, world.name, world.seed) end
  world.tape = tape
  if not world.real then M.stand_in(world) end
  M.now = world
  listen(options.effects ~= false)
  return world
end

--- End it.
---@param world stoke.test.world
---@return string[] left what is still there that was not before, in words
---
--- Example: `local left = world.leave(w)`
function M.leave(world)
  script.leave_runs() -- what lives of them is kept, and no leak
  local left = testbed.leave()
  script.end_timers() -- one that was left would hold the clock of the next test
  M.now = nil
  if world.undo then world.undo() end
  policy.restore(world.rules)
  return table.move(files.left(world), 1, 1000, #left + 1, left)
end

return M
