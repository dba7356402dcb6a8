--- A language server that completes at the cursor, and does nothing else: textDocument/inlineCompletion (LSP 3.18), and
--- textDocument/completion for editors without it.

local about = require "core.about"
local document = require "stoke.lsp.document"
local errors = require "core.errors"
local json = require "core.json"
local peers = require "stoke.acp.peer"
local sessions = require "stoke.fim.session"

local M = {}

--- Bytes of a document, and documents at once, at most. What is larger, or one too many, is not completed in.
M.BYTES, M.DOCUMENTS = 4 << 20, 256

--- Bytes of other open documents that a completion is given, and how many documents.
M.OTHERS, M.FILES = 1 << 16, 8

---@class stoke.lsp.server
---@field encoding "utf-8"|"utf-16"
---@field open table<string, { doc: stoke.lsp.document, session: stoke.fim.session, used: integer }>
local Server = {}
Server.__index = Server

local INVALID <const>, NOT_READY <const> = -32602, -32002

local function bad(format, ...) return nil, { code = INVALID, message = format:format(...) } end

local function path_of(uri)
  local path = uri:match "^file://[^/]*(/.*)$"
  return path and (path:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)) or uri
end

local function is_position(p)
  return type(p) == "table" and math.type(p.line) == "integer" and math.type(p.character) == "integer"
    and p.line >= 0 and p.character >= 0
end

local function has(list, value)
  for _, item in ipairs(type(list) == "table" and list or {}) do
    if item == value then return true end
  end
  return false
end

local function field(value, ...)
  for _, name in ipairs { ... } do
    value = type(value) == "table" and value[name] or nil
  end
  return value
end

-- ---- beginning and end --------------------------------------------------------------------------------------------------------

local function initialize(self, params)
  if self.ready then return nil, { code = -32600, message = "initialize was called already" } end
  self.ready = true
  if has(field(params, "capabilities", "general", "positionEncodings"), "utf-8") then self.encoding = "utf-8" end
  local root = params.rootUri
  self.root = type(root) == "string" and path_of(root) or nil
  return { capabilities = { positionEncoding = self.encoding, textDocumentSync = { openClose = true, change = 2 },
    inlineCompletionProvider = json.object {}, completionProvider = { resolveProvider = false } },
    serverInfo = { name = "stoke", version = about.version } }
end

-- ---- documents ----------------------------------------------------------------------------------------------------------------

--- Keep a document as it is now, or let it go where it has become too large.
local function opened(self, params)
  local item = params.textDocument
  if type(item) ~= "table" or type(item.uri) ~= "string" or type(item.text) ~= "string" then return end
  if not self.open[item.uri] then
    if self.count >= M.DOCUMENTS then return self:log(("%s is one document too many: it is not completed in"):format(item.uri)) end
    self.count = self.count + 1
  end
  if #item.text > M.BYTES then
    self.count, self.open[item.uri] = self.count - 1, nil
    return self:log(("%s has more than %d MB: it is not completed in"):format(item.uri, M.BYTES >> 20))
  end
  self.uses = self.uses + 1
  self.open[item.uri] = { used = self.uses, session = sessions.new({ wait = self.wait }, function(q) return self.complete(q) end),
    doc = document.new(item.uri, type(item.languageId) == "string" and item.languageId or nil, math.tointeger(item.version) or 0,
      item.text, self.encoding) }
end

local function closed(self, params)
  local uri = field(params, "textDocument", "uri")
  local entry = type(uri) == "string" and self.open[uri]
  if not entry then return end
  entry.session:cancel()
  self.open[uri], self.count = nil, self.count - 1
end

local function changed(self, params)
  local entry = self.open[field(params, "textDocument", "uri") or false]
  if not entry or type(params.contentChanges) ~= "table" then return end
  self.uses = self.uses + 1
  entry.used = self.uses
  for _, change in ipairs(params.contentChanges) do
    local range = type(change) == "table" and change.range
    if type(change) == "table" and type(change.text) == "string"
      and (not range or is_position(range.start) and is_position(range["end"])) then
      entry.doc:change(change)
    end
  end
  entry.doc.version = math.tointeger(field(params, "textDocument", "version")) or entry.doc.version
  if entry.doc.size > M.BYTES then
    closed(self, params)
    self:log(("%s has grown to more than %d MB: it is not completed in any more"):format(params.textDocument.uri, M.BYTES >> 20))
  end
end

-- ---- completions --------------------------------------------------------------------------------------------------------------

--- The other documents, the one used last first.
local function others(self, entry)
  local list = {}
  for _, other in next, self.open do
    if other ~= entry then list[#list + 1] = other end
  end
  table.sort(list, function(a, b) return a.used > b.used end)
  local out, left = {}, M.OTHERS
  for i = 1, math.min(#list, M.FILES) do
    local doc = list[i].doc
    if doc.size <= left then
      out[#out + 1], left = { path = self:short(path_of(doc.uri)), text = doc:text() }, left - doc.size
    end
  end
  return out
end

--- A path below the workspace's, as it is said to a model.
function Server:short(path)
  local root = self.root
  return root and path:sub(1, #root + 1) == root .. "/" and path:sub(#root + 2) or path:match "[^/]*$"
end

--- What belongs at a position; nil: nothing, or a later question has come.
local function ask(self, params)
  if not self.ready then return nil, { code = NOT_READY, message = "initialize was not called" } end
  local uri, position = field(params, "textDocument", "uri"), params.position
  if type(uri) ~= "string" then return bad "textDocument.uri is missing" end
  if not is_position(position) then return bad "position must be { line, character }" end
  local entry = self.open[uri]
  if not entry then return "" end -- too large, or never opened
  local doc = entry.doc
  local prefix, suffix = doc:split(position)
  local done, why = entry.session:complete { prefix = prefix, suffix = suffix, path = self:short(path_of(uri)),
    language = doc.language, files = others(self, entry) }
  if why then return nil, { code = -32802, message = why } end -- ServerCancelled: the client may ask again
  return done.text, nil, doc, prefix
end

local function inline(self, params)
  local text, err = ask(self, params)
  if err then return nil, err end
  return { items = text ~= "" and { { insertText = text } } or json.array {} }
end

--- Editors filter by the word in front of the cursor, so it is part of what is offered.
local function completion(self, params)
  local text, err, doc, prefix = ask(self, params)
  if err then return nil, err end
  if text == "" then return { isIncomplete = true, items = json.array {} } end
  local line = prefix:match "[^\n]*$"
  local word = line:match "[%w_]*$"
  local start = { line = params.position.line, character = document.units(line, #line - #word, doc.encoding) }
  local label = (word .. text):match "^%s*([^\n]*)"
  local item = { label = label ~= "" and label or word .. "...", kind = 1, filterText = word, preselect = true, detail = "stoke",
    insertTextFormat = 1, textEdit = { range = { start = start, ["end"] = params.position }, newText = word .. text } }
  return { isIncomplete = true, items = { item } }
end

-- ---- the server ---------------------------------------------------------------------------------------------------------------

function Server:log(text) self.peer:notify("window/logMessage", { type = 2, message = text }) end

local function handlers(self)
  local function with(f) return function(params) return f(self, params) end end
  return {
    initialize = with(initialize), initialized = function() end,
    shutdown = function() self.stopped = true return json.null end,
    exit = function() self.exited = true end,
    ["$/cancelRequest"] = function(params) self.peer:cancel(params.id) end,
    ["textDocument/didOpen"] = with(opened), ["textDocument/didChange"] = with(changed),
    ["textDocument/didClose"] = with(closed),
    ["textDocument/inlineCompletion"] = with(inline), ["textDocument/completion"] = with(completion),
  }
end

--- A server.
---@param given { complete: fun(q: stoke.fim.request), send: fun(message: table), wait?: number, report?: function }
---  `complete` makes a completion, or its text
---@return stoke.lsp.server
---
--- Example: `local server = servers.new { complete = fim.complete, send = frames.send }`
function M.new(given)
  errors.check_callable(given.complete, "stoke.lsp: complete")
  local self = setmetatable({ encoding = "utf-16", open = {}, count = 0, uses = 0, complete = given.complete,
    wait = given.wait }, Server)
  self.peer = peers.new(given.send, handlers(self))
  self.peer.report = given.report
  return self
end

--- Answers made by code that has changed are forgotten.
---
--- Example: `server:forget()`
function Server:forget()
  for _, entry in next, self.open do entry.session:forget() end
end

local GONE = {}

--- Serve messages until `exit` or the end of the input.
---@param each fun(f: fun(text: string))
---@return boolean orderly `exit` came after `shutdown`
---
--- Example: `local orderly = server:serve(frames.each)`
function Server:serve(each)
  local peer = self.peer
  peer:serve(function(take)
    local ok, err = pcall(each, function(text)
      take(text)
      if self.exited then error(GONE, 0) end
    end)
    if not ok and err ~= GONE then error(err, 0) end
  end)
  return self.exited == true and self.stopped == true
end

return M
