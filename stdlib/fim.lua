--- stoke.fim: what belongs at the cursor. A model fills the hole between a prefix and a suffix.
---
---     local fim = require "stoke.fim"
---     print(fim.complete { prefix = "def add(a, b):\n    return ", suffix = "\n", path = "add.py" }.text)
---
--- A server whose model can `insert` gets the suffix, and writes the prompt with the model's own template; any other gets a prompt
--- that is written here, raw, with the tokens of the model's family (stoke.fim.families). The stream is closed as soon as enough
--- has come: at the family's stop tokens, at the suffix, at lines that repeat, at the end of the block (stoke.fim.stops).
---
--- How a model is loaded is its profile's alone: no completion says num_ctx, keep_alive or another load option, so none loads a
--- model anew. Without a model in the call one that is loaded already is taken before others.
---
--- `fim.session` is for an editor's buffer: of calls that follow each other the latest alone asks, and one who types along with an
--- answer asks nothing.

local asking = require "stoke.model"
local errors = require "core.errors"
local families = require "stoke.fim.families"
local ollama = require "stoke.ollama"
local place = require "stoke.fim.place"
local prompt = require "stoke.fim.prompt"
local sessions = require "stoke.fim.session"
local stops = require "stoke.fim.stops"

local M = {}

--- Tokens of a prompt where nothing is said: a small model reads them in a moment.
M.BUDGET = 2048

--- Tokens of an answer, by what is wanted.
M.PREDICT = { one = 64, many = 256 }

local OPTIONS = { prefix = "string", suffix = "string", path = "string", language = "string", repo = "string", files = "table",
  model = "string", endpoint = "string", family = "string", raw = "boolean", lines = "string", budget = "number",
  predict = "number", temperature = "number", seed = "number" }

---@class stoke.fim.request
---@field prefix string what precedes the cursor
---@field suffix? string what follows it
---@field path? string of the file: its ending says the language
---@field language? string "python"; for the end of a block and for comments
---@field repo? string name of the repository, for families that know repositories
---@field files? stoke.fim.file[] other files that may help, the most useful first
---@field model? string default: fim.model()
---@field endpoint? string
---@field family? string whose tokens are used; default: by the model's name
---@field raw? boolean true: with the prompt written here; false: the server gets the suffix. Default: what the model can
---@field lines? "one"|"many" default: by language and place
---@field budget? integer tokens of the prompt (2048), and never more than the model's window has room for
---@field predict? integer tokens of the answer (64 for one line, 256 for many)
---@field temperature? number (0)
---@field seed? integer

---@class stoke.fim.completion
---@field text string what belongs at the cursor; "" where nothing does
---@field why? string what ended it: "token", "line", "suffix", "repeat", "block", "lines"; nil: the model did
---@field model string
---@field family? string whose tokens were used; nil: the server wrote the prompt
---@field lines "one"|"many"

local can_insert = setmetatable({}, { __mode = "k" })

--- Can the model fill holes by its own template? Asked once; nil and an error where nobody says.
local function look(target)
  local known = can_insert[target]
  if known ~= nil then return known end
  local can, err = asking.capabilities(target)
  if err then return nil, err end
  can_insert[target] = can.insert == true
  return can_insert[target]
end

local function inserts(target)
  local can, err = look(target)
  if err then error(err, 0) end
  return can
end

local function loaded_first(endpoint)
  local names, seen = {}, {}
  local function add(list)
    for _, entry in ipairs(list or {}) do
      local name = entry.model or entry.name
      if not seen[name] then names[#names + 1], seen[name] = name, true end
    end
  end
  add(ollama.ps(endpoint).models)
  add(ollama.tags(endpoint).models)
  return names
end

--- The model for completions: of the models that are loaded, then of all, the first that can `insert` or whose family is known.
---@param endpoint? string
---@return string
---Raises `usage` where there is none.
---
--- Example: `local model = fim.model()`
function M.model(endpoint)
  local names = loaded_first(endpoint)
  for _, name in ipairs(names) do
    if families.of(name) or inserts(asking.open(name, endpoint)) then return name end
  end
  errors.raise("usage", ("no model here can fill a hole (%s)"):format(#names > 0 and table.concat(names, ", ") or "there are none"),
    { hint = "stoke pull qwen2.5-coder:1.5b, or say which family's tokens one knows: fim.complete { model =, family = }" })
end

local function check_files(what, files)
  for i, file in ipairs(files) do
    if type(file) ~= "table" or type(file.path) ~= "string" or type(file.text) ~= "string" then
      errors.argument("%s: files[%d] must be { path =, text = }", what, i)
    end
  end
end

local function checked(what, given)
  local q = errors.options(given, OPTIONS, what)
  if not q.prefix then errors.argument("%s: prefix is missing", what) end
  if q.lines and q.lines ~= "one" and q.lines ~= "many" then
    errors.argument('%s: lines must be "one" or "many", got %s', what, errors.describe(q.lines))
  end
  check_files(what, q.files or {})
  local out = {}
  for name, value in next, q do out[name] = value end
  out.suffix, out.files = q.suffix or "", q.files or {}
  out.language = q.language or place.language(q.path)
  return out
end

--- The family whose tokens are used; nil: the server writes the prompt.
local function family_of(what, q, target)
  local named = q.family and families.named(q.family)
  if q.family and not named then
    local names = {}
    for i, family in ipairs(families.list) do names[i] = family.name end
    errors.argument("%s: no family %s; there are %s", what, q.family, table.concat(names, ", "))
  end
  if q.raw == false then return nil end
  if q.raw == nil and not named and inserts(target) then return nil end
  local family = named or families.of(q.model)
  if family then return family end
  errors.raise("usage", ("%s cannot insert, and its family is not known"):format(q.model),
    { hint = 'say whose tokens it knows: family = "qwen2.5-coder"' })
end

--- Bytes that the prompt may have.
local function room(q, target, predict)
  local window = asking.known(target)
  local tokens = q.budget or M.BUDGET
  if window then tokens = math.min(tokens, window - predict - 16) end
  return math.max(0, math.floor(tokens * 1000 / asking.estimate(target, 1000)))
end

---@class stoke.fim.plan what is asked
---@field call table for ollama.stream
---@field place stoke.fim.place
---@field family? stoke.fim.family
---@field suffix string all that follows the cursor

--- What would be asked, without asking it: the model may be asked what it can.
---@param given stoke.fim.request
---@return stoke.fim.plan
---Raises `argument`, `usage`.
---
--- Example: `print(fim.plan { prefix = "x = ", model = "codellama:7b" }.call.prompt)`
function M.plan(given) return M.planned("fim.plan", given) end

---@private
function M.planned(what, given)
  local q = checked(what, given)
  q.model = q.model or M.model(q.endpoint)
  local target = asking.open(q.model, q.endpoint)
  local family, at = family_of(what, q, target), place.of(q.prefix, q.suffix, q.language)
  at.lines = q.lines or at.lines
  local predict = q.predict or M.PREDICT[at.lines]
  local kept = prompt.fit(q, room(q, target, predict))
  local call = { model = q.model, endpoint = q.endpoint,
    options = { num_predict = predict, temperature = q.temperature or 0, seed = q.seed, stop = family and family.stop } }
  if family then
    call.prompt, call.raw = prompt.render(family, kept), true
  else
    call.prompt = (kept.files[1] and prompt.comments(kept.files, q.language) or "") .. kept.prefix
    call.suffix = kept.suffix ~= "" and kept.suffix or nil
  end
  return { call = call, place = at, family = family, suffix = q.suffix }
end

--- What belongs at the cursor. Leaving it, by a cancellation or a deadline, closes the stream, and the model's slot is free.
---@param given stoke.fim.request
---@return stoke.fim.completion
---Raises `argument`, `usage`, and what ollama.stream raises.
---
--- Example: `print(fim.complete { prefix = "local x = ", path = "a.lua", model = "qwen2.5-coder:1.5b" }.text)`
function M.complete(given)
  local plan = M.planned("fim.complete", given)
  local stop = stops.new(plan.place, plan.suffix, plan.family and plan.family.stop)
  local model, lines = plan.call.model, plan.place.lines
  if plan.call.prompt == "" then return { text = "", model = model, lines = lines } end -- it would only load the model
  for text in ollama.text(plan.call) do
    if stop:feed(text) then break end
  end
  local text, why = stop:finish()
  return { text = text, why = why, model = model, family = plan.family and plan.family.name, lines = lines }
end

--- What is asked of a model that cannot fill a hole by its template, of a family that is known: for calls that are passed through.
---@private
---@param target stoke.target
---@param text string what precedes the hole
---@param suffix string
---@return string|nil prompt nil: the server itself gets the suffix
---@return string[]|nil stop
function M.instead(target, text, suffix)
  local family = families.of(target.served or target.name)
  if not family then return nil end
  if look(target) ~= false then return nil end -- one that cannot be asked will say so itself
  return prompt.render(family, { prefix = text, suffix = suffix, files = {} }), family.stop
end

--- A session for one buffer of an editor: see stoke.fim.session.
---@param options? { complete?: function, wait?: number, entries?: integer, bytes?: integer } `complete` makes a completion, or its
---  text, of a request (fim.complete); seconds of silence before it is called (0.15); answers kept (32), and their bytes (1 MB)
---@return stoke.fim.session
---
--- Example: `local session = fim.session { wait = 0.15 }`
function M.session(options) return sessions.new(options, M.complete) end

return M
