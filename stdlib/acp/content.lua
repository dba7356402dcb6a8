--- Content of ACP as ours, and ours as content: what a prompt says, what a tool call is called, what was said before.

local json = require "core.json"
local texts = require "core.text"

local M = {}

--- Bytes of the arguments in the title of a call.
local TITLE <const> = 60

---@param text string
---@return table
function M.text(text) return { type = "text", text = text } end

local function attribute(text) return (tostring(text):gsub("[\"<>\n]", " ")) end

local SAYS = {}

function SAYS.text(block) return type(block.text) == "string" and block.text or nil end

function SAYS.resource_link(block)
  if type(block.uri) ~= "string" then return nil end
  return ("[%s](%s)"):format(attribute(block.name or block.uri), block.uri)
end

function SAYS.resource(block)
  local resource = type(block.resource) == "table" and block.resource or {}
  if type(resource.text) == "string" then
    return ('\n<resource uri="%s">\n%s\n</resource>\n'):format(attribute(resource.uri), resource.text)
  end
  return ("[%s, %s]"):format(attribute(resource.uri), attribute(resource.mimeType or "bytes"))
end

--- A prompt as the input of an agent.
---@param blocks any
---@return { text: string, images?: table[] }|nil input
---@return string|nil problem
---
--- Example: `local input = content.input { { type = "text", text = "Hi" } }`
function M.input(blocks)
  if type(blocks) ~= "table" or not blocks[1] then return nil, "prompt must be a list of content that is not empty" end
  local said, images = {}, {}
  for i, block in ipairs(blocks) do
    local kind = type(block) == "table" and block.type or nil
    if kind == "image" and type(block.data) == "string" then
      images[#images + 1] = { data = block.data }
    else
      local words = SAYS[kind] and SAYS[kind](block)
      if not words then return nil, ("prompt[%d]: content of the type %s is not taken"):format(i - 1, tostring(kind)) end
      said[#said + 1] = words
    end
  end
  return { text = table.concat(said), images = images[1] and images or nil }
end

-- What a tool does, by words in its name: an editor shows another picture for each.
local KINDS = { { "delete", "delete remove rm" }, { "move", "move rename mv" }, { "edit", "write edit patch update create save" },
  { "search", "search find grep query list" }, { "fetch", "fetch http download url web" },
  { "execute", "run exec execute shell command eval bash" }, { "read", "read get show load open now look" },
  { "think", "think plan calculator" } }

local kinds = {}
for _, entry in ipairs(KINDS) do
  for word in entry[2]:gmatch "%S+" do kinds[word] = kinds[word] or entry[1] end
end

--- The kind of a tool, by its name.
---@param name string
---@return string
---
--- Example: `content.kind "read_file" --> "read"`
function M.kind(name)
  for word in name:lower():gmatch "%a+" do
    if kinds[word] then return kinds[word] end
  end
  return "other"
end

--- A call in one line.
---@param name string
---@param arguments any
---@return string
---
--- Example: `content.title("read_file", { path = "a.txt" }) --> "read_file a.txt"`
function M.title(name, arguments)
  if type(arguments) ~= "table" then return name end
  local key, value = next(arguments)
  local shown = key and next(arguments, key) == nil and type(value) == "string" and value or nil
  shown = shown or (key ~= nil and json.encode(arguments)) or ""
  shown = texts.valid(shown):gsub("%s+", " ")
  if #shown > TITLE then shown = texts.head(shown, TITLE) .. "..." end
  return shown ~= "" and ("%s %s"):format(name, shown) or name
end

--- Files that a call is about: absolute paths among its arguments.
---@param arguments any
---@return table[]|nil
function M.locations(arguments)
  local path = type(arguments) == "table" and arguments.path
  if type(path) == "string" and path:sub(1, 1) == "/" then return json.array { { path = path } } end
end

--- A text as the content of a call.
---@param text string
---@return table[]
function M.of_call(text) return json.array { { type = "content", content = M.text(texts.valid(text)) } } end

return M
