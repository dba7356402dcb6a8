--- What became of questions that the semantic cache was asked, counted over all processes of a cache's file: each process has a row
--- of its own there, so that none writes over another's.

local M = {}

--- Rows that are kept apart; what is older than a day is then added up in one. Seconds of that day.
M.ROWS, M.OLD = 16, 86400

---@class core.semantic.counts
---@field served integer answers given
---@field explored integer the model was asked, though an entry was found
---@field missed integer nothing was found that could be given
---@field refused table<string, integer> near questions that a gate told apart, by gate
---@field same integer compared answers that were the same as the entry's
---@field different integer
---@field unchecked integer answers that could not be compared
---@field right integer of answers that would have been given and were checked
---@field wrong integer
---@field taken_back integer answers that somebody has called wrong
---@field judged { yes: integer, no: integer, failed: integer } what the judge said
---@field error? { rate: number, low: number, high: number } wrong / (right + wrong), with its interval

--- Nothing yet.
---@return core.semantic.counts
function M.new()
  return { served = 0, explored = 0, missed = 0, refused = {}, same = 0, different = 0, unchecked = 0, right = 0, wrong = 0,
    taken_back = 0, judged = { yes = 0, no = 0, failed = 0 } }
end

--- Add counts to others.
---@param into core.semantic.counts changed
---@param from any what is no table of numbers is left out
---@return core.semantic.counts into
---
--- Example: `tally.add(all, row.counts)`
function M.add(into, from)
  for name, n in pairs(type(from) == "table" and from or {}) do
    if math.type(n) == "integer" then
      into[name] = (math.type(into[name]) == "integer" and into[name] or 0) + n
    elseif type(n) == "table" and type(into[name]) == "table" then
      M.add(into[name], n)
    end
  end
  return into
end

--- The share of wrong ones among the answers that would have been given and were checked, with its interval (Wilson 1927, 95 %).
---@param counts core.semantic.counts
---@return { rate: number, low: number, high: number }|nil error nil: none was checked
---
--- Example: `print(tally.error(counts).high)`
function M.error(counts)
  local n = counts.right + counts.wrong
  if n == 0 then return nil end
  local z, p = 1.959964, counts.wrong / n
  local centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
  local whole = 1 + z * z / n
  return { rate = p, low = math.max(0, (centre - half) / whole), high = math.min(1, (centre + half) / whole) }
end

--- What a row of a file holds, where it can be read.
local function read(text, decode)
  local row = text and decode(text)
  return type(row) == "table" and type(row.counts) == "table" and type(row.at) == "number" and row or nil
end

---@class core.semantic.rows where rows are
---@field each fun(): fun(): string|nil their keys
---@field get fun(key: string): string|nil
---@field put fun(key: string, text: string)
---@field delete fun(key: string)
---@field decode fun(text: string): any
---@field encode fun(row: any): string|nil

--- The sum of all rows, but the one under `own`.
---@param rows core.semantic.rows
---@param own? string
---@return core.semantic.counts
function M.sum(rows, own)
  local all = M.new()
  for key in rows.each() do
    local row = key ~= own and read(rows.get(key), rows.decode)
    if row then M.add(all, row.counts) end
  end
  return all
end

--- Take the old rows out where there are many, and give their sum: it goes into the row of who has taken them.
---@param rows core.semantic.rows
---@param now number seconds of the wall clock
---@return core.semantic.counts
function M.take_old(rows, now)
  local sum, keys = M.new(), {}
  for key in rows.each() do keys[#keys + 1] = key end
  if #keys <= M.ROWS then return sum end
  for _, key in ipairs(keys) do
    local row = read(rows.get(key), rows.decode)
    if not row or row.at < now - M.OLD then
      rows.delete(key)
      M.add(sum, row and row.counts)
    end
  end
  return sum
end

return M
