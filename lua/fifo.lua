--- Intrusive FIFO queues, used for lists of waiters: push, pop and removal from the middle take constant time.
---
--- Members hold the links themselves, in the fields `before` and `after`: queueing allocates nothing, and a member can be in only
--- one queue at a time. A queue is any table; its fields are `head` and `tail`.

local M = {}

--- Append a member.
function M.push(queue, item)
  local tail = queue.tail
  if tail then
    tail.after, item.before = item, tail
  else
    queue.head = item
  end
  queue.tail = item
end

--- Remove a member at any position; false if it is not in this queue.
---@return boolean
function M.remove(queue, item)
  local before, after = item.before, item.after
  if not before and queue.head ~= item then return false end
  if before then before.after = after else queue.head = after end
  if after then after.before = before else queue.tail = before end
  item.before, item.after = nil, nil
  return true
end

--- Remove and return the oldest member; nil if the queue is empty.
function M.pop(queue)
  local item = queue.head
  if item then M.remove(queue, item) end
  return item
end

return M
