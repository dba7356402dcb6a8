-- make bench: notes over 1,000 files of 10 KB, and a memory of 100,000 texts, both with vectors of 768 numbers that are made here,
-- so that what is measured is ours.  stoke notes.lua FOLDER [FILES [MEMORIES]]
--
-- A search is told in CPU time as well: that hangs less on what else the machine does.
local stoke = require "stoke"
local fs, time = stoke.fs, stoke.time

local FOLDER <const>, FILES <const>, MEMORIES <const> = arg[1], tonumber(arg[2] or 1000), tonumber(arg[3] or 100000)
local NUMBERS <const>, ROUNDS <const> = 768, 15

local function figure(what, value, unit, limit)
  print(("%-46s %10.1f %10s %-6s %6s%s"):format(what, value, "", unit, "",
    limit and ("  (under %g)%s"):format(limit, value <= limit and "" or "  MISSED") or ""))
  io.stdout:flush()
end

local words = {}
for i = 1, 20000 do
  local letters = {}
  for k = 1, stoke.rand.int(2, 9) do letters[k] = string.char(96 + stoke.rand.int(1, 26)) end
  words[i] = table.concat(letters)
end

-- Few words are frequent and most are rare, as in a language.
local function word() return words[math.min(20000, math.floor(20000 ^ stoke.rand.float()))] end

local function sentence(n)
  local list = {}
  for i = 1, n do list[i] = word() end
  return table.concat(list, " ") .. "."
end

-- A vector of a text: some places say which words it has.
local function embed(texts)
  local out = {}
  for i, text in ipairs(texts) do
    local vector, at = {}, 1
    for k = 1, NUMBERS do vector[k] = 0.001 end
    for first, second in text:gmatch "(%l)(%l)" do
      at = (at * 31 + first:byte() * 26 + second:byte()) % NUMBERS
      vector[at + 1] = vector[at + 1] + 1
    end
    out[i] = vector
  end
  return out
end

-- Medians in milliseconds: on the clock, and of CPU.
local function median(f)
  local took, cpu = {}, {}
  for i = 1, ROUNDS do
    local question = sentence(8)
    local began, spent = time.monotonic(), time.cpu()
    f(question)
    took[i], cpu[i] = (time.monotonic() - began) * 1000, (time.cpu() - spent) * 1000
  end
  table.sort(took)
  table.sort(cpu)
  return took[(ROUNDS + 1) // 2], cpu[(ROUNDS + 1) // 2]
end

local function search(limit, f)
  local took, cpu = median(f)
  figure("  a search", took, "ms", limit)
  figure("  the same, CPU", cpu, "ms")
end

local function spent(f)
  local wall, cpu = time.monotonic(), time.cpu()
  local value = f()
  return time.monotonic() - wall, time.cpu() - cpu, value
end

local function documents()
  local folder = FOLDER .. "/texts"
  for i = 1, FILES do
    if i % 100 == 1 then fs.mkdir(("%s/%d"):format(folder, i // 100), { parents = true }) end
    local parts, size = { "# " .. sentence(4) }, 0
    while size < 10240 do
      parts[#parts + 1] = sentence(stoke.rand.int(5, 15)) .. (stoke.rand.int(1, 5) == 1 and "\n" or "")
      size = size + #parts[#parts] + 1
    end
    fs.write(("%s/%d/%d.md"):format(folder, (i - 1) // 100, i), table.concat(parts, "\n"))
  end
  stoke.sleep(2.1) -- what was written just now is looked into again
  local function open() return stoke.notes(folder, { embed = embed, file = FOLDER .. "/notes.db" }) end
  local wall, cpu, notes = spent(open)
  local count = notes.vectors:count()
  notes:close()
  local label = ("notes of %d files of 10 KB: "):format(FILES)
  figure(label .. "first reading", wall, "s")
  figure("  the same, CPU a passage", cpu / count * 1e6, "us")
  wall, cpu, notes = spent(open)
  figure(label .. "second start", wall, "s", 1)
  figure("  the same, CPU", cpu, "s")
  notes:search(sentence(8))
  search(30, function(question) notes:search(question) end)
  notes:close()
end

--- Add the texts of a memory, and tell what that takes.
local function fill(memory, how)
  local wall, cpu = spent(function()
    for first = 1, MEMORIES, 1000 do
      local list = {}
      for i = first, math.min(first + 999, MEMORIES) do
        list[#list + 1] = { text = sentence(10) .. " " .. i, importance = stoke.rand.int(0, 10) }
      end
      memory:add_all(list)
    end
  end)
  figure(("%d memories%s added, 1,000 at a time: each"):format(MEMORIES, how), wall / MEMORIES * 1e6, "us")
  figure("  the same, CPU", cpu / MEMORIES * 1e6, "us")
  memory:search(sentence(8))
end

local function memories()
  local memory <close> = stoke.memory(FOLDER .. "/memory.db", { embed = embed })
  fill(memory, "")
  search(20, function(question) memory:search(question, { touch = false }) end)
end

local function memories_by_words()
  local memory <close> = stoke.memory(FOLDER .. "/words.db")
  fill(memory, " by words")
  search(20, function(question) memory:search(question, { touch = false }) end)
  search(20, function(question) memory:search(question, { touch = false, min_relevance = 0.01 }) end) -- as an agent asks
end

stoke.main(function()
  documents()
  memories()
  memories_by_words()
end)
