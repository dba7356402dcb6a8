--- Explains a request that is not on the cassette: the nearest recorded one, and the byte that differs.

local compare = require "stoke.test.compare"
local show = require "stoke.show"

local M = {}

--- Where a request goes, in a few words.
local function about(name, request)
  local body = request.body
  local what = request.url or (type(body) == "table" and body.model) or request.path
  return ("%s %s"):format(name, tostring(what))
end

--- Bytes that two texts have in common at their beginning and at their end.
local function common(a, b)
  local first = compare.first(a, b)
  if not first then return #a end
  local head, tail = first - 1, compare.first(a:reverse(), b:reverse()) - 1
  return math.min(head + tail, #a, #b)
end

local function nearest(entries, name, key)
  local best, best_score
  for _, entry in ipairs(entries) do
    if entry.name == name then
      local score = common(entry.key, key) / math.max(#entry.key, #key) - (entry.used and 0.001 or 0)
      if not best or score > best_score then best, best_score = entry, score end
    end
  end
  return best
end

local function both_texts(recorded, asked)
  return ("\n  recorded: %s\n  asked:    %s"):format(recorded, asked)
end

--- The place that changed: which message, which byte.
local function change(entry, request)
  local path, asked, recorded = compare.place(request, entry.request)
  path = path:gsub("^body%.", "")
  if type(asked) == "string" and type(recorded) == "string" then
    local at = compare.first(asked, recorded)
    return ("%s differs at byte %d"):format(path, at) .. both_texts(compare.around(recorded, at), compare.around(asked, at))
  end
  if recorded == nil then return ("%s is new: %s"):format(path, show.line(asked)) end
  if asked == nil then return ("%s is gone; it was %s"):format(path, show.line(recorded)) end
  return ("%s differs"):format(path) .. both_texts(show.line(recorded), show.line(asked))
end

local function place(cassette)
  return ("the cassette %s (%d request%s)"):format(cassette.path, #cassette.entries, #cassette.entries == 1 and "" or "s")
end

--- A request that was never recorded.
function M.unknown(cassette, name, request, key)
  local near = nearest(cassette.entries, name, key)
  local text = ("%s is not on %s"):format(about(name, request), place(cassette))
  if not near then return ("%s, which has no %s at all"):format(text, name) end
  return ("%s; nearest is request %d: %s"):format(text, near.n, change(near, request))
end

--- A request that is asked more often than it was recorded.
function M.exhausted(cassette, same)
  return ("%s is asked %d times, but is on %s only %d time%s (request %d)"):format(about(same[1].name, same[1].request),
    #same + 1, place(cassette), #same, #same == 1 and "" or "s", same[#same].n)
end

--- A stream that is read further than when it was recorded.
function M.cut(cassette, entry)
  return ("%s was left before its end when it was recorded (request %d of %d on %s), and is now read further"):format(
    about(entry.name, entry.request), entry.n, #cassette.entries, cassette.path)
end

return M
