-- Requests with one value of a wrong type, at every place of every request: what a server is asked when its refusals are compared.
--
--     refusals.each(function(base, place, value, body) ... end)
--
-- tests/live/record_refusals.lua asks a real server and writes tests/golden/refusals.txt; test_served_types.lua holds ours to that.

local json = require "stoke.json"

local M = {}

--- The model that is asked; the real one must call tools, and not think.
M.MODEL = "tools"

local TOOL = [[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object",
  "properties":{"a":{"type":"string","description":"q","enum":["x"]}},"required":["a"]}}}]]
local CALL = [[{"role":"assistant","content":"","tool_calls":[{"id":"c1","function":{"name":"f","arguments":{"a":"b"}}}]}]]
local V1_CALL = [[{"role":"assistant","content":"","tool_calls":[{"id":"c1","index":0,"type":"function",
  "function":{"name":"f","arguments":"{}"}}]}]]
local OPTIONS = [[{"num_predict":1,"num_ctx":512,"temperature":0.5,"stop":["a"],"seed":1,"top_k":1,"top_p":0.5,"min_p":0.1,
  "typical_p":0.5,"repeat_last_n":1,"repeat_penalty":1.0,"presence_penalty":0.0,"frequency_penalty":0.0,"num_keep":1,"num_batch":8,
  "num_gpu":0,"main_gpu":0,"use_mmap":true,"num_thread":1}]]
local SAMPLING = [["stop":"a","temperature":0.5,"top_p":0.5,"frequency_penalty":0.0,"presence_penalty":0.0,"max_tokens":1,"seed":1]]

--- Requests that are sound; each place in them gets each of the values below.
M.BASES = {
  { "POST", "/api/chat", [[{"model":"tools","stream":false,"messages":[{"role":"user","content":"Hi","thinking":"","images":[],
    "tool_name":"","tool_call_id":"","tool_calls":[]}],"tools":[],"format":"","keep_alive":5,
    "options":]] .. OPTIONS .. [[,"think":false,"truncate":true,"shift":true,"logprobs":false,"top_logprobs":0}]] },
  { "POST", "/api/chat", [[{"model":"tools","stream":false,"messages":[{"role":"user","content":"Hi"},]] .. CALL .. [[,
    {"role":"tool","content":"r","tool_call_id":"c1"}],"options":{"num_predict":1},"tools":[]] .. TOOL .. [[]}]] },
  { "POST", "/api/generate", [[{"model":"tools","stream":false,"prompt":"Hi","suffix":"","system":"s","template":"","context":[],
    "raw":false,"images":[],"format":"","keep_alive":5,"options":{"num_predict":1},"think":false,"truncate":true,"shift":true,
    "logprobs":false,"top_logprobs":0}]] },
  { "POST", "/api/show", [[{"model":"tools","name":"","system":"","template":"","verbose":false,"options":{}}]] },
  { "POST", "/v1/chat/completions", [[{"model":"tools","stream":false,"stream_options":{"include_usage":true},]]
    .. SAMPLING .. [[,"messages":[{"role":"user","content":"Hi","reasoning":"","name":"n","tool_call_id":""}],"logprobs":false,
    "top_logprobs":0,"response_format":{"type":"text"},"tools":[],"reasoning":{"effort":"none"},"reasoning_effort":"none"}]] },
  { "POST", "/v1/chat/completions", [[{"model":"tools","max_tokens":1,"messages":[{"role":"user","content":"Hi"},]]
    .. V1_CALL .. [[,{"role":"tool","content":"r","tool_call_id":"c1"}],"tools":[]] .. TOOL .. [[]}]] },
  { "POST", "/v1/chat/completions", [[{"model":"tools","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text",
    "text":"a"}]}],"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object"}}}}]] },
  { "POST", "/v1/completions", [[{"model":"tools","prompt":"Hi","suffix":"","stream":false,]] .. SAMPLING .. [[,
    "stream_options":{"include_usage":true},"logprobs":0}]] },
  -- of these the types alone: what they do is another matter
  { "POST", "/api/pull", [[{"model":"nosuch","name":"","stream":false,"insecure":false,"username":"",
    "password":""}]], types = true },
  { "POST", "/api/push", [[{"model":"nosuch","name":"","stream":false,"insecure":false,"username":"",
    "password":""}]], types = true },
  { "POST", "/api/create", [[{"model":"nosuch","name":"","stream":false,"quantize":"","from":"nosuch","files":{},"adapters":{},
    "template":"","license":"","system":"","parameters":{},"messages":[]}]], types = true },
  { "POST", "/api/copy", [[{"source":"nosuch","destination":"nosuch"}]], types = true },
  { "DELETE", "/api/delete", [[{"model":"nosuch","name":""}]], types = true },
}

M.VALUES = { "null", "true", "7", "1.5", '"x"', '""', "[]", "[1]", "[null]", "{}", '{"a":1}', "100000000000000000000" }

local function places(value, at, out)
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    local place = table.move(at, 1, #at, 1, {})
    place[#place + 1] = key
    out[#out + 1] = place
    if type(value[key]) == "table" then places(value[key], place, out) end
  end
  return out
end

local function shown(place)
  local parts = {}
  for i, key in ipairs(place) do parts[i] = math.type(key) and tostring(key - 1) or key end
  return table.concat(parts, ".")
end

--- The body of a base with a value at a place: the bytes of the value as they are.
local function body_of(text, place, value)
  local body = json.decode(text, { ordered = true })
  local at = body
  for i = 1, #place - 1 do at = at[place[i]] end
  at[place[#place]] = "THE VALUE"
  return (json.encode(body):gsub('"THE VALUE"', function() return value end, 1))
end

--- Calls `ask(base, place, value, body)` for each request.
function M.each(ask)
  for _, base in ipairs(M.BASES) do
    for _, place in ipairs(places(json.decode(base[3]), {}, {})) do
      for _, value in ipairs(M.VALUES) do ask(base, shown(place), value, body_of(base[3], place, value)) end
    end
  end
end

--- What the error of an answer says; "" where it is none.
function M.text_of(status, body)
  if status < 400 then return "" end
  local value = json.decode(body)
  local err = type(value) == "table" and value.error
  return type(err) == "table" and err.message or err
end

--- A line of the golden file.
function M.line(number, base, place, value, status, text)
  return table.concat({ number, base[2], place, value, status, (text:gsub("[\n\t]", " ")) }, "\t")
end

return M
