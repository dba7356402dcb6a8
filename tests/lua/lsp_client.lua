-- A language client for tests: it starts `stoke lsp` and speaks the protocol's bytes over pipes.
--
--     local editor <close> = lsp_client({ "agents/complete.lua", "--sim" }, { encodings = { "utf-8" } })
--     editor:open("file:///work/a.py", "python", "x = 1\n")
--     local answer = editor:ask("textDocument/inlineCompletion", { ... })

local about = require "core.about"
local json = require "stoke.json"
local proc = require "stoke.proc"

local Editor = {}
Editor.__index = Editor
Editor.__close = function(self) self.process:close() end

function Editor:write(message)
  message.jsonrpc = "2.0"
  local text = json.encode(message)
  self.process:write(("Content-Length: %d\r\n\r\n%s"):format(#text, text))
end

function Editor:tell(method, params) self:write { method = method, params = json.object(params or {}) } end

function Editor:begin(method, params)
  self.last = self.last + 1
  self:write { id = self.last, method = method, params = json.object(params or {}) }
  return self.last
end

function Editor:read()
  while true do
    local head, rest = self.buffer:match "^(.-)\r\n\r\n(.*)$"
    local length = head and tonumber(head:match "Content%-Length: (%d+)")
    if length and #rest >= length then
      self.buffer = rest:sub(length + 1)
      return json.decode(rest:sub(1, length))
    end
    local bytes = self.process:read()
    if not bytes then return nil end
    self.buffer = self.buffer .. bytes
  end
end

function Editor:answer(id)
  while not self.answers[id] do
    local message = self:read()
    if not message then error("no answer to request " .. id) end
    if message.method then self.told[#self.told + 1] = message else self.answers[message.id] = message end
  end
  return self.answers[id]
end

function Editor:ask(method, params) return self:answer(self:begin(method, params)) end

function Editor:open(uri, language, text)
  self:tell("textDocument/didOpen", { textDocument = { uri = uri, languageId = language, version = 1, text = text } })
end

function Editor:change(uri, changes)
  self:tell("textDocument/didChange", { textDocument = { uri = uri, version = 2 }, contentChanges = json.array(changes) })
end

function Editor:at(method, uri, line, character)
  return self:ask(method, { textDocument = { uri = uri }, position = { line = line, character = character } })
end

return function(argv, options)
  options = options or {}
  local words = table.move(argv, 1, #argv, 3, { about.executable(), "lsp" })
  local self = setmetatable({ last = 0, answers = {}, told = {}, buffer = "",
    process = proc.spawn { argv = words, stdin = true, env = options.env, stderr = options.stderr } }, Editor)
  self.hello = self:ask("initialize", { capabilities = { general = { positionEncodings = json.array(options.encodings or {}) } },
    rootUri = options.root and "file://" .. options.root or json.null }).result
  self:tell("initialized")
  return self
end
