--- Requests as a journal has them: what is asked of one, its digest, and the copy that is kept.

local errors = require "core.errors"
local json = require "core.json"
local plain = require "core.journal.plain"

local M = {}

--- Texts in which secrets that are known by now are taken out; changed in place.
local function hide(redactor, value)
  if type(value) == "string" then return redactor:text(value) end
  if type(value) ~= "table" then return value end
  for key, inner in next, value do value[key] = hide(redactor, inner) end
  return value
end

--- A request without what is not asked; itself, where it has nothing of that.
---@param def stoke.effect
---@param q any
---@return any
function M.asked_of(def, q)
  local aside = def.aside
  if not aside or type(q) ~= "table" then return q end
  local any
  for i = 1, #aside do any = any or q[aside[i]] ~= nil end
  if not any then return q end
  local request = {}
  for name, value in next, q do request[name] = value end
  for _, name in ipairs(aside) do request[name] = nil end
  return request
end

--- A copy of a request as it is kept: without secrets.
---@param def stoke.effect
---@param asked any
---@param redactor core.redactor
---@return any
---@return stoke.error|nil err
function M.kept(def, asked, redactor)
  local request, odd = plain.copy(asked, (def.redact or redactor.list[1]) and true or "shared")
  if odd then return nil, errors.new("argument", ("%s: a request is plain data, and %s"):format(def.name, odd)) end
  if def.redact then def.redact(request, redactor) end
  if redactor.list[1] then request = hide(redactor, request) end
  return request
end

--- The digest of a request; and what is kept of it, where that had to be made.
---@param def stoke.effect
---@param asked any
---@param redactor core.redactor
---@return string|nil digest
---@return any kept
---@return stoke.error|nil err
function M.identify(def, asked, redactor)
  if not def.redact and not redactor.list[1] then
    local digest = def.digest and def.digest(asked) or asked == nil and "nil" or json.digest(asked)
    if digest then return digest end
  end
  local request, err = M.kept(def, asked, redactor)
  if err then return nil, nil, err end
  return def.digest and def.digest(request) or plain.digest(request), request
end

return M
