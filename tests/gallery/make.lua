-- Writes docs/gallery.md, `make gallery`: what each agent is for, by its header, and what it prints. Most transcripts are those of
-- tests/golden, to which tests/lua/test_agents.lua holds the agents; the others are made here, on the simulator by its own rules.
-- tests/lua/test_gallery.lua compares the page with what this file makes.

local fs = require "stoke.fs"
local proc = require "stoke.proc"
local stoke = require "stoke"

local STOKE <const> = os.getenv "STOKE_BIN" or "build/stoke"
local MOST <const> = 36 -- lines of a transcript

-- Words after `stoke agents/NAME.lua`, for those without a transcript in tests/golden.
local RUNS <const> = {
  farm = { "tests/agents/ledger/acme.txt", "--store", ":memory:" },
  ledger = { "tests/agents/ledger/acme.txt", "--store", ":memory:" },
  race_models = { "What is 17 + 4? Only the number." },
  served = { "What is 17 * 23?" },
  summarize = { "tests/agents/research/ferries.md" },
  triage = { "I was charged twice this month" },
}

-- It says what it waits for, and waits for a person.
local WAITS <const> = { ledger = true }

local PICTURES <const> = { town = "![The town in a browser, with --watch-at](town.png)" }

local function word(text) return text:find "[^%w%./_:=-]" and ('"%s"'):format(text) or text end

-- What differs from run to run.
local function steady(text)
  return (text:gsub("%d+ tokens in", "N tokens in"):gsub("%d+%.?%d* s%f[%W]", "N s"):gsub("%d%d:%d%d:%d%d ", "TIME ")
    :gsub("127%.0%.0%.1:%d+", "127.0.0.1:PORT"))
end

local function ran(name)
  local home = proc.run { argv = { "mktemp", "-d" } }.stdout:gsub("\n$", "")
  local argv = { STOKE, ("agents/%s.lua"):format(name), "--sim", "--seed", "1" }
  table.move(RUNS[name], 1, #RUNS[name], #argv + 1, argv)
  local text = ""
  do
    local program <close> = proc.spawn { argv = argv, stderr = "merge", env = { HOME = home, PATH = os.getenv "PATH" } }
    for line in program:lines() do
      text = text .. line .. "\n"
      if WAITS[name] then break end
    end
  end
  fs.remove(home, { recursive = true })
  local words = {}
  for i, given in ipairs(RUNS[name]) do words[i] = word(given) end
  return ("`stoke agents/%s.lua %s --sim`, by the simulator's own rules:"):format(name, table.concat(words, " ")), steady(text)
end

local function transcript(name)
  local path = ("tests/golden/%s.txt"):format(name)
  if RUNS[name] then return ran(name) end
  return ("On the simulator, whose model says what tests/agents/%s.lua says (%s):"):format(name, path),
    (fs.read(path):gsub("%[exit 0%]\n$", ""))
end

local function shortened(text)
  local lines = {}
  for line in text:gmatch "([^\n]*)\n" do
    lines[#lines + 1] = #line <= 150 and line or line:sub(1, 147):gsub("[\x80-\xff]*$", "") .. "..."
  end
  local more = #lines - MOST
  if more > 0 then
    lines = table.move(lines, 1, MOST, 1, {})
    lines[#lines + 1] = ("... %d lines more"):format(more)
  end
  return table.concat(lines, "\n")
end

-- The header of an agent: what it does, what it needs, what to try.
local function header(name)
  local about, needs, try = {}, {}, {}
  local part = about
  for line in fs.read(("agents/%s.lua"):format(name)):gmatch "[^\n]+" do
    local text = line:match "^%-%- ?(.*)$"
    if not text and not line:find "^#!" then break end
    if text and text:find "^Needs:" then part, text = needs, text:gsub("^Needs:%s*", "") end
    if text and text:find "^Try:" then part, text = try, text:gsub("^Try:%s*", "") end
    if text and text ~= "" then part[#part + 1] = text:gsub("^%s+", "") end
  end
  return (table.concat(about, " "):gsub("^" .. name .. "%.lua: ", "")), table.concat(needs, " "), table.concat(try, "\n    ")
end

local out = { [[
# Gallery

Every agent of [agents/](../agents), what it is for, and what it prints. `make gallery` makes this page, and a test compares it with
what the agents do. No model answered here: the simulator did, by its rules or by replies that are written down, so the words are no
measure of any model, and the order of things, the tools and the figures are real.
]] }

stoke.main(function()
  for _, entry in ipairs(fs.list "agents") do
    local name = entry.name:match "^(.*)%.lua$"
    if name then
      local about, needs, try = header(name)
      local how, text = transcript(name)
      out[#out + 1] = ("## %s\n\n%s\n\nNeeds %s\n\n    %s\n"):format(name, about:gsub("^%l", string.upper), needs, try)
      if PICTURES[name] then out[#out + 1] = PICTURES[name] .. "\n" end
      out[#out + 1] = ("%s\n\n```text\n%s\n```\n"):format(how, shortened(text))
    end
  end
  io.write(table.concat(out, "\n"))
end)
