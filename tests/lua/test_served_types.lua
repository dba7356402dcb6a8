-- A value of a wrong type, at every place of every request: a server of agents refuses it with the status and the words of the real
-- server, which tests/golden/refusals.txt holds (see refusals.lua).

local test = require "stoke.test"
local fs = require "stoke.fs"
local refusals = require "refusals"
local served = require "served"

--- Where an agent answers otherwise than a model does, and why: { place, value or nil for any, our status }.
local OTHERWISE = {
  ["/api/chat"] = {
    { "messages.%d+", nil, 400 }, { "messages.%d+.role", nil, 400 }, { "messages", nil, 400 }, -- nobody has that role
    { "think", "true", 200 }, -- an agent's thoughts are what it does
    { "options.*", nil, 200 }, -- numbers that no float32 holds
    { "format", '{"a":1}', 200 }, -- a schema that says nothing allows everything
    { "tools.*", nil, 400 }, -- a tool without a name cannot be lent
  },
  ["/api/generate"] = { { "raw", "true", 200 }, { "think", "true", 200 }, { "format", '{"a":1}', 200 }, { "suffix", '"x"', 400 } },
  ["/v1/chat/completions"] = {
    { "messages.%d+.role", nil, 400 }, { "messages.0.content", "[]", 400 }, { "tools.*", nil, 400 },
    { "response_format.json_schema.schema..+", nil, 400 }, { "response_format.json_schema.schema", '{"a":1}', 200 },
  },
  ["/v1/completions"] = { { "prompt", nil, 400 }, { "suffix", '"x"', 400 } },
}

local function otherwise(path, place, value)
  for _, entry in ipairs(OTHERWISE[path] or {}) do
    if place:find("^" .. entry[1] .. "$") and (not entry[2] or entry[2] == value) then return entry[3] end
  end
end

--- Our words as those of that version: without what a newer one has learned, and what we tell beside.
local function plain(text) return (text:gsub('"max", ', ""):gsub(" %(did you mean .*%)$", "")) end

local function golden(path)
  local known, count = {}, 0
  for line in fs.read(path):gmatch "[^\n]+" do
    local number, _, place, value, status, text = line:match "^(%d+)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t(%d+)\t(.*)$"
    known[number .. " " .. place .. " " .. value] = { tonumber(status), text }
    count = count + 1
  end
  return known, count
end

test("a wrong type anywhere is refused as the real server refuses it", { timeout = 120 }, function(t)
  local known, count = golden "tests/golden/refusals.txt"
  local place <close> = served(function() return "{}" end, function(agent) return { agent { name = refusals.MODEL } } end)
  local different, asked = {}, 0
  refusals.each(function(base, at, value, body)
    local number
    for i, one in ipairs(refusals.BASES) do number = one == base and i or number end
    local want = known[number .. " " .. at .. " " .. value]
    if not want then return end
    asked = asked + 1
    local r = place:ask(base[1], base[2], body)
    local ok, text = pcall(refusals.text_of, r.status, r.body)
    local status = otherwise(base[2], at, value)
    if not ok or type(text) ~= "string" then
      different[#different + 1] = ("%s %s = %s: %d %s"):format(base[2], at, value, r.status, r.body)
    elseif r.status ~= status and (r.status ~= want[1] or plain(text) ~= want[2]) then
      different[#different + 1] = ("%s %s = %s: wanted %d %s, got %d %s"):format(base[2], at, value, want[1], want[2],
        r.status, text)
    end
  end)
  t.eq(asked, count, "the golden file fits refusals.lua")
  t.eq(different, {})
end)
