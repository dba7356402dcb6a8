--- Asking for many items in few requests, of a server that answers a request whole or not at all: the items go in batches, and one
--- that the server refuses is found by halving its batch, so that the others get their answers.
---
--- Pure but for `how.send`. Nothing here knows what an item is.

local M = {}

--- Items of a batch, and bytes of their texts, at most. A model that embeds answers one request after the other: a batch is what
--- others have to wait for.
M.COUNT, M.BYTES = 64, 16 * 1024

---@class stoke.batches.how
---@field send fun(items: table[]): any[]|nil, stoke.error? one answer an item, in their order
---@field size fun(item: any): integer bytes
---@field took fun(item: any, answer: any) it has its answer
---@field refused fun(item: any, err: stoke.error): any[]|nil, stoke.error? it alone was refused; items to ask for in its place.
---  An error: nothing more is asked for
---@field blames fun(err: stoke.error): "size"|"content"|nil can an item be the reason? size: a large one, so that the large ones
---  are told from the small ones first
---@field control fun(): stoke.error|nil ask for something that no server refuses; the error where it is refused, too
---@field limit? fun(err: stoke.error|nil): integer|nil bytes from which on an item is most likely too large, as far as an error, or
---  nobody yet, says: such items do not share a batch
---@field count? integer items of a batch
---@field bytes? integer bytes of a batch; one larger item is a batch of its own

--- Lists of at most so many items and bytes, in the order of the items.
---@param items any[]
---@param size fun(item: any): integer
---@param count? integer
---@param bytes? integer
---@param limit? integer bytes: a larger item is a batch of its own
---@return any[][]
---
--- Example: `for _, batch in ipairs(batches.split(texts, string.len)) do ask(batch) end`
function M.split(items, size, count, bytes, limit)
  count, bytes, limit = count or M.COUNT, bytes or M.BYTES, limit or math.huge
  local lists, list, sum = {}, nil, 0
  for _, item in ipairs(items) do
    local more = size(item)
    if more > limit then
      lists[#lists + 1] = { item }
    else
      if not list or #list >= count or sum + more > bytes then
        list, sum = {}, 0
        lists[#lists + 1] = list
      end
      list[#list + 1], sum = item, sum + more
    end
  end
  return lists
end

--- Two halves of a batch that was refused. Where size is the reason, one has the smaller items, which most likely all pass.
local function halves(list, reason, size)
  local from = list
  if reason == "size" then
    local place = {}
    for i, item in ipairs(list) do place[item] = i end
    from = table.move(list, 1, #list, 1, {})
    table.sort(from, function(a, b)
      local sa, sb = size(a), size(b)
      if sa ~= sb then return sa < sb end
      return place[a] < place[b]
    end)
  end
  local middle = #from // 2
  return table.move(from, 1, middle, 1, {}), table.move(from, middle + 1, #from, 1, {})
end

--- The parts of a batch that was refused: those that are most likely too large apart from the others, where that tells some from
--- others; else two halves.
local function parts(list, reason, err, how)
  local limit = reason == "size" and how.limit and how.limit(err)
  if limit then
    local large = 0
    for _, item in ipairs(list) do
      if how.size(item) > limit then large = large + 1 end
    end
    if large > 0 and large < #list then return M.split(list, how.size, how.count, how.bytes, limit) end
  end
  return { halves(list, reason, how.size) }
end

--- Put lists on a stack, so that the first is taken first.
local function push(stack, lists)
  for i = #lists, 1, -1 do stack[#stack + 1] = lists[i] end
end

--- Ask for all items. Each is told to `took` or to `refused`, unless an error that no item is to blame for ends it.
---
--- One refused item among n costs about 2 log2 n requests more. Where nothing has been answered yet, the control tells whether the
--- server refuses everything, before anybody looks for an item that it refuses.
---@param items table[] each a table of its own
---@param how stoke.batches.how
---@return stoke.error|nil err
---
--- Example: `local err = batches.ask(items, { send = send, size = size, took = took, refused = refused, blames = blames,
---   control = control })`
function M.ask(items, how)
  local stack, sound = {}, #items < 2
  push(stack, M.split(items, how.size, how.count, how.bytes, how.limit and how.limit(nil)))
  while #stack > 0 do
    local list = table.remove(stack)
    local answers, err = how.send(list)
    local reason = err and how.blames(err)
    if answers then
      sound = true
      for i, item in ipairs(list) do how.took(item, answers[i]) end
    elseif not reason then
      return err
    else
      if not sound and reason ~= "size" then
        local failed = how.control()
        if failed then return failed.kind == "cancelled" and failed or err end
        sound = true
      end
      if #list > 1 then
        push(stack, parts(list, reason, err, how))
      else
        local others, failed = how.refused(list[1], err)
        if failed then return failed end
        if others then push(stack, M.split(others, how.size, how.count, how.bytes)) end
      end
    end
  end
  return nil
end

return M
