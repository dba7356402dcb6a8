--- Texts of SQL run by the engine: one statement after the other, each with the values it names.

local host = require "host.store"
local sql = require "core.driver.db.sql"

local M = {}

--- The values as the engine takes them: a request is plain data, and has a blob as { blob = bytes }.
---@param params table|nil
---@return table|nil
function M.bound(params)
  for _, value in next, params or {} do
    if type(value) == "table" then
      local out = {}
      for key, each in next, params do out[key] = type(each) == "table" and host.blob(each.blob) or each end
      return out
    end
  end
  return params
end

--- The one statement of a text, without what follows it: a semicolon, a comment.
---@param text string
---@return string
function M.alone(text)
  local found = sql.read(text)
  return found.count == 1 and found.parts[1].text or text
end

--- Those values that one statement names.
local function own(part, params)
  local out
  for name, value in next, params or {} do
    if part.names[name] then
      out = out or {}
      out[name] = value
    end
  end
  return out
end

--- What a statement gave, in the form that effects give: the id of an inserted row is that of this statement alone.
local function outcome(done, part)
  local inserted = part and part.inserts and done.changes ~= 0 and done.last_id or nil
  return { changes = done.changes or 0, last_id = inserted, columns = done.columns, rows = done.rows, more = done.more or nil }
end

--- Take what one more statement gave.
local function add(sum, done)
  sum.changes, sum.last_id = sum.changes + done.changes, done.last_id or sum.last_id
  sum.columns, sum.rows = done.columns, done.rows
end

--- Run a text in a transaction: all of it, or nothing.
---@param tx userdata
---@param text string
---@param params table|nil
---@param max integer|nil rows
---@return table|nil
---@return stoke.error|nil err
---@return string|nil statement the one that failed
function M.inside(tx, text, params, max)
  local found = sql.read(text)
  params = M.bound(params)
  if found.count <= 1 then
    local done, err = tx:run(M.alone(text), params, max)
    if err then return nil, err, text end
    return outcome(done, found.parts[1])
  end
  local sum = { changes = 0 }
  local _, failed = tx:run "SAVEPOINT stoke_text"
  if failed then return nil, failed, text end
  for _, part in ipairs(found.parts) do
    local done, err = tx:run(part.text, own(part, params))
    if err then
      tx:run "ROLLBACK TO stoke_text"
      tx:run "RELEASE stoke_text"
      return nil, err, part.text
    end
    add(sum, outcome(done, part))
  end
  _, failed = tx:run "RELEASE stoke_text"
  if failed then return nil, failed, text end
  return sum
end

--- The statements of a text that belong together: those that stand alone part them.
local function groups(found)
  local out, last = {}, nil
  for _, part in ipairs(found.parts) do
    if part.alone then
      out[#out + 1], last = { part, alone = true }, nil
    elseif last then
      last[#last + 1] = part
    else
      last = { part }
      out[#out + 1] = last
    end
  end
  return out
end

local function run_group(db, group, params, sum)
  if group.alone then
    local done, err = db:write(group[1].text, own(group[1], params))
    if err then return err, group[1].text end
    add(sum, outcome(done, group[1]))
    return nil
  end
  local tx, err = db:begin()
  if err then return err, group[1].text end
  local failed
  for _, part in ipairs(group) do
    local done
    done, failed = tx:run(part.text, own(part, params))
    if failed then
      tx:rollback()
      return failed, part.text
    end
    add(sum, outcome(done, part))
  end
  failed = select(2, tx:commit())
  return failed, group[1].text
end

--- Run a text by itself. Several statements are one transaction, but for those that cannot be in one.
---@param db userdata
---@param text string
---@param params table|nil
---@return table|nil
---@return stoke.error|nil err
---@return string|nil statement the one that failed
function M.outside(db, text, params)
  local found = sql.read(text)
  params = M.bound(params)
  if found.count <= 1 then
    local done, err = db:write(M.alone(text), params)
    if err then return nil, err, text end
    return outcome(done, found.parts[1])
  end
  local sum = { changes = 0 }
  for _, group in ipairs(groups(found)) do
    local err, statement = run_group(db, group, params, sum)
    if err then return nil, err, statement end
  end
  return sum
end

return M
