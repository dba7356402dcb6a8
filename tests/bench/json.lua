-- make bench: JSON decode and encode beside lua-cjson, in turns, medians.  stoke json.lua

local cjson = require "cjson"
local json = require "stoke.json"
local time = require "stoke.time"

local ROUNDS, SECONDS = 7, 0.04

local small = [[{"model":"qwen2.5:3b","created_at":"2026-01-02T03:04:05.678901234Z",]] ..
  [["message":{"role":"assistant","content":" yes"},"done":false}]]

local call = [[{"id":"call_%d","function":{"index":%d,"name":"get_current_weather","arguments":{"city":"%s",]] ..
  [["country":"%s","units":"metric","days":3,"detailed":true,"fields":["temperature","humidity","wind","rain"]}}}]]
local final = [[{"model":"qwen2.5:3b","created_at":"2026-01-02T03:04:05.678901234Z","message":{"role":"assistant",]] ..
  [["content":"I will look up the weather in both cities, compare the two and tell you which of them is drier, ]] ..
  [[warmer and calmer over the next three days; one moment please.\nFirst Oslo, then Rome.","tool_calls":[]] ..
  call:format(1, 0, "Oslo", "Norway") .. "," .. call:format(2, 1, "Rome", "Italy") ..
  [[]},"done":true,"done_reason":"stop","total_duration":4883583458,"load_duration":1334875,]] ..
  [["prompt_eval_count":226,"prompt_eval_duration":342546000,"eval_count":282,"eval_duration":4535599000}]]

-- Floats as a server of 32-bit vectors writes them.
local function vector(n)
  local parts, state = {}, 42
  for i = 1, n do
    state = (state * 1103515245 + 12345) % 2147483648
    parts[i] = ("%.9g"):format((state / 2147483648 - 0.5) / 5)
  end
  return '{"model":"m","embeddings":[[' .. table.concat(parts, ",") .. "]]}"
end

local function microseconds(f, argument, times)
  time.sleep(0) -- a turn for the others: no watchdog in the figures
  local start = time.cpu()
  for _ = 1, times do f(argument) end
  return (time.cpu() - start) / times * 1e6
end

local function compare(what, ours, our_argument, theirs, their_argument, limit)
  local times = 1
  while microseconds(theirs, their_argument, times) * times < SECONDS * 1e6 do times = times * 2 end
  local a, b = {}, {}
  for i = 1, ROUNDS do
    a[i], b[i] = microseconds(ours, our_argument, times), microseconds(theirs, their_argument, times)
  end
  table.sort(a)
  table.sort(b)
  local mine, other = a[ROUNDS // 2 + 1], b[ROUNDS // 2 + 1]
  local ratio = mine / other
  print(("%-46s %10.2f %10.2f %-6s %5.2fx  %s"):format(what, mine, other, "us", ratio,
    limit and ("(at most %.2fx)%s"):format(limit, ratio > limit and "  MISSED" or "") or ""))
end

print(("%-46s %10s %10s"):format("", "stoke", "lua-cjson"))
for _, row in ipairs { { "a token's line", small }, { "a chunk with two tool calls", final, 1 },
                       { "an embedding of 768", vector(768) } } do
  local text = row[2]
  local name = ("%s, %d bytes"):format(row[1], #text)
  compare("decode " .. name, json.decode, text, cjson.decode, text, row[3])
  compare("encode " .. name, json.encode, json.decode(text), cjson.encode, cjson.decode(text), row[3])
end
