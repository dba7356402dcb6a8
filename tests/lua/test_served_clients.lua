-- What real clients ask, as tests/clients/record.lua wrote it down, asked again without them: tests/golden/clients/ has ten
-- conversations and more of each, and our replies, byte by byte. STOKE_UPDATE=1 writes the replies anew.
--
-- A line of a request begins with `>`, one of a reply with `<`. Ids that the server made up are counted in each conversation: an
-- id that the client repeats is the one it was told.

local test = require "stoke.test"
local fs = require "stoke.fs"
local http = require "stoke.http"
local proc = require "stoke.proc"
local sim = require "stoke.sim"
local stoke = require "stoke"

local FOLDER <const> = "tests/golden/clients/"
local UPDATE = (os.getenv "STOKE_UPDATE" or "") ~= ""

--- The agents of agents/served.lua, in front of a model of their own: as new for each conversation. The names are always the same,
--- since digests tell of them.
local function town()
  local model = sim.serve { mem = "town-model", load_seconds = 0, tokens_per_second = 20 }
  local function agent(given)
    given.model, given.endpoint = "qwen2.5:3b", model.url
    return stoke.agent(given)
  end
  local poet = agent { name = "poet", description = "Answers in verse", instructions = "Answer in four short lines that rhyme." }
  local clerk = agent { name = "clerk", description = "Counts and knows the date",
    instructions = "Use the tools for numbers and dates. Answer in one sentence.",
    tools = { stoke.tools.calculator(), stoke.tools.now() } }
  local desk = agent { name = "desk", description = "Poems and numbers", handoffs = { poet, clerk },
    instructions = "Hand over to the poet for poems, to the clerk for numbers and dates. Answer anything else yourself." }
  local server = stoke.serve { mem = "town", agents = { poet, clerk, desk } }
  return setmetatable({ url = server.url }, { __close = function()
    server:close()
    model:close()
  end })
end

-- ---- a file ---------------------------------------------------------------------------------------------------------------------

--- A request of its lines: what to send, and how the file shows it.
local function request_of(lines)
  local req = { method = lines[1]:match "^> (%S+)", path = lines[1]:match " (%S+)$", headers = {},
    shown = table.concat(lines, "\n") }
  local at = 2
  while lines[at] and lines[at] ~= ">" do
    local name, value = lines[at]:match "^> (%S+): (.*)$"
    req.headers[name], at = value, at + 1
  end
  if not lines[at] then return req end
  local body = {}
  for i = at + 1, #lines do body[#body + 1] = lines[i]:sub(3) end
  req.body = table.concat(body, "\n")
  return req
end

--- The conversations of a file: a title, and requests in their order.
local function conversations(text)
  local list, lines = {}, {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    if line:sub(1, 1) == ">" then
      lines[#lines + 1] = line
    elseif lines[1] then
      table.insert(list[#list], request_of(lines))
      lines = {}
    end
    if line:sub(1, 3) == "## " then list[#list + 1] = { title = line:sub(4) } end
  end
  return list
end

-- ---- a conversation -------------------------------------------------------------------------------------------------------------

--- Ids that are made up, in both directions.
local Ids = {}
Ids.__index = Ids

--- The first kind has 24 digits, all others 32.
local COMPLETIONS = { ["chatcmpl-"] = true, ["cmpl-"] = true }

function Ids:told(text)
  return (text:gsub("%f[%a](%l+[_-])(%x+)", function(kind, rest)
    if #rest ~= (COMPLETIONS[kind] and 24 or 32) then return nil end
    local id = kind .. rest
    if not self.number[id] then
      self.count[kind] = (self.count[kind] or 0) + 1
      self.number[id] = kind .. self.count[kind]
      self.real[self.number[id]] = id
    end
    return self.number[id]
  end))
end

function Ids:real_ones(text) return (text:gsub("%f[%a]%l+_%d+", self.real)) end

--- A conversation with its replies, as the file has it.
local function held(one)
  local place <close> = town()
  local ids = setmetatable({ number = {}, real = {}, count = {} }, Ids)
  local out = { "## " .. one.title .. "\n" }
  for _, req in ipairs(one) do
    local reply = http.request { method = req.method, url = place.url .. req.path, headers = req.headers, raise = false,
      body = req.body and ids:real_ones(req.body) }
    out[#out + 1] = req.shown
    out[#out + 1] = ("< %d %s"):format(reply.status, reply.headers["content-type"] or "")
    for line in (ids:told(reply.body):gsub("\n$", "") .. "\n"):gmatch "([^\n]*)\n" do
      out[#out + 1] = line == "" and "<" or "< " .. line
    end
    out[#out + 1] = ""
  end
  return table.concat(out, "\n")
end

for _, entry in ipairs(fs.list(FOLDER)) do
  local name = type(entry) == "table" and entry.name or entry
  test("as recorded: " .. name:gsub("%.txt$", ""), { timeout = 3600 }, function(t)
    local text = fs.read(FOLDER .. name)
    local list, out = conversations(text), {}
    t.ok(#list >= 6, "conversations in " .. name)
    for i, one in ipairs(list) do out[i] = held(one) end
    local now = table.concat(out, "\n")
    if UPDATE then return fs.write(FOLDER .. name, now) end
    if now == text then return end
    local place = t.tmp()
    fs.write(place .. "/now", now)
    t.fail(proc.run { argv = { "diff", "-U2", FOLDER .. name, place .. "/now" } }.stdout .. "STOKE_UPDATE=1 writes it anew")
  end)
end
