-- stoke.schema against the official JSON Schema test suite (Debian: json-schema-test-suite), drafts 4, 6 and 7. Every case runs
-- whose keywords are checked; those left out are named here, each with its reason.

local fs = require "stoke.fs"
local json = require "stoke.json"
local schema = require "stoke.schema"
local test = require "stoke.test"

local ROOT = "/usr/share/json-schema-test-suite/tests"

-- Files left out whole: keywords and formats that are passed on unchecked (schema.unchecked says so).
local FILES = {
  ["pattern.json"] = "no regular expressions",
  ["patternProperties.json"] = "no regular expressions",
  ["refRemote.json"] = "nothing is fetched",
}

-- Cases left out: description of the group, or "group: case" -> reason. Each must be there, so that none outlives it.
local PATTERNS, REMOTE = "needs patternProperties", "refers to the meta-schema, a remote one"
local LARGE = "an integer beyond 64 bits is refused: a tool would get another number"
local INTERACTION = "properties, patternProperties, additionalProperties interaction: "
local CASES = {
  ["additionalProperties being false does not allow other properties: an additional property is invalid"] = PATTERNS,
  ["non-ASCII pattern with additionalProperties: not matching the pattern is invalid"] = PATTERNS,
  [INTERACTION .. "patternProperty invalidates property"] = PATTERNS,
  [INTERACTION .. "patternProperty invalidates nonproperty"] = PATTERNS,
  [INTERACTION .. "additionalProperty invalidates others"] = PATTERNS,
  ["valid definition"] = REMOTE,
  ["invalid definition"] = REMOTE,
  ["remote ref, containing refs itself"] = REMOTE,
  ["Recursive references between schemas"] = "refers to a part by its $id",
  ["some languages do not distinguish between different types of numeric value: " ..
    "a float is not an integer even without fractional part"] = "1.0 is an integer since draft 6",
  ["integer: a bignum is an integer"] = LARGE,
  ["integer: a negative bignum is an integer"] = LARGE,
}

-- Draft -> least number of cases that run; falls when something is skipped that was not.
local LEAST = { draft4 = 280, draft6 = 362, draft7 = 430 }

local DRAFT = "http://json-schema.org/draft-07/schema#" -- so that $ref stands alone, as it does there

local FORMATS = { "date", "date-time", "email", "hostname", "ipv4", "ipv6", "time", "uri" }

local skipped = {} -- of CASES, by all drafts

-- JSON's {} is an object; as a Lua table it could be an empty array too.
local function mark(v)
  if type(v) ~= "table" then return v end
  for _, item in next, v do mark(item) end
  if getmetatable(v) == nil then json.object(v) end
  return v
end

local function run_group(file, group, say)
  local definition = group.schema
  if type(definition) == "table" then definition["$schema"] = definition["$schema"] or DRAFT end
  local ok, s = pcall(schema.json, definition)
  local count = 0
  for _, case in ipairs(group.tests) do
    local name = ("%s: %s: %s"):format(file, group.description, case.description)
    local left_out = CASES[group.description] and group.description or group.description .. ": " .. case.description
    if CASES[left_out] then
      skipped[left_out] = true
    else
      count = count + 1
      if not ok then
        say(("%s: %s"):format(name, s.message or s))
      else
        local _, err = s:try(case.data)
        if (err == nil) ~= case.valid then say(("%s: %s"):format(name, err and err.message or "taken")) end
      end
    end
  end
  return count
end

local function run_draft(t, draft)
  local files = {}
  for _, entry in ipairs(fs.list(ROOT .. "/" .. draft)) do
    local name = type(entry) == "table" and entry.name or entry
    if name:find "%.json$" and not FILES[name] then files[#files + 1] = name end
  end
  if draft == "draft7" then
    for _, format in ipairs(FORMATS) do files[#files + 1] = ("optional/format/%s.json"):format(format) end
  end
  files[#files + 1] = "optional/zeroTerminatedFloats.json"
  files[#files + 1] = "optional/bignum.json"
  local count, wrong = 0, {}
  for _, name in ipairs(files) do
    for _, group in ipairs(mark(json.decode(fs.read(ROOT .. "/" .. draft .. "/" .. name)))) do
      count = count + run_group(draft .. "/" .. name, group, function(text) wrong[#wrong + 1] = text end)
    end
  end
  t.ok(#wrong == 0, ("%d of %d cases:\n%s\n"):format(#wrong, count, table.concat(wrong, "\n")))
  t.ok(count >= LEAST[draft], ("only %d cases of %s ran, %d are known to"):format(count, draft, LEAST[draft]))
end

for _, draft in ipairs { "draft4", "draft6", "draft7" } do
  test(("schema: the official test suite, %s"):format(draft), { real = true }, function(t)
    if not fs.stat(ROOT) then t.skip "the package json-schema-test-suite is not installed (.ci/packages test)" end
    run_draft(t, draft)
  end)
end

test("schema: what the suite's run leaves out is in the suite", { real = true }, function(t)
  if not fs.stat(ROOT) then t.skip "the package json-schema-test-suite is not installed (.ci/packages test)" end
  for draft in next, LEAST do run_draft(t, draft) end
  for name in next, CASES do t.ok(skipped[name], name .. ": no such case") end
end)
