-- stoke test [FILES]: runs each file in its own process, several at once.

local about = require "core.about"
local errors = require "core.errors"
local json = require "core.json"
local random = require "core.random"
local args = require "stoke.args"
local config = require "stoke.config"
local environment = require "stoke.env"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local report = require "stoke.test.report"
local stoke = require "stoke"
local time = require "stoke.time"

local SPEC = {
  name = "stoke test", summary = "Run tests: files test_*.lua and *_test.lua.",
  examples = { { "stoke test", "all below ./tests, or below . where there is no such folder" },
               { "stoke test tests/test_cart.lua -f discount", "the tests of a file whose name matches" },
               { "stoke test --seed 7", "repeat a run that failed" },
               { "stoke test --update", "write the golden files anew" },
               { "stoke test --record --endpoint http://10.0.0.7:11434", "write the cassettes anew" } },
  options = { { "filter", short = "f", placeholder = "PATTERN", help = "only tests whose name has this text, or matches it" },
              { "jobs", short = "j", type = "integer", help = "files at once; default: processors" },
              { "json", type = "boolean", help = "one JSON object a line for each test, and a summary" },
              { "tap", type = "boolean", help = "TAP version 13" },
              { "update", type = "boolean", help = "write golden files instead of comparing with them" },
              { "record", type = "boolean", help = "run tests that have a cassette with the real world, and write it" },
              { "slow", type = "integer", default = 0, placeholder = "N", help = "list the N slowest tests" },
              { "patience", type = "number", default = 120,
                help = "seconds of real time a single test may take, or its own timeout" },
              { "internal", type = "boolean", help = "let tests require core.* modules (stoke's own suite)" },
              { "file", placeholder = "FILE", help = "run this one file in this process, for the command itself" } },
  positionals = { { "files", type = "list", optional = true, help = "files or folders" } },
}

--- Before each record of a file's process (stdlib/test/run.lua).
local MARK = "\30"

local function is_test(name) return name:find "^test_.*%.lua$" or name:find "_test%.lua$" end

local function collect(path, out)
  local stat = fs.stat(path)
  if not stat then errors.raise("usage", ("no file or folder %s"):format(path)) end
  if stat.type ~= "directory" then
    out[#out + 1] = path
    return out
  end
  path = path:gsub("(.)/+$", "%1")
  for _, entry in ipairs(fs.list(path)) do
    local inner = path == "." and entry.name or path .. "/" .. entry.name
    if entry.type == "directory" and not entry.name:find "^%." and entry.name ~= "build" and entry.name ~= "lua_modules" then
      collect(inner, out)
    elseif entry.type ~= "directory" and is_test(entry.name) then
      out[#out + 1] = inner
    end
  end
  return out
end

--- The command line of one file's process.
local function command(path, a)
  local argv = { about.executable(), "test", "--file", path, "--seed", tostring(a.seed),
    "--patience", ("%.17g"):format(a.patience) }
  if a.filter then table.move({ "--filter", a.filter }, 1, 2, #argv + 1, argv) end
  for _, name in ipairs { "internal", "update", "record" } do
    if a[name] then argv[#argv + 1] = "--" .. name end
  end
  for _, name in ipairs { "endpoint", "config", "log" } do
    local value = config.flags()[name]
    if value then table.move({ "--" .. name, value }, 1, 2, #argv + 1, argv) end
  end
  return argv
end

local MARGIN = 10 -- seconds

--- Runs one file; calls tell(record) for each result.
local function run_file(path, a, tell)
  local child <close> = proc.spawn { argv = command(path, a), env_allow = environment.names(), stderr = "merge", stdin = false }
  local next_line = child:lines()
  local running, noise, began = nil, {}, time.monotonic()
  local patience = a.patience
  local function take(line)
    local at = line:find(MARK, 1, true)
    local record = at and json.decode(line:sub(at + 1))
    if type(record) ~= "table" or not record.name then
      noise[#noise + 1] = line
      return
    end
    if at > 1 then noise[#noise + 1] = line:sub(1, at - 1) end
    local seconds = time.monotonic() - began
    began = time.monotonic()
    if record.begins then
      running, noise = record.name, {}
      patience = record.limit and math.max(a.patience, record.limit + MARGIN) or a.patience -- its own limit says more
      return
    end
    running, record.file, record.noise, record.seconds = nil, path, #noise > 0 and noise or nil, math.floor(seconds * 1e6) / 1e6
    tell(record)
  end
  local ok, err = pcall(function()
    for line in function() return stoke.timeout(patience, next_line) end do take(line) end
  end)
  if not ok and errors.wrap(err).kind ~= "timeout" then error(err, 0) end
  noise = #noise > 0 and noise or nil
  local rest = running and "; the tests behind it in the file were not run" or ""
  if not ok then
    return tell { name = running or "(loading)", file = path, noise = noise,
      failed = ("no end after %g s of real time%s"):format(patience, rest) }
  end
  local status = child:wait()
  if running or status.code ~= 0 then
    tell { name = running or "(ending)", file = path, noise = noise,
      failed = (status.signal and ("the process died of signal %s"):format(status.signal)
        or ("the process ended with code %s"):format(status.code)) .. rest }
  end
end

--- The slowest of `list`, at most n.
local function slowest(list, n)
  table.sort(list, function(x, y) return (x.seconds or 0) > (y.seconds or 0) end)
  return table.move(list, 1, math.min(n, #list), 1, {})
end

local function find_files(a)
  local files, paths = {}, a.files
  if not paths or #paths == 0 then paths = { fs.stat "tests" and "tests" or "." } end
  for _, path in ipairs(paths) do collect(path, files) end
  if #files == 0 then
    errors.raise("usage", ("no test files in %s"):format(table.concat(paths, ", ")),
      { hint = "they are named test_*.lua or *_test.lua" })
  end
  return files
end

local function run_all(a)
  local files, began = find_files(a), time.monotonic()
  local out = report.new(a, #files)
  local total, timed = { passed = 0, failed = 0, skipped = 0 }, {}
  local function run(path)
    local counts, start = { passed = 0, failed = 0, skipped = 0 }, time.monotonic()
    run_file(path, a, function(record)
      local outcome = report.outcome(record)
      counts[outcome], total[outcome] = counts[outcome] + 1, total[outcome] + 1
      if a.slow > 0 and record.seconds then timed[#timed + 1] = record end
      out:result(record)
    end)
    counts.seconds = time.monotonic() - start
    if counts.passed + counts.failed + counts.skipped > 0 or not a.filter then out:file(path, counts) end
  end
  do
    local scope <close> = stoke.scope {}
    scope:map(files, run, { limit = a.jobs or about.processors() })
  end
  total.seconds, total.slowest = math.floor((time.monotonic() - began) * 1e3 + 0.5) / 1e3, slowest(timed, a.slow)
  if a.filter and total.passed + total.failed + total.skipped == 0 then
    errors.raise("usage", ("no test has %q in its name"):format(a.filter))
  end
  out:finish(total)
  if total.failed > 0 then errors.raise("exit", "tests failed", { code = 1 }) end
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  a.seed = random.seeded or random.stream("seed"):int(1, 1 << 31)
  if a.json and a.tap then errors.raise("usage", "either --json or --tap") end
  if a.jobs and a.jobs < 1 then errors.raise("usage", "--jobs wants at least 1") end
  if a.internal then
    local env = require "core.env"
    env.internal, env.globals.os.setlocale = true, os.setlocale
  end
  if a.file then
    return require "stoke.test.run".file(a.file,
      { filter = a.filter, seed = a.seed, update = a.update, record = a.record, internal = a.internal,
        slice = math.max(a.patience / 4, 1) }) -- it ends by itself then, and the tests behind it run
  end
  return run_all(a)
end
