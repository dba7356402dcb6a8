-- stoke bench fuel: what the pool is worth, on worlds of simulated servers or on a real one.

local about = require "core.about"
local args = require "stoke.args"
local config = require "stoke.config"
local environment = require "stoke.env"
local errors = require "core.errors"
local fs = require "stoke.fs"
local json = require "core.json"
local ollama = require "stoke.ollama"
local proc = require "stoke.proc"
local random = require "core.random"
local real = require "stoke.fuel.real"
local rows = require "stoke.fuel.rows"
local run = require "stoke.fuel.run"
local stdio = require "core.stdio"
local stoke = require "stoke"
local term = require "stoke.term"
local testbed = require "core.testbed"
local time = require "stoke.time"

local SPEC = {
  name = "stoke bench",
  summary = "Do the same work twice, by a naive client and by stoke, each on fresh servers, and print both.",
  examples = { { "stoke bench fuel", "the whole table, on simulated servers under a virtual clock" },
               { "stoke bench fuel --only talks-1 --seed 7", "one row, in another world" },
               { "stoke bench fuel --only hidden --seed 42", "a dozen worlds drawn from a seed" },
               { "stoke bench fuel --check", "exit code 1 when an aim is missed" },
               { "stoke bench fuel --endpoint http://127.0.0.1:11434", "small rows on a real server, in real time" } },
  options = { { "only", type = "list", placeholder = "ROW", help = "this row, may be repeated; without it: all" },
              { "size", type = "number", default = 1.0, placeholder = "PART", help = "of the work; 0.1 = a tenth, a quick look" },
              { "model", type = "list", placeholder = "NAME", help = "with --endpoint: one or two models; else the smallest" },
              { "json", type = "boolean", help = "one JSON object a row" },
              { "check", type = "boolean", help = "exit code 1 when an aim is missed" },
              { "list", type = "boolean", help = "the rows and what is done in them" },
              { "jobs", type = "integer", help = "processes at once; default: processors" },
              { "part", placeholder = "ROW:SIDE", help = "one side of a row in this process, for the command itself" } },
  positionals = { { "what", choices = { "fuel" }, help = "fuel: the pool of model calls" } },
}

-- ---- one side of a row, in a process of its own -------------------------------------------------------------------------------

--- Prints { measures = one for each world } of `ROW:SIDE`.
local function part(a)
  local name, side = a.part:match "^(.*):(%l+)$"
  local row = name and rows.find(name) or errors.raise("usage", ("no row %s"):format(a.part))
  testbed.enter(false)
  stdio.write(json.encode { measures = rows.measure(row, side, a.seed, a.size) } .. "\n")
end

--- Seconds of real time that one side of a row may take.
local PATIENCE <const> = 120

--- What a process of our own printed; nothing of this user's settings and learned facts has a part in it.
local function ask(row, side, a, folder)
  local argv = { about.executable(), "bench", "fuel", "--part", row.name .. ":" .. side, "--size", ("%.17g"):format(a.size),
    "--seed", tostring(a.seed), "--config", folder .. "/stoke.config.lua", "--log", "error" }
  local result, failed = stoke.try(proc.run, { argv = argv, env_allow = environment.names(), timeout = PATIENCE,
    env = { XDG_STATE_HOME = folder .. "/" .. row.name .. side } })
  if failed then return nil, failed.kind == "timeout" and ("no end after %d s"):format(PATIENCE) or failed.message end
  local said = result.code == 0 and json.decode(result.stdout)
  if type(said) == "table" and said.measures then return said.measures end
  local why = (result.stderr ~= "" and result.stderr or result.stdout):match "^%s*([^\n]*)"
  return nil, why ~= "" and why or "the process ended early"
end

-- ---- the table ----------------------------------------------------------------------------------------------------------------

local SIDES = { "naive", "ours", "best" }

local function sides_of(row)
  return row.best and SIDES or { SIDES[1], SIDES[2] }
end

--- One row, all sides.
local function measure(row, a, folder)
  local m, out = {}, { row = row.name, title = row.title, aim = row.aim, met = false, near = "", text = {} }
  for _, side in ipairs(sides_of(row)) do
    local why
    m[side], why = ask(row, side, a, folder)
    out[side], out.text[side] = m[side], m[side] and rows.text(row, m[side]) or "failed"
    if why then
      out.near, out.failed = term.fit(why, 40), why
      return out
    end
  end
  out.met, out.near = row.judge(m, row.world(a.seed, a.size, 1))
  return out
end

local function wanted(a)
  if not a.only or #a.only == 0 then return rows.list end
  local list, names = {}, {}
  for i, row in ipairs(rows.list) do names[i] = row.name end
  for i, name in ipairs(a.only) do
    local row = rows.find(name)
    if not row then
      local near = errors.suggest(name, names)
      errors.raise("usage", ("no row is named '%s'"):format(name), { hint = near and ("did you mean '%s'?"):format(near)
        or "stoke bench fuel --list shows them" })
    end
    list[i] = row
  end
  return list
end

local function mark(met) return met and "met" or "MISSED" end

local function show(results)
  local lines = { { "ROW", "NAIVE", "STOKE", "", "AIM", "" } }
  for i, r in ipairs(results) do
    lines[i + 1] = { r.row, r.text.naive, r.text.ours or "", r.near, r.aim, mark(r.met) }
  end
  term.table(lines)
end

local function folder_of()
  local base = environment.get "TMPDIR" or "/tmp"
  local folder = ("%s/stoke-bench-%d-%08x"):format(base, about.pid(), random.stream("bench"):int(0, 0xffffffff))
  fs.mkdir(folder, { parents = true })
  fs.write(folder .. "/stoke.config.lua", "return {}\n")
  return folder
end

local function simulated(a)
  local list, began, folder = wanted(a), time.monotonic(), folder_of()
  local missed = 0
  local cleaning <close> = setmetatable({}, { __close = function() fs.remove(folder, { recursive = true }) end }) -- luacheck: ignore
  local progress <close> = term.progress { total = #list, label = "rows" }
  local scope <close> = stoke.scope {}
  local results = scope:map(list, function(row)
    local result = measure(row, a, folder)
    progress:add()
    return result
  end, { limit = a.jobs or about.processors() })
  progress:finish()
  for _, r in ipairs(results) do
    if not r.met then missed = missed + 1 end
    if a.json then stdio.write(json.encode(r) .. "\n") end
  end
  if not a.json then
    show(results)
    stdio.write(("\n%d of %d aims met; seed %d%s; %.0f s of real time\n"):format(#results - missed, #results, a.seed,
      a.size ~= 1 and (", size %g"):format(a.size) or "", time.monotonic() - began))
  end
  if a.check and missed > 0 then errors.raise("exit", "aims were missed", { code = 1 }) end
end

-- ---- on a real server ---------------------------------------------------------------------------------------------------------

--- One side of a row there, after its models were unloaded, so that both begin alike.
local function side_outside(row, side, models, url, a)
  for _, model in ipairs(models) do ollama.unload(model, url) end
  local spec = real.world(row, models, url, a.seed)
  return { row.measure(run.world(spec, side), spec) }
end

local function rows_outside(a)
  if not a.only or #a.only == 0 then return real.list end
  local list = {}
  for i, name in ipairs(a.only) do
    list[i] = real.find(name) or errors.raise("usage", ("no row for a real server is named '%s'"):format(name),
      { hint = "there are burst, loops, models, swap, classes, talks" })
  end
  return list
end

local function outside(a, url)
  local models = real.models(url, a.model or {})
  stdio.write(("%s: %s\n\n"):format(url, table.concat(models, ", ")))
  local lines, skipped = { { "ROW", "NAIVE", "STOKE", "OF NAIVE" } }, {}
  for _, row in ipairs(rows_outside(a)) do
    if row.two and not models[2] then
      skipped[#skipped + 1] = ("%s is left out: it needs two models that answer chats, and the server has one\n"):format(row.name)
    else
      local m = { naive = side_outside(row, "naive", models, url, a), ours = side_outside(row, "ours", models, url, a) }
      local line = { row.name, row.figure(m.naive[1]), row.figure(m.ours[1]), row.compare(m) }
      if a.json then
        stdio.write(json.encode { row = row.name, title = row.title, naive = m.naive, ours = m.ours } .. "\n")
      end
      lines[#lines + 1] = line
    end
  end
  if not a.json then term.table(lines) end
  for _, text in ipairs(skipped) do io.stderr:write(text) end
end

local function list_rows()
  local lines = { { "ROW", "WHAT IS DONE", "AIM" } }
  for i, row in ipairs(rows.list) do lines[i + 1] = { row.name, row.title, row.aim } end
  term.table(lines)
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  a.seed = random.seeded or 1
  if a.size <= 0 or a.size > 1 then errors.raise("usage", "--size wants a part, above 0 and up to 1") end
  if a.list then return list_rows() end
  if a.part then return part(a) end
  local chosen = config.flags().endpoint
  if chosen then return outside(a, config.endpoint(chosen).url) end
  return simulated(a)
end
