--- Queues whose members can also leave from the middle, all in constant time: who waits, oldest first.
---
--- The links live in the members, as fields `before` and `after`, so that queueing allocates nothing and a member is in one
--- queue at a time. A queue is any table; its fields are `head` and `tail`.

local M = {}

--- Add at the end.
function M.push(queue, item)
  local tail = queue.tail
  if tail then
    tail.after, item.before = item, tail
  else
    queue.head = item
  end
  queue.tail = item
end

--- Take a member out, wherever it stands; false when it is not in this queue.
---@return boolean
function M.remove(queue, item)
  local before, after = item.before, item.after
  if not before and queue.head ~= item then return false end
  if before then before.after = after else queue.head = after end
  if after then after.before = before else queue.tail = before end
  item.before, item.after = nil, nil
  return true
end

--- Take the oldest member out; nil when there is none.
function M.pop(queue)
  local item = queue.head
  if item then M.remove(queue, item) end
  return item
end

return M
