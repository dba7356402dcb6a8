-- make bench: 10,000 texts embedded twice, 768 numbers each, by a server in this process that answers at once.  stoke embed.lua
--
-- The second pass must ask nothing. Its time beside the first is no measure of a real server, which takes milliseconds a text; it
-- says what a vector from the cache costs.

package.path = "tests/lua/?.lua;" .. package.path

local fake = require "fake"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local time = require "stoke.time"

local TEXTS <const>, NUMBERS <const> = 10000, 768

local row = {}
for i = 1, NUMBERS do row[i] = ("%.9g"):format((i * 2654435761 % 4294967296 / 4294967296 - 0.5) / 5) end
row = "[" .. table.concat(row, ",") .. "]"

local requests = 0
local server <close> = fake(function(req, res)
  if req.path == "/api/tags" then
    return res:reply(200, {}, json.encode { models = { { name = "e:latest", digest = ("0"):rep(64) } } })
  end
  requests = requests + 1
  local rows = {}
  for i = 1, #json.decode(req.body).input do rows[i] = row end
  res:reply(200, {}, ('{"model":"e","embeddings":[%s],"prompt_eval_count":%d}'):format(table.concat(rows, ","), #rows))
end)

local texts = {}
for i = 1, TEXTS do texts[i] = ("text number %d of this run, %.6f"):format(i, time.now()) end

local function pass()
  requests = 0
  local began = time.cpu()
  local reply = ollama.embed { model = "e", endpoint = server.url, input = texts }
  return requests, time.cpu() - began, reply
end

local first, paid, fresh = pass()
local second, free, cached = pass()
for i = 1, TEXTS, 997 do
  for k = 1, NUMBERS do assert(fresh.embeddings[i][k] == cached.embeddings[i][k]) end
end
print(("%-46s %10d %10d %-6s (at most 0)%s"):format("10,000 texts embedded again: requests", second, first, "",
  second > 0 and "  MISSED" or ""))
print(("%-46s %10.1f %10.1f %-6s %5.2fx"):format("the same, CPU of this process, a text", free / TEXTS * 1e6,
  paid / TEXTS * 1e6, "us", free / paid))
