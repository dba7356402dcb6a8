-- stoke test [FILES]: each file in a process of its own, several at once.

local about = require "core.about"
local errors = require "core.errors"
local json = require "core.json"
local random = require "core.random"
local stdio = require "core.stdio"
local args = require "stoke.args"
local environment = require "stoke.env"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local stoke = require "stoke"
local term = require "stoke.term"

local SPEC = {
  name = "stoke test", summary = "Run tests: files test_*.lua and *_test.lua.",
  examples = { { "stoke test", "all below ./tests, or below . where there is no such folder" },
               { "stoke test tests/test_cart.lua -f discount", "the tests of a file whose name matches" },
               { "stoke test --seed 7", "repeat a run that failed" } },
  options = { { "filter", short = "f", placeholder = "PATTERN", help = "only tests whose name matches this Lua pattern" },
              { "jobs", short = "j", type = "integer", help = "files at once; default: processors" },
              { "patience", type = "number", default = 120, help = "seconds of real time a single test may take" },
              { "internal", type = "boolean", help = "let tests require core.* modules (stoke's own suite)" },
              { "file", placeholder = "FILE", help = "run this one file in this process, results as JSON lines" },
              { "json", type = "boolean", help = "one JSON line a test" } },
  positionals = { { "files", type = "list", optional = true, help = "files or folders" } },
}

local function is_test(name) return name:find "^test_.*%.lua$" or name:find "_test%.lua$" end

local function collect(path, out)
  local stat = fs.stat(path)
  if not stat then errors.raise("usage", ("no file or folder %s"):format(path)) end
  if stat.type ~= "directory" then
    out[#out + 1] = path
    return out
  end
  for _, entry in ipairs(fs.list(path)) do
    local inner = path .. "/" .. entry.name
    if entry.type == "directory" and not entry.name:find "^%." and entry.name ~= "build" then
      collect(inner, out)
    elseif is_test(entry.name) then
      out[#out + 1] = inner
    end
  end
  return out
end

--- Runs one file; calls report(record) for each result.
local function run_file(path, a, report)
  local argv = { about.executable(), "test", "--file", path, "--seed", tostring(a.seed) }
  if a.filter then table.move({ "--filter", a.filter }, 1, 2, #argv + 1, argv) end
  if a.internal then argv[#argv + 1] = "--internal" end
  local child <close> = proc.spawn { argv = argv, env_allow = environment.names(), stderr = "merge", stdin = false }
  local next_line = child:lines()
  local running, noise = nil, {}
  local ok, err = pcall(function()
    while true do
      local line = stoke.timeout(a.patience, next_line)
      if not line then break end
      local record = line:find '^{"' and json.decode(line)
      if type(record) ~= "table" or not record.name then
        noise[#noise + 1] = line
      elseif record.begins then
        running, noise = record.name, {}
      else
        running, record.file, record.noise = nil, path, #noise > 0 and noise or nil
        report(record)
      end
    end
  end)
  if not ok and errors.wrap(err).kind ~= "timeout" then error(err, 0) end
  if not ok then
    return report { name = running or "(loading)", file = path, noise = noise,
      failed = ("no end after %g s of real time"):format(a.patience) }
  end
  local status = child:wait()
  if running or status.code ~= 0 then
    report { name = running or "(ending)", file = path, noise = noise,
      failed = status.signal and ("the process died of signal %s"):format(status.signal)
        or ("the process ended with code %s"):format(status.code) }
  end
end

local function show_failure(record, seed, internal)
  local lines = { ("%s %s: %s"):format(term.paint("red", "FAIL"), record.file, record.name) }
  lines[2] = "     " .. record.failed:gsub("\n", "\n     ")
  if record.where then lines[#lines + 1] = "     at " .. record.where end
  local traceback = record.traceback and errors.readable(record.traceback)
  if traceback then lines[#lines + 1] = "     " .. traceback:gsub("\n", "\n     ") end
  for i, line in ipairs(record.noise or {}) do
    if i > 40 then break end
    lines[#lines + 1] = "     | " .. line
  end
  lines[#lines + 1] = ("     again: stoke test %s%s --seed %d"):format(internal and "--internal " or "", record.file, seed)
  stdio.write(table.concat(lines, "\n") .. "\n")
end

local function run_all(a)
  local files = {}
  local paths = a.files
  if not paths or #paths == 0 then paths = { fs.stat "tests" and "tests" or "." } end
  for _, path in ipairs(paths) do collect(path, files) end
  local count = { passed = 0, failed = 0, skipped = 0 }
  local function report(record)
    local outcome = record.failed and "failed" or record.skipped and "skipped" or "passed"
    count[outcome] = count[outcome] + 1
    if a.json then return stdio.write(json.encode(record) .. "\n") end
    if record.failed then show_failure(record, a.seed, a.internal) end
    if record.skipped then stdio.write(("skip %s: %s: %s\n"):format(record.file, record.name, record.skipped)) end
  end
  do
    local scope <close> = stoke.scope {}
    scope:map(files, function(path)
      local failures = count.failed
      run_file(path, a, report)
      if not a.json and count.failed == failures then stdio.write(("ok   %s\n"):format(path)) end
    end, { limit = a.jobs or about.processors() })
  end
  local skipped = count.skipped > 0 and (", %d skipped"):format(count.skipped) or ""
  stdio.write(("%d passed, %d failed%s\n"):format(count.passed, count.failed, skipped))
  if count.failed > 0 then errors.raise("exit", "tests failed", { code = 1 }) end
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  a.seed = random.seeded or random.int(1, 1 << 31)
  if a.internal then
    local env = require "core.env"
    env.internal, env.globals.os.setlocale = true, os.setlocale
  end
  if a.file then return require "stoke.test.run".file(a.file, { filter = a.filter, seed = a.seed }) end
  return run_all(a)
end
