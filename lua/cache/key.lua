--- Keys of the cache: a hash of everything that could change the answer. What is asked goes in as the bytes that are sent: whatever
--- the request says, and whatever a later version of it will say, is part of the key without being listed here. Tables are written
--- with their keys in order (core.json), so that two that say the same are the same.
---
--- Nothing of a request can be read out of its key: texts, images and secrets are in it by the hash alone.

local hash = require "core.hash"
local json = require "core.json"

local M = {}

--- Changes when the same parts are to give another key, so that no entry of an older stoke is found.
local VERSION <const> = "stoke.cache.1"

local sha256 = hash.sha256
local gsub, char, tonumber = string.gsub, string.char, tonumber

--- The byte of two hexadecimal digits.
local BYTES = setmetatable({}, { __index = function(list, digits)
  local byte = char(tonumber(digits, 16))
  list[digits] = byte
  return byte
end })

--- The 32 bytes of a text's SHA-256.
---@param text string
---@return string
---
--- Example: `#key.digest "a text" --> 32`
function M.digest(text) return sha256(text, true) end

--- The same as a text, for people.
---@param key string
---@return string 64 hexadecimal digits
function M.hex(key) return (gsub(key, ".", function(c) return ("%02x"):format(c:byte()) end)) end

--- The key that a text of 64 hexadecimal digits stands for.
---@param text string
---@return string|nil key nil: it is no key
function M.parse(text)
  if #text ~= 64 or not text:find "^%x+$" then return nil end
  return (gsub(text:lower(), "..", BYTES))
end

--- Plain data as one text, the same for all tables that say the same: keys in order, no blanks.
---@param value any plain data
---@return string|nil text
---@return stoke.error|nil err it cannot be written
function M.canonical(value)
  return json.encode(value)
end

--- Parts with their lengths, by how many there are.
local FORMATS = setmetatable({}, { __index = function(list, n)
  local format = "<" .. ("s4"):rep(n)
  list[n] = format
  return format
end })

--- The key of parts. Each stands with its length, so that no two lists of parts are the same text.
---@param ... string
---@return string key 32 bytes
---
--- Example: `key.of("llm.chat", "ollama", "/api/chat", body, model_digest, scope)`
function M.of(...)
  return sha256(FORMATS[select("#", ...) + 1]:pack(VERSION, ...), true)
end

return M
