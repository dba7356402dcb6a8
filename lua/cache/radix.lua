--- A set of texts with values, in which all texts that another one begins with are found in one walk along it: a radix tree. Bound
--- by bytes: what was used longest ago goes. Pure.

local M = {}

---@class stoke.cache.radix
---@field limit integer bytes
---@field bytes integer of what is in it: never more than `limit`
---@field count integer texts
---@field root table
---@field ring table the entries, as they were used: ring.after is the one used longest ago
local Tree = {}
Tree.__index = Tree

--- Bytes of a node and of an entry beside their texts, at a guess.
local NODE <const> = 160

--- A tree that is empty.
---@param limit integer bytes
---@return stoke.cache.radix
---
--- Example: `local tree = radix.new(8 << 20)`
function M.new(limit)
  local ring = {}
  ring.before, ring.after = ring, ring
  return setmetatable({ limit = limit, bytes = 0, count = 0, root = { label = "" }, ring = ring }, Tree)
end

local function unlink(entry) entry.before.after, entry.after.before = entry.after, entry.before end

--- The entry was used now.
local function link(tree, entry)
  local last = tree.ring.before
  entry.before, entry.after, last.after, tree.ring.before = last, tree.ring, entry, entry
end

local function child_of(node, text, at) return node.children and node.children[text:byte(at)] end

local function adopt(node, child)
  node.children = node.children or {}
  node.children[child.label:byte()], child.parent = child, node
end

--- How many bytes a label and a text have in common from a place on.
local function common(label, text, at)
  local low, high = 0, math.min(#label, #text - at + 1)
  if label:sub(1, high) == text:sub(at, at + high - 1) then return high end
  while high - low > 1 do -- low are the same, high are not
    local middle = (low + high) // 2
    if label:sub(low + 1, middle) == text:sub(at + low, at + middle - 1) then low = middle else high = middle end
  end
  return low
end

--- Part a node in two, after so many bytes of its label; the upper one.
local function part(tree, node, length)
  local upper, parent = { label = node.label:sub(1, length) }, node.parent
  adopt(parent, upper)
  node.label = node.label:sub(length + 1)
  adopt(upper, node)
  tree.bytes = tree.bytes + NODE
  return upper
end

--- The node of a text, made where it is not there.
local function place(tree, text)
  local node, at = tree.root, 1
  while at <= #text do
    local child = child_of(node, text, at)
    if not child then
      child = { label = text:sub(at) }
      adopt(node, child)
      tree.bytes = tree.bytes + NODE + #child.label
      return child
    end
    local length = common(child.label, text, at)
    node = length < #child.label and part(tree, child, length) or child
    at = at + length
  end
  return node
end

--- Take away nodes that say nothing: without an entry, and with one child at most.
local function tidy(tree, node)
  while node.parent and not node.entry do
    local parent, first, child = node.parent, nil, nil
    if node.children then first, child = next(node.children) end
    if first == nil then
      parent.children[node.label:byte()] = nil
      if next(parent.children) == nil then parent.children = nil end
      tree.bytes = tree.bytes - NODE - #node.label
    elseif next(node.children, first) == nil then
      child.label = node.label .. child.label
      adopt(parent, child)
      tree.bytes = tree.bytes - NODE
      return
    else
      return
    end
    node = parent
  end
end

local function drop(tree, entry)
  unlink(entry)
  entry.node.entry = nil
  tree.bytes, tree.count = tree.bytes - entry.bytes, tree.count - 1
  tidy(tree, entry.node)
end

--- Put a value under a text, in the place of the one that is there. One that alone is too large is not kept.
---@param text string
---@param value any
---@param bytes integer of the value
---
--- Example: `tree:put("local x = ", "1", 1)`
function Tree:put(text, value, bytes)
  if #text + bytes + 2 * NODE > self.limit then
    self:delete(text)
    return
  end
  local node = place(self, text)
  if node.entry then
    drop(self, node.entry)
    node = place(self, text)
  end
  local entry = { node = node, value = value, bytes = bytes + NODE }
  node.entry = entry
  self.bytes, self.count = self.bytes + entry.bytes, self.count + 1
  link(self, entry)
  while self.bytes > self.limit do drop(self, self.ring.after) end
end

--- Take a text away.
---@param text string
---@return boolean found
---
--- Example: `tree:delete "local x = "`
function Tree:delete(text)
  local node, at = self.root, 1
  while at <= #text do
    node = child_of(node, text, at)
    if not node or text:sub(at, at + #node.label - 1) ~= node.label then return false end
    at = at + #node.label
  end
  if not node.entry then return false end
  drop(self, node.entry)
  return true
end

--- Among the texts that a text begins with (or is), the longest one whose value is accepted; it counts as used.
---@param text string
---@param accept fun(value: any, length: integer): any|nil value, and the length of its text; nil: not this one
---@return any|nil accepted what `accept` gave
---
--- Example: `tree:find("local x = 1", function(value, length) return length > 3 and value or nil end)`
function Tree:find(text, accept)
  local node, at, found = self.root, 1, { self.root.entry }
  local lengths = { self.root.entry and 0 }
  while at <= #text do
    node = child_of(node, text, at)
    if not node or text:sub(at, at + #node.label - 1) ~= node.label then break end
    at = at + #node.label
    if node.entry then found[#found + 1], lengths[#lengths + 1] = node.entry, at - 1 end
  end
  for i = #found, 1, -1 do
    local accepted = accept(found[i].value, lengths[i])
    if accepted ~= nil then
      unlink(found[i])
      link(self, found[i])
      return accepted
    end
  end
  return nil
end

return M
