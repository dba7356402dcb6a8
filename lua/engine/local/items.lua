--- Streams of the local engine, in SQL: publishing, claiming, settling. All of it runs inside a turn (lua/engine/local/turn.lua).

local json = require "core.json"
local turns = require "core.engine.local.turn"
local wall = require "host.time".wall

local M = {}

-- of work.state
local OPEN <const>, BEHIND <const>, DONE <const>, DEAD <const> = 0, 1, 2, 3
--- Bytes of values that come with their rows; longer ones are fetched one by one. Bytes of one claim, about.
local SMALL <const>, HEAP <const> = 64 << 10, 16 << 20
--- Items that a group holds back because of an earlier one of their key, at most: it looks no further then.
local WINDOW <const> = 10000
--- An item whose lease has run out so often is lent alone: it may be what its readers die of.
local SUSPECT <const> = 2

local null = json.null
local function given(value) if value ~= null then return value end end

-- ---- names ------------------------------------------------------------------------------------------------------------------

---@class core.engine.local.stream
---@field id integer
---@field last integer

--- A stream, which is made where it is not there.
---@return core.engine.local.stream
local function stream_of(turn, name)
  local stream = turn.known[name]
  if stream then return stream end
  local row = turn:rows("SELECT id, last FROM streams WHERE name=?", { name })[1]
    or turn:rows("INSERT INTO streams (name) VALUES (?) RETURNING id, last", { name })[1]
  stream = { id = row[1], last = row[2] }
  turn.known[name] = stream
  return stream
end

---@class core.engine.local.group
---@field id integer
---@field stream integer
---@field next integer
---@field fence integer
---@field behind integer items that stand behind others of their key

--- A group, which is made where it is not there.
---@return core.engine.local.group
local function group_of(turn, stream, name, from)
  local whole = stream .. "\0" .. name
  local group = turn.known[whole]
  if group then return group end
  local own = stream_of(turn, stream)
  local row = turn:rows("SELECT id, next, fence, behind FROM groups WHERE stream=? AND name=?", { own.id, name })[1]
  if not row then
    local next = from == "new" and own.last + 1 or math.type(from) == "integer" and from or 1
    row = turn:rows("INSERT INTO groups (stream,name,next) VALUES (?,?,?) RETURNING id, next, fence, behind",
      { own.id, name, next })[1]
  end
  group = { id = row[1], stream = own.id, next = row[2], fence = row[3], behind = row[4] }
  turn.known[whole] = group
  return group
end

-- ---- publishing -------------------------------------------------------------------------------------------------------------

local function known_ids(turn, stream, items)
  local ids, known = {}, {}
  for i, item in ipairs(items) do ids[i] = item.id end
  local rows = turn:rows("SELECT id FROM items WHERE stream=? AND id IN (SELECT value FROM json_each(?))",
    { stream, json.encode(json.array(ids)) })
  for _, row in ipairs(rows) do known[row[1]] = true end
  return known
end

--- Publish items to one stream: which of them are new.
local function publish(turn, name, items)
  local stream = stream_of(turn, name)
  local known, news, first = known_ids(turn, stream.id, items), {}, stream.last
  for i, item in ipairs(items) do
    news[i] = not known[item.id]
    if news[i] then
      known[item.id], stream.last = true, stream.last + 1
      turn:add('INSERT INTO items (stream,"offset",id,key,v,size,value) VALUES (?,?,?,?,?,?,?)', stream.id, stream.last, item.id,
        item.key, item.v, #item.value, item.value)
    end
  end
  if stream.last > first then
    turn:add("UPDATE streams SET last=?, items=items+? WHERE id=?", stream.last, stream.last - first, stream.id)
    turn.changed[name] = true
  end
  return news
end

--- Items by the stream they go to, in the order in which streams come first.
local function by_stream(items)
  local lists, order = {}, {}
  for _, item in ipairs(items) do
    local list = lists[item.stream]
    if not list then
      list = { stream = item.stream }
      lists[item.stream] = list
      order[#order + 1] = list
    end
    list[#list + 1] = item
  end
  return order
end

--- Publish items.
---@param turn core.engine.turn
---@param abouts { stream: string, items: core.engine.item[] }[]
---@return boolean[][]
function M.publish(turn, abouts)
  local streams, values = {}, {}
  for i, about in ipairs(abouts) do streams[i] = { stream = about.stream, at = i } end
  for _, list in ipairs(by_stream(streams)) do
    local all, at = {}, 0
    for _, one in ipairs(list) do
      local items = abouts[one.at].items
      table.move(items, 1, #items, #all + 1, all)
    end
    local news = publish(turn, list.stream, all)
    for _, one in ipairs(list) do
      local count = #abouts[one.at].items
      values[one.at] = table.move(news, at + 1, at + count, 1, {})
      at = at + count
    end
  end
  return values
end

-- ---- settling ---------------------------------------------------------------------------------------------------------------

-- `state<2` is what the index work_by_key is of: without these words SQLite does not see that it may use it.

--- The next item of a key may be lent: no other of it is open.
local NEXT <const> = [[
UPDATE work SET state=0, due=?3 WHERE grp=?1 AND
  "offset"=(SELECT min("offset") FROM work WHERE grp=?1 AND key=?2 AND state<2 AND state=1) AND
  NOT EXISTS (SELECT 1 FROM work WHERE grp=?1 AND key=?2 AND state<2 AND state=0)]]

local COUNT <const> = "UPDATE groups SET done=done+?, dead=dead+? WHERE id=?"
local SETTLE <const> = 'UPDATE work SET state=?, due=NULL, size=?, value=?, reason=? WHERE grp=? AND "offset"=?'
-- Items without a key that are done without an outcome: all of them in one statement.
local ALL_DONE <const> = [[
UPDATE work SET state=2, due=NULL WHERE grp=? AND "offset" IN (SELECT value FROM json_each(?))]]
local AGAIN <const> = 'UPDATE work SET due=?, fence=?, tries=?, reason=? WHERE grp=? AND "offset"=?'

--- Is this what the claim itself did before?
local function repeated(s, state, fence)
  if s.state == "done" then return state == DONE and fence == s.claim.fence end
  if s.state == "dead" then return state == DEAD and fence == s.claim.fence end
  return state == OPEN and fence == -s.claim.fence
end

local function settle_one(turn, group, s, row, now, plain)
  local offset = s.claim.offset
  if s.state == "done" and s.value == nil and not row.key then
    plain[#plain + 1] = offset
  elseif s.state == "done" or s.state == "dead" then
    turn:add(SETTLE, s.state == "done" and DONE or DEAD, s.value and #s.value or 0, s.value, s.reason, group, offset)
    if row.key then turn:add(NEXT, group, row.key, now) end
  else
    local tries = s.state == "back" and row.tries - 1 or row.tries
    turn:add(AGAIN, now + (s.delay or 0), -s.claim.fence, tries, s.reason, group, offset)
  end
end

local FIND <const> = [[
SELECT "offset",state,fence,key,tries FROM work WHERE grp=? AND "offset" IN (SELECT value FROM json_each(?))]]

--- What the table says of claims of one group, by offset.
local function work_of(turn, group, list)
  local offsets, rows = {}, {}
  for i, s in ipairs(list) do offsets[i] = s.claim.offset end
  local found = turn:rows(FIND, { group, json.encode(json.array(offsets)) })
  for _, row in ipairs(found) do rows[row[1]] = { state = row[2], fence = row[3], key = given(row[4]), tries = row[5] } end
  return rows
end

--- f(stream, group, own) for each group that claims are of; own[-i] is where own[i] stands in the list.
local function each_group(list, f)
  local order, by = {}, {}
  for i, s in ipairs(list) do
    local name = s.claim.stream .. "\0" .. s.claim.group
    local own = by[name]
    if not own then
      own = {}
      by[name], order[#order + 1] = own, own
    end
    own[#own + 1] = s
    own[-#own] = i
  end
  for _, list_of in ipairs(order) do f(list_of[1].claim.stream, list_of[1].claim.group, list_of) end
end

--- Settle claims of one group.
local function settle_group(turn, group, own, good, handed)
  local now, rows = wall(), work_of(turn, group.id, own)
  local counts, plain = { done = 0, dead = 0, again = 0, back = 0 }, {}
  for i, s in ipairs(own) do
    local row = rows[s.claim.offset]
    local mine = row and row.state == OPEN and row.fence == s.claim.fence
    good[own[-i]] = mine or row and repeated(s, row.state, row.fence) or false
    if mine then
      settle_one(turn, group.id, s, row, now, plain)
      counts[s.state] = counts[s.state] + 1
      if row.key or s.state == "again" or s.state == "back" then turn.changed[s.claim.stream] = true end
      row.state = -1 -- once in a list
      if s.publish then table.move(s.publish, 1, #s.publish, #handed + 1, handed) end
    end
  end
  if plain[1] then turn:add(ALL_DONE, group.id, json.encode(json.array(plain))) end
  if counts.done + counts.dead > 0 then turn:add(COUNT, counts.done, counts.dead, group.id) end
end

--- Settle claims, and publish what they hand over.
---@param turn core.engine.turn
---@param lists core.engine.settlement[][]
---@return boolean[][]
function M.settle(turn, lists)
  local all, good, handed, values, at = {}, {}, {}, {}, 0
  for _, list in ipairs(lists) do table.move(list, 1, #list, #all + 1, all) end
  each_group(all, function(stream, name, own)
    settle_group(turn, group_of(turn, stream, name), own, good, handed)
  end)
  for _, list in ipairs(by_stream(handed)) do publish(turn, list.stream, list) end
  for i, list in ipairs(lists) do
    values[i] = table.move(good, at + 1, at + #list, 1, {})
    at = at + #list
  end
  return values
end

-- ---- claiming ---------------------------------------------------------------------------------------------------------------

local DUE <const> = [[
SELECT w."offset",w.tries,i.id,w.key,i.v,i.size,CASE WHEN i.size<=?4 THEN i.value END,w.fence
FROM work w JOIN items i ON i.stream=?2 AND i."offset"=w."offset"
WHERE w.grp=?1 AND w.state=0 AND w.due<=?3 ORDER BY w.due,w."offset" LIMIT ?5]]

local FRESH <const> = [[
SELECT i."offset",0,i.id,i.key,i.v,i.size,CASE WHEN i.size<=?4 THEN i.value END,
  CASE WHEN i.key IS NULL THEN 0 ELSE EXISTS (SELECT 1 FROM work w WHERE w.grp=?1 AND w.key=i.key AND w.state<2) END
FROM items i WHERE i.stream=?2 AND i."offset">=?3 AND i.value IS NOT NULL ORDER BY i."offset" LIMIT ?5]]

-- Items without a key, from one offset to another: all of them in one statement.
local INSERT_ALL <const> = [[
INSERT INTO work (grp,"offset",state,due,fence,tries) SELECT ?,"offset",0,?,?,1 FROM items
WHERE stream=? AND "offset">=? AND "offset"<? AND value IS NOT NULL]]
local INSERT <const> = 'INSERT INTO work (grp,"offset",key,state,due,fence,tries) VALUES (?,?,?,?,?,?,?)'

---@class core.engine.local.lending a claim as it grows
---@field q table
---@field group table
---@field fence integer
---@field now number
---@field claims core.engine.claim[]
---@field bytes integer
---@field over boolean|nil nothing more belongs into it

local function full(l, size)
  return #l.claims >= l.q.n or (l.claims[1] and l.bytes + size > HEAP)
end

--- A row of DUE or FRESH is lent.
local function lend(turn, l, row)
  local value = row[7]
  if value == null then
    value = turn:rows('SELECT value FROM items WHERE stream=? AND "offset"=?', { l.group.stream, row[1] })[1][1]
  end
  l.bytes = l.bytes + row[6]
  l.claims[#l.claims + 1] = { stream = l.q.stream, group = l.q.group, offset = row[1], try = row[2] + 1, id = row[3],
    key = given(row[4]), v = row[5], value = value, fence = l.fence }
end

--- Items that were lent before, or stood behind another of their key.
local function claim_due(turn, l)
  local group, q = l.group.id, l.q
  for _, row in ipairs(turn:rows(DUE, { group, l.group.stream, l.now, SMALL, q.n })) do
    if row[8] > 0 and row[2] >= q.tries then -- nobody gave it back: whoever had it died of it, perhaps
      turn:add(SETTLE, DEAD, 0, nil, ("its lease ran out %d times"):format(row[2]), group, row[1])
      turn:add(COUNT, 0, 1, group)
      if given(row[4]) then turn:add(NEXT, group, row[4], l.now) end
      l.again = true
    elseif full(l, row[6]) or row[8] > 0 and row[2] >= SUSPECT and l.claims[1] then
      l.over = true
      return
    else
      l.over = row[8] > 0 and row[2] >= SUSPECT
      turn:add('UPDATE work SET due=?, fence=?, tries=tries+1 WHERE grp=? AND "offset"=?', l.now + q.lease, l.fence, group, row[1])
      lend(turn, l, row)
      if l.over then
        l.claims[1].alone = true
        return
      end
    end
  end
end

--- Lend the row of an item with a key, or write down that it stands behind another; false: no more can be taken.
local function take_keyed(turn, l, row, seen)
  local group, key = l.group.id, given(row[4])
  if key and (row[8] == 1 or seen[key]) then
    if l.group.behind >= WINDOW then return false end
    l.group.behind = l.group.behind + 1
    turn:add(INSERT, group, row[1], key, BEHIND, nil, 0, 0)
    return true
  end
  if full(l, row[6]) then return false end
  if key then seen[key] = true end
  turn:add(INSERT, group, row[1], key, OPEN, l.now + l.q.lease, l.fence, 1)
  lend(turn, l, row)
  return true
end

local function take_plain(turn, l, row)
  if full(l, row[6]) then return false end
  lend(turn, l, row)
  return true
end

--- One look at items that were never lent; false: there are no more, or no more can be taken.
local function claim_fresh(turn, l)
  local group, q = l.group, l.q
  local rows, seen = turn:rows(FRESH, { group.id, group.stream, group.next, SMALL, q.n }), {}
  local first, take = group.next, take_plain
  for _, row in ipairs(rows) do
    if given(row[4]) then take = take_keyed end
  end
  local more = #rows == q.n
  for _, row in ipairs(rows) do
    if not take(turn, l, row, seen) then
      more = false
      break
    end
    group.next = row[1] + 1
  end
  if take == take_plain and group.next > first then
    turn:add(INSERT_ALL, group.id, l.now + q.lease, l.fence, group.stream, first, group.next)
  end
  return more and #l.claims < q.n
end

--- Lend items to one reader.
---@return core.engine.claim[]
---@return number|nil due when the next one may be lent, where there was none
local function claim(turn, q)
  local group = group_of(turn, q.stream, q.group, q.from)
  local now = wall()
  -- of the clock, too: the number of a claim that a power cut undid does not come again
  local fence = math.max(group.fence + 1, math.floor(now * 1e6))
  local l = { q = q, group = group, fence = fence, now = now, claims = {}, bytes = 0 }
  repeat
    l.again = false
    claim_due(turn, l)
  until not l.again or l.over or #l.claims >= q.n
  local next = group.next
  while not l.over and #l.claims < q.n and claim_fresh(turn, l) do end
  if l.claims[1] or group.next ~= next then
    group.fence = l.fence
    turn:add("UPDATE groups SET next=?, fence=? WHERE id=?", group.next, l.fence, group.id)
  end
  if l.claims[1] then return l.claims end
  return l.claims, given(turn:rows("SELECT min(due) FROM work WHERE grp=? AND state=0", { group.id })[1][1])
end

--- Lend items to readers.
---@param turn core.engine.turn
---@param questions core.engine.question[]
---@return core.engine.claim[][]
---@return number[] due
function M.claim(turn, questions)
  local values, due = {}, {}
  for i, q in ipairs(questions) do values[i], due[i] = claim(turn, q) end
  return values, due
end

--- Lend for longer.
---@param turn core.engine.turn
---@param abouts { claims: core.engine.claim[], lease: number }[]
---@return core.engine.claim[][] lost
function M.renew(turn, abouts)
  local values = {}
  for i, about in ipairs(abouts) do
    local due, lost, list = wall() + about.lease, {}, {}
    for j, one in ipairs(about.claims) do list[j] = { claim = one } end
    each_group(list, function(stream, name, own)
      local group = group_of(turn, stream, name).id
      local rows = work_of(turn, group, own)
      for _, s in ipairs(own) do
        local row = rows[s.claim.offset]
        if row and row.state == OPEN and row.fence == s.claim.fence then
          turn:add('UPDATE work SET due=? WHERE grp=? AND "offset"=?', due, group, s.claim.offset)
        else
          lost[#lost + 1] = s.claim
        end
      end
    end)
    values[i] = lost
  end
  return values
end

--- What a power cut may undo.
M.FLEETING = { [M.claim] = true, [M.renew] = true }

-- ---- going back -------------------------------------------------------------------------------------------------------------

--- The first item from an offset on whose value is there; behind the last one where there is none.
local KEPT <const> = [[
SELECT coalesce((SELECT min("offset") FROM items WHERE stream=?1 AND "offset">=?2 AND value IS NOT NULL),
  (SELECT last+1 FROM streams WHERE id=?1))]]

local TRIED <const> = 'SELECT EXISTS (SELECT 1 FROM work WHERE grp=? AND "offset">=? AND tries>0)'
local SKIP <const> = [[
DELETE FROM work WHERE grp=? AND "offset"<? AND state<2 AND NOT (state=0 AND fence>0 AND due>?)]]

--- Where nothing from the offset on was tried, the group goes ahead: what is open before it is skipped, but for what is lent now.
---@param turn core.engine.turn
---@param about { stream: string, group: string, offset: integer }
---@return true
local function rewind(turn, about)
  local group = group_of(turn, about.stream, about.group)
  local next = turn:rows(KEPT, { group.stream, about.offset })[1][1]
  if turn:rows(TRIED, { group.id, about.offset })[1][1] == 0 then turn:add(SKIP, group.id, about.offset, wall()) end
  local gone = turn:rows('DELETE FROM work WHERE grp=? AND "offset">=? RETURNING state', { group.id, about.offset })
  local counts = { [DONE] = 0, [DEAD] = 0, [OPEN] = 0, [BEHIND] = 0 }
  for _, row in ipairs(gone) do counts[row[1]] = counts[row[1]] + 1 end
  turn:add(COUNT, -counts[DONE], -counts[DEAD], group.id)
  turn:add("UPDATE groups SET next=? WHERE id=?", next, group.id)
  group.next = next
  turn.changed[about.stream] = true
  return true
end

local REVIVE <const> = [[
UPDATE work SET tries=0, fence=0, size=0, value=NULL, reason=NULL, state=CASE WHEN key IS NULL THEN 0 ELSE 1 END,
  due=CASE WHEN key IS NULL THEN ?2 END
WHERE grp=?1 AND state=3 AND EXISTS (SELECT 1 FROM items i WHERE i.stream=?4 AND i."offset"=work."offset" AND i.value IS NOT NULL
  AND (?3 IS NULL OR i.id IN (SELECT value FROM json_each(?3))))
RETURNING key]]

---@param turn core.engine.turn
---@param about { stream: string, group: string, ids?: string[] }
---@return integer revived
local function revive(turn, about)
  local group, now = group_of(turn, about.stream, about.group), wall()
  local ids = about.ids and json.encode(json.array(about.ids)) or null
  local rows, keys = turn:rows(REVIVE, { group.id, now, ids, group.stream }), {}
  for _, row in ipairs(rows) do
    if given(row[1]) and not keys[row[1]] then
      keys[row[1]] = true
      turn:add(NEXT, group.id, row[1], now)
    end
  end
  turn:add(COUNT, 0, -#rows, group.id)
  turn.changed[about.stream] = true
  return #rows
end

local TRIM <const> = [[
UPDATE items SET value=NULL WHERE stream=?1 AND "offset"<?2 AND value IS NOT NULL AND NOT EXISTS (SELECT 1 FROM groups g
  WHERE g.stream=?1 AND (g.next<=items."offset" OR EXISTS (SELECT 1 FROM work w
    WHERE w.grp=g.id AND w."offset"=items."offset" AND w.state<2))) RETURNING "offset"]]

---@param turn core.engine.turn
---@param about { stream: string, before: integer }
---@return integer trimmed
local function trim(turn, about)
  local stream = stream_of(turn, about.stream).id
  local trimmed = #turn:rows(TRIM, { stream, about.before })
  turn:add("UPDATE streams SET items=items-? WHERE id=?", trimmed, stream)
  return trimmed
end

--- Functions of one, for all who ask at the same moment.
M.rewind, M.revive, M.trim = turns.each(rewind), turns.each(revive), turns.each(trim)

-- ---- looking ----------------------------------------------------------------------------------------------------------------

-- Both give rows until their values are some 16 MB: `page` is where they are, and how large.

--- { sql, a function that makes a record of a row }, for readers outside of turns.
M.READ = { [[
WITH page AS (SELECT stream,"offset",size FROM items WHERE stream=(SELECT id FROM streams WHERE name=?1) AND "offset">=?2
    AND value IS NOT NULL ORDER BY "offset" LIMIT ?3),
  sums AS (SELECT stream,"offset",sum(size) OVER (ORDER BY "offset")-size AS before FROM page)
SELECT i."offset",i.id,i.key,i.v,i.value FROM sums p JOIN items i ON i.stream=p.stream AND i."offset"=p."offset"
WHERE p.before<16777216 ORDER BY i."offset"]], function(row)
  return { offset = row[1], id = row[2], key = given(row[3]), v = row[4], value = row[5] }
end }

M.OUTCOMES = { [[
WITH page AS (SELECT s.id AS stream,w.grp,w."offset",w.size FROM streams s JOIN groups g ON g.stream=s.id
    JOIN work w ON w.grp=g.id WHERE s.name=?1 AND g.name=?2 AND w."offset">=?3 AND w.state>=2 ORDER BY w."offset" LIMIT ?4),
  sums AS (SELECT stream,grp,"offset",sum(size) OVER (ORDER BY "offset")-size AS before FROM page)
SELECT w."offset",i.id,w.key,w.state,w.tries,w.value,w.reason FROM sums p JOIN work w ON w.grp=p.grp AND w."offset"=p."offset"
  JOIN items i ON i.stream=p.stream AND i."offset"=p."offset"
WHERE p.before<16777216 ORDER BY w."offset"]], function(row)
  return { offset = row[1], id = row[2], key = given(row[3]), state = row[4] == DONE and "done" or "dead", tries = row[5],
    value = given(row[6]), reason = given(row[7]) }
end }

-- Counted where it is few: what is open, and what stands behind that.
local STREAMS <const> = [[
SELECT s.name,s.last,s.items,g.name,s.last-g.next+1,
  (SELECT count(*) FROM work w WHERE w.grp=g.id AND w.state=0),
  (SELECT count(*) FROM work w WHERE w.grp=g.id AND w.state=0 AND w.fence>0 AND w.due>?1),
  g.behind,g.done,g.dead
FROM streams s LEFT JOIN groups g ON g.stream=s.id ORDER BY s.name,g.name]]

---@param db userdata
---@return table[]|nil
---@return stoke.error|nil err
function M.streams(db)
  local found, err = db:query(STREAMS, { wall() })
  if not found then return nil, err end
  local list, by = {}, {}
  for _, row in ipairs(found.rows) do
    local stream = by[row[1]]
    if not stream then
      stream = { stream = row[1], last = row[2], items = row[3], groups = {} }
      by[row[1]] = stream
      list[#list + 1] = stream
    end
    if given(row[4]) then
      local fresh, open, lent, behind = table.unpack(row, 5, 8)
      table.insert(stream.groups, { group = row[4], waiting = fresh + open - lent + behind, lent = lent, done = row[9],
        dead = row[10] })
    end
  end
  return list
end

return M
