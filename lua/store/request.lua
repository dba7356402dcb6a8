--- Requests as what they add to an earlier one of the same run. Conversations grow at their end: of a request with messages only
--- those are kept that no earlier request of the run began with. Messages are known again by their text, and what was once kept of
--- a table is known by the table: kept requests do not change.

local json = require "core.json"
local plain = require "core.store.plain"

local M = {}

local GROWING = getmetatable(json.growing {})[1]
local math_type = math.type
local encode, hash, concat, move = plain.encode, plain.hash, table.concat, table.move

--- Bytes of a value's text from which on it is kept as a content of its own; as of strings (host/bind/bind_plain.h).
M.LONG = 200
--- Messages a run is known to have asked with. Beyond that it begins anew, and its next request is kept whole.
local NODES <const> = 20000
-- What requests are beside their messages is written again up to so many bytes.
local SHORTEST <const> = 20

---@class stoke.store.requests what a run has asked so far
---@field root table known beginnings: node.next[text] = node of one message more; node.number is a record that begins so
---@field nodes integer
---@field texts table<table, string> of messages, weak
---@field rests table<string, integer> what requests were beside their messages -> a record that has it
---@field last? string what the last one was beside them, with its record in last_number, and that as text in last_words
---@field paths table<table, any[]> first message -> the last request that began with it: message, node, message, node, ...; weak
local Requests = {}
Requests.__index = Requests

local WEAK = { __mode = "k" }
local function new_paths() return setmetatable({}, WEAK) end

---@return stoke.store.requests
function M.new()
  return setmetatable({ root = { next = {} }, nodes = 0, texts = setmetatable({}, WEAK), rests = {}, last = nil,
    last_number = nil, last_words = nil, paths = new_paths() }, Requests)
end

--- A text, or what stands for it where it is long.
local function short(text, sink)
  if #text < M.LONG then return text end
  local h = hash(text)
  sink[h] = text
  return '{"$value":"' .. h .. '"}'
end

--- Do the messages of a list stay as they are?
local function is_lasting(list)
  local meta = getmetatable(list)
  return type(meta) == "table" and rawget(meta, 1) == GROWING
end

--- The list of messages of a request.
local function messages_of(request)
  local body = request.body
  local messages = type(body) == "table" and body.messages
  if type(messages) ~= "table" or #messages == 0 then messages = request.messages end
  return type(messages) == "table" and #messages > 0 and messages or nil
end

--- The text of a message; what was once made of a table that does not change is known.
function Requests:text_of(message, sink, lasting)
  if type(message) ~= "table" then lasting = false end
  local known = lasting and self.texts[message]
  if known then return known end
  local text = encode(message, sink, true)
  if not text then return nil end
  text = short(text, sink)
  if lasting then self.texts[message] = text end
  return text
end

--- How far messages are those of a path, as tables: their number, the node of the last one, and a record that begins so.
local function agree(path, messages, root)
  local known, node = 0, root
  for i = 1, #messages do
    if path[2 * i - 1] ~= messages[i] then break end
    known, node = i, path[2 * i]
  end
  for i = #path, 2 * known + 1, -1 do path[i] = nil end
  return known, node, node.number
end

--- The next request that begins with the same table is likely to go on with the same ones.
function Requests:remember(messages)
  local path, node = {}, self.root
  for i = 1, #messages do
    node = node.next[self.texts[messages[i]] or ""]
    if not node then return end
    path[2 * i - 1], path[2 * i] = messages[i], node
  end
  if type(messages[1]) == "table" then self.paths[messages[1]] = path end
end

--- The next request begins anew: also where one was noted that is not kept.
---@return nil
function Requests:forget()
  self.root, self.nodes, self.rests, self.last, self.paths = { next = {} }, 0, {}, nil, new_paths()
end

--- What a request is beside its messages: the number of a record that has the same, where there is one. Mostly it is that of the
--- last request, which is found without a hash of all of the text.
function Requests:rest(text, number, sink)
  if text ~= self.last then
    local known = self.rests[text]
    if not known then
      if #text <= SHORTEST then return short(text, sink) end
      known, self.nodes = number, self.nodes + 1
      self.rests[text] = known
    end
    self.last, self.last_number, self.last_words = text, known, tostring(known)
  end
  if self.last_number < number then return self.last_words end
  return short(text, sink)
end

--- A request as it is kept: base and kept are nil where it has no messages.
---@param request any
---@param number integer of its record
---@param sink table<string, string> takes contents by their hash
---@param raw? boolean it is the script's own, which may change; else a copy
---@return string|nil text nil: it is not plain
---@return integer|nil base number of the record it continues; nil: none
---@return integer|nil kept messages of that
function Requests:encode(request, number, sink, raw)
  if type(request) ~= "table" or not request.messages and not request.body then return (encode(request, sink, true)) end
  local messages = messages_of(request)
  if not messages then return (encode(request, sink, true)) end
  local lasting = not raw or is_lasting(messages)
  if self.nodes > NODES then self:forget() end
  local path = lasting and self.paths[messages[1]]
  local node, base, known = self.root, nil, 0
  if path then known, node, base = agree(path, messages, node) end
  local kept, added = known, {}
  for i = known + 1, #messages do
    local text = self:text_of(messages[i], sink, lasting)
    if not text then return self:forget() end
    local following = kept == i - 1 and node.next[text]
    if following then
      base, kept = following.number, i
    else
      following = { next = {}, number = number }
      node.next[text], self.nodes = following, self.nodes + 1
      added[#added + 1] = text
    end
    node = following
    if path then path[2 * i - 1], path[2 * i] = messages[i], node end
  end
  if lasting and not path then self:remember(messages) end
  local text, times = encode(request, sink, true, nil, messages)
  if not text then return self:forget() end
  if times ~= 1 then -- it is asked with them in another place, too
    self:forget()
    return (encode(request, sink, true))
  end
  return '{"add":[' .. concat(added, ",") .. '],"rest":' .. self:rest(text, number, sink) .. "}", base, kept
end

-- ---- reading ------------------------------------------------------------------------------------------------------------------

---@class stoke.store.kept_requests of a run that was loaded; made whole when somebody wants one
---@field contents table<string, string>
---@field rows table[] with `asked`, `base` and `kept`, as they are kept; its own list, as a journal puts others in place of some
---@field texts table<integer, string> of requests that were made whole, whose rows may have been made whole, too
---@field lists table<integer, table[]> messages that were made
local Kept = {}
Kept.__index = Kept

---@param rows table[]
---@param contents table<string, string>
---@return stoke.store.kept_requests
function M.kept(rows, contents)
  return setmetatable({ contents = contents, rows = move(rows, 1, #rows, 1, {}), texts = {}, lists = {} }, Kept)
end

--- The messages of a record, from those that it continues; what it adds is `part`.
function Kept:messages(number, part)
  local chain, rows = { number }, self.rows
  local base = rows[number].base
  while base and not self.lists[base] do
    chain[#chain + 1] = base
    base = rows[base].base
  end
  local list
  for i = #chain, 1, -1 do
    local at = chain[i]
    local row = rows[at]
    local add = at == number and part.add or assert(plain.decode(row.asked, self.contents)).add
    local from, kept = self.lists[row.base], row.kept
    list = from and move(from, 1, kept, 1, {}) or {}
    move(add, 1, #add, #list + 1, list)
    self.lists[at] = list
  end
  return list
end

--- The request of a row.
---@param row table
---@return any request
---Raises `protocol` where the file is damaged.
function Kept:of(row)
  local text = row.asked
  if not text then return nil end
  local value, err = plain.decode(text, self.contents)
  if err then error(err, 0) end
  if not row.kept then return value end
  local request = value.rest
  if math_type(request) == "integer" then -- the same as of that record
    request = assert(plain.decode(self.texts[request] or self.rows[request].asked, self.contents)).rest
  else
    self.texts[row.number] = text
  end
  local list = self:messages(row.number, value)
  local body = type(request.body) == "table" and request.body.messages and request.body or request
  move(list, 1, #list, 1, body.messages)
  return request
end

return M
