-- Engines that break one promise each, over a local one. The battery and the storm have to name it: one that they do not find would
-- be a promise that nobody asks for.

local M = { list = {} }

--- An engine that does all as another does, but for some functions: fun(engine, weak, ...).
local function over(e, functions)
  local weak = {}
  for name, f in next, functions do
    weak[name] = function(self, ...) return f(e, self, ...) end
  end
  return setmetatable(weak, { __close = function() e:close() end, __index = function(_, name)
    local value = e[name]
    if type(value) ~= "function" then return value end
    return function(_, ...) return value(e, ...) end
  end })
end

--- A weakness: its name, the behaviours of the battery and the laws of the storm that find it, and what is other.
---@param fails { battery: string[], storm?: string[] } beginnings of names
---@param make fun(): table functions; called once for each engine, its connections share what it remembers
local function weakness(name, fails, make)
  M.list[#M.list + 1] = { name = name, battery = fails.battery or {}, storm = fails.storm or {}, wrap = function()
    local functions = make()
    return function(e) return over(e, functions) end
  end }
end

local function with(t, fields)
  local copy = {}
  for name, value in next, t do copy[name] = value end
  for name, value in next, fields do copy[name] = value end
  return copy
end

-- ---- settling ---------------------------------------------------------------------------------------------------------------

weakness("drops acknowledgements", { battery = { "what is done is not lent again" }, storm = { "once" } }, function()
  local n = 0
  return { settle = function(e, _, list)
    local kept, good = {}, {}
    for i, s in ipairs(list) do
      n, good[i] = n + 1, true
      -- it says that it has it, and hands over, but forgets that it is done
      if s.state == "done" and n % 3 == 1 then
        for _, item in ipairs(s.publish or {}) do e:publish(item.stream, { item }) end
      else
        kept[#kept + 1] = { at = i, s = s }
      end
    end
    for _, one in ipairs(kept) do good[one.at] = e:settle { one.s }[1] end
    return good
  end }
end)

weakness("ignores fences", { battery = { "a claim whose item is another's settles nothing" }, storm = { "believed" } }, function()
  local newest = {}
  return { claim = function(e, _, q)
    local claims, err = e:claim(q)
    for _, claim in ipairs(claims or {}) do newest[claim.stream .. claim.group .. claim.offset] = claim.fence end
    return claims, err
  end, settle = function(e, _, list)
    local own = {}
    for i, s in ipairs(list) do
      local c = s.claim
      own[i] = with(s, { claim = with(c, { fence = newest[c.stream .. c.group .. c.offset] }) })
    end
    return e:settle(own)
  end }
end)

weakness("hands over before it settles", { battery = { "a claim whose item is another's settles nothing" }, storm = { "once" } },
  function()
    return { settle = function(e, _, list)
      for _, s in ipairs(list) do
        for _, item in ipairs(s.publish or {}) do e:publish(item.stream, { item }) end
      end
      return e:settle(list)
    end }
  end)

weakness("loses what is handed over", { battery = { "what an item hands over" }, storm = { "handed over" } }, function()
  local n = 0
  return { settle = function(e, _, list)
    local own = {}
    for i, s in ipairs(list) do
      n = n + 1
      own[i] = n % 5 == 1 and with(s, { publish = {} }) or s
    end
    return e:settle(own)
  end }
end)

weakness("forgets outcomes", { battery = { "what is done is not lent again" }, storm = { "outcomes" } }, function()
  return { settle = function(e, _, list)
    local own = {}
    for i, s in ipairs(list) do own[i] = { claim = s.claim, state = s.state, publish = s.publish, delay = s.delay,
      reason = s.reason } end
    return e:settle(own)
  end }
end)

weakness("takes dead letters for done", { battery = { "a dead letter is told" }, storm = { "dead letters" } }, function()
  return { settle = function(e, _, list)
    local own = {}
    for i, s in ipairs(list) do own[i] = s.state == "dead" and with(s, { state = "done" }) or s end
    return e:settle(own)
  end }
end)

weakness("gives no reasons", { battery = { "a dead letter is told" }, storm = { "dead letters" } }, function()
  return { settle = function(e, _, list)
    local own = {}
    for i, s in ipairs(list) do
      own[i] = with(s, {})
      own[i].reason = nil
    end
    return e:settle(own)
  end }
end)

weakness("has no delays", { battery = { "what goes back is lent again after its delay" } }, function()
  return { settle = function(e, _, list)
    local own = {}
    for i, s in ipairs(list) do own[i] = with(s, { delay = 0 }) end
    return e:settle(own)
  end }
end)

weakness("settles nothing twice", { battery = { "who settles again hears the same" } }, function()
  local settled = {}
  return { settle = function(e, _, list)
    local good = e:settle(list)
    for i, s in ipairs(list) do
      local name = ("%s %d %d"):format(s.claim.stream, s.claim.offset, s.claim.fence)
      if settled[name] then good[i] = false end
      settled[name] = true
    end
    return good
  end }
end)

-- ---- claiming ---------------------------------------------------------------------------------------------------------------

weakness("lends what is lent", { battery = { "an item is lent to one reader" }, storm = { "lent" } }, function()
  return { claim = function(e, _, q) return e:claim(with(q, { lease = 0.001 })) end }
end)

weakness("never takes back", { battery = { "an item whose lease runs out is lent to another" }, storm = { "lost" } }, function()
  return { claim = function(e, _, q) return e:claim(with(q, { lease = 1e6 })) end }
end)

weakness("renews nothing", { battery = { "a claim that is renewed" } }, function()
  return { renew = function() return {} end }
end)

weakness("tries for ever", { battery = { "an item whose lease runs out at each of its tries" }, storm = { "lost" } }, function()
  return { claim = function(e, _, q) return e:claim(with(q, { tries = 1000000 })) end }
end)

weakness("counts what comes back unread", { battery = { "what goes back is lent again" } }, function()
  return { settle = function(e, _, list)
    local own = {}
    for i, s in ipairs(list) do own[i] = s.state == "back" and with(s, { state = "again" }) or s end
    return e:settle(own)
  end }
end)

weakness("forgets order", { battery = { "an item is not lent while an earlier one", "order by key holds", "items of many keys" },
  storm = { "order" } }, function()
  local keys = {}
  local function bare(stream, items)
    local list = {}
    for i, item in ipairs(items) do
      list[i] = with(item, {})
      keys[stream .. " " .. item.id], list[i].key = item.key, nil
    end
    return list
  end
  local function dressed(stream, list, err)
    for _, one in ipairs(list or {}) do one.key = keys[stream .. " " .. one.id] end
    return list, err
  end
  return { publish = function(e, _, stream, items) return e:publish(stream, bare(stream, items)) end,
    claim = function(e, _, q) return dressed(q.stream, e:claim(q)) end,
    read = function(e, _, stream, from, limit) return dressed(stream, e:read(stream, from, limit)) end,
    outcomes = function(e, _, stream, group, from, limit) return dressed(stream, e:outcomes(stream, group, from, limit)) end }
end)

weakness("wakes nobody", { battery = { "who waits gets an item when it is published" } }, function()
  local stoke = require "stoke"
  return { claim = function(e, _, q)
    local claims, err = e:claim(with(q, { wait = 0 }))
    if claims and not claims[1] then stoke.sleep(q.wait) end
    return claims, err
  end }
end)

-- ---- publishing -------------------------------------------------------------------------------------------------------------

weakness("loses items", { battery = { "tasks that claim at once get different items" }, storm = { "lost" } }, function()
  local n = 0
  return { publish = function(e, _, stream, items)
    local kept, news = {}, {}
    for i, item in ipairs(items) do
      n, news[i] = n + 1, true
      if n % 50 ~= 0 then kept[#kept + 1] = item end
    end
    if kept[1] then e:publish(stream, kept) end
    return news
  end }
end)

weakness("forgets ids", { battery = { "an id that is known in the stream" }, storm = { "ids", "once" } }, function()
  local n = 0
  local function named(list, err)
    for _, one in ipairs(list or {}) do one.id = one.id:gsub("~%d+$", "") end
    return list, err
  end
  return { publish = function(e, _, stream, items)
    local own = {}
    for i, item in ipairs(items) do
      n = n + 1
      own[i] = with(item, { id = ("%s~%d"):format(item.id, n) })
    end
    return e:publish(stream, own)
  end, claim = function(e, _, q) return named(e:claim(q)) end,
    read = function(e, _, stream, from, limit) return named(e:read(stream, from, limit)) end,
    outcomes = function(e, _, stream, group, from, limit) return named(e:outcomes(stream, group, from, limit)) end }
end)

weakness("cuts values", { battery = { "a value of 10 MB" } }, function()
  return { publish = function(e, _, stream, items)
    local own = {}
    for i, item in ipairs(items) do own[i] = with(item, { value = item.value:sub(1, 1 << 20) }) end
    return e:publish(stream, own)
  end }
end)

-- ---- going back, keys and logs ----------------------------------------------------------------------------------------------

weakness("goes back by itself alone", { battery = { "a group that is rewound does" } }, function()
  return { rewind = function() return true end }
end)

weakness("stands still once it was rewound", { battery = { "a group that had much before it is rewound" } }, function()
  local rewound = {}
  return { rewind = function(e, _, stream, group, offset)
    rewound[stream] = true
    return e:rewind(stream, group, offset)
  end, claim = function(e, _, q) return rewound[q.stream] and {} or e:claim(q) end }
end)

weakness("counts what it passed over as done", { battery = { "a group that is rewound ahead" } }, function()
  return { streams = function(e)
    local list, err = e:streams()
    for _, one in ipairs(list or {}) do
      for _, group in ipairs(one.groups) do group.done = one.last - group.waiting - group.lent - group.dead end
    end
    return list, err
  end }
end)

weakness("passes over what waits where it goes back", { battery = { "a group that is rewound back" } }, function()
  return { rewind = function(e, _, stream, group, offset)
    for _, claim in ipairs(e:claim { stream = stream, group = group, n = 100, lease = 30, wait = 0, tries = 5 }) do
      e:settle { { claim = claim, state = "done" } }
    end
    return e:rewind(stream, group, offset)
  end }
end)

weakness("brings nothing back", { battery = { "dead letters are brought back" } }, function()
  return { revive = function() return 0 end }
end)

weakness("swaps whatever is there", { battery = { "a key is swapped by who knows", "tasks that count up one key" } }, function()
  return { kv_swap = function(e, _, bucket, key, value) return e:kv_put(bucket, key, value) end }
end)

weakness("is deaf to changes", { battery = { "who watches keys hears" } }, function()
  return { kv_watch = function(e, _, bucket, prefix, since)
    return since == 0 and e:kv_watch(bucket, prefix, since, 0) or {}
  end }
end)

weakness("tells keys to those alone who wait", { battery = { "who looks at keys without waiting" } }, function()
  return { kv_watch = function(e, _, bucket, prefix, since, wait)
    return wait > 0 and e:kv_watch(bucket, prefix, since, wait) or {}
  end }
end)

weakness("appends whatever was last", { battery = { "a log takes a record only after", "of two who go on with a log" } }, function()
  return { log_append = function(e, _, name, key, after, value)
    local offset, last = e:log_append(name, key, after, value)
    while offset == false do offset, last = e:log_append(name, key, last, value) end
    return offset, last
  end }
end)

return M
