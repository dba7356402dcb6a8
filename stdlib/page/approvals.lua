--- The view of a page on what waits for a person: calls of this host's agents, and those of durable runs in the store, whichever
--- process has them, or none. A person sees exactly what will be done, and decides about exactly that.
---
--- What is secret by its name is not shown; where arguments are edited it stays as it was.

local approval = require "core.approval"
local approve = require "stoke.approve"
local channel = require "core.channel"
local combine = require "core.combine"
local config = require "stoke.config"
local data = require "stoke.page.data"
local effect = require "core.effect"
local errors = require "core.errors"
local hash = require "core.hash"
local json = require "core.json"
local masks = require "stoke.page.runs.mask"
local redact = require "core.redact"
local runs = require "stoke.runs"
local show = require "stoke.show"
local time = require "stoke.time"
local words = require "stoke.runs.words"

local M = {}

--- Seconds between two looks at this host, and at the store; for which what was read of a run is taken again.
local EVERY <const>, STORE <const>, FRESH <const> = 0.5, 2, 10
--- Entries that are shown; runs that are looked at for some; decisions that are told after.
local MOST <const>, RUNS <const>, DECIDED <const> = 200, 500, 20
--- Bytes of what is asked that are sent at once; the rest when somebody wants it.
local HEAD <const> = 16 * 1024

---@class stoke.page.approvals
---@field id "approvals"
---@field kind "approvals"
local View = {}
View.__index = View

--- A view on the approvals of this host and of a store.
---@param options? { store?: string, idle?: boolean } store: its file, where it is another one than the host's own; idle: no host is
---  shown, only the store
---@return stoke.page.approvals
---
--- Example: `page:add(approvals.new())`
function M.new(options)
  options = options or {}
  return setmetatable({ id = "approvals", kind = "approvals", title = "Approvals", store = options.store, idle = options.idle,
    turn = channel.semaphore(1), kept = { list = {}, runs = {}, due = 0 }, decided = json.array(), shown = nil }, View)
end

-- ---- what is asked, as a text ---------------------------------------------------------------------------------------------------

--- JSON in which nothing is hidden: characters that would not be seen are written as \uXXXX, which means the same.
local function visible(text)
  if not text:find "[\127-\255]" then return text end
  return (text:gsub(utf8.charpattern, function(character)
    local point = utf8.len(character) and utf8.codepoint(character)
    if not point or point < 0x7F or not approve.hidden(point) then return nil end
    if point < 0x10000 then return ("\\u%04x"):format(point) end
    point = point - 0x10000
    return ("\\u%04x\\u%04x"):format(0xD800 + (point >> 10), 0xDC00 + (point & 0x3FF))
  end))
end

--- What secrets this process knows is not shown wherever it stands.
local function conceal(value)
  for name, inner in next, value do
    if type(inner) == "table" then conceal(inner) elseif type(inner) == "string" then value[name] = redact.known(inner) end
  end
  return value
end

--- A request as it is shown: a copy without secrets, and its text; as Lua writes it where JSON cannot say it.
local function shown_of(name, request, mask)
  local about = effect.about(name)
  local copy = json.decode(json.encode(request) or "null")
  if type(copy) ~= "table" then return nil, visible(redact.known(show.pretty(request))) end
  if about and about.redact then about.redact(copy, mask.redactor) end
  copy = conceal(mask:value(copy))
  return copy, visible(json.encode(copy, { pretty = true }))
end

--- What a person decides about: the text, and the digest by which a decision names it. Secrets count in the digest.
local function asked_of(name, what, request)
  local mask = masks.new()
  local shown, text = shown_of(name, request, mask)
  local exact = json.encode(request) or show.pretty(request)
  return { shown = shown, text = text, what = mask.redactor:text(what),
    digest = hash.sha256(("%s\n%s\n%s"):format(name, what, exact)) }
end

--- A text that was changed beside what is hidden in it would be done with the mark in place of the secret.
local function check_marks(name, value)
  if type(value) == "string" and (value:find(redact.MARK, 1, true) or value:find "%[secret [%w_.-]+%]") then
    errors.raise("argument", ("%s has a secret that is not shown: leave all of it as it is, or write it out"):format(name))
  end
end

--- Arguments that a person has edited: what is as it was shown is as it was, with its secrets.
local function restored(edited, shown, original)
  for name, value in next, edited do
    local seen, was = shown[name], original[name]
    if type(value) ~= "table" then
      if value == seen then edited[name] = was elseif seen ~= was then check_marks(name, value) end
    elseif type(seen) == "table" and type(was) == "table" then
      restored(value, seen, was)
    end
  end
  return edited
end

-- ---- this host ------------------------------------------------------------------------------------------------------------------

local looked = setmetatable({}, { __mode = "k" }) -- entry -> what is asked: it stays as long as the entry waits

local function of_host(entry)
  local found = looked[entry]
  if not found then
    local request = entry.args or approval.asked(entry)
    found = asked_of(entry.effect, entry.what, request == nil and json.null or request)
    looked[entry] = found
  end
  return { id = "host-" .. entry.id, effect = entry.effect, what = found.what, agent = entry.agent, since = entry.since,
    run = entry.run, text = found.text, shown = found.shown, digest = found.digest, args = entry.args, entry = entry,
    editable = entry.args ~= nil }
end

-- ---- the store ------------------------------------------------------------------------------------------------------------------

local function of_record(run, record)
  local request = record.args or record.request
  local what = record.asks or record.what
  local found = asked_of(record.effect, what, request == nil and json.null or request)
  return { id = ("run-%s-%d"):format(run.id, record.number), effect = record.effect, what = found.what, agent = record.agent,
    since = record.since or record.time, run = run.id, number = record.number, key = record.key, text = found.text,
    shown = found.shown, digest = found.digest, exact = record.digest, args = record.args, editable = record.args ~= nil,
    unchecked = record.args ~= nil and record.params == nil, left = run.left, typed = words.id(run) }
end

--- Does what a run waits for, in words, say that it may be an approval?
local function may_ask(run)
  return run.waits and (run.waits:find("^approval of ") or run.waits:find(", and %d+ more$")) and true or false
end

--- The entries of a run; what was read of it is taken again for a while, unless the run has changed.
local function entries_of(self, run)
  local before, now = self.kept.runs[run.id], time.monotonic()
  if before and before.changed == run.changed and before.left == run.left and now < before.till then return before end
  local out = { number = run.number, changed = run.changed, left = run.left, till = now + FRESH, list = {} }
  for _, record in ipairs(runs.waiting(run.id, { store = self.store })) do
    if record.status == "waits" and record.digest then out.list[#out.list + 1] = of_record(run, record) end
  end
  return out
end

--- What people have said of the entries, here or elsewhere. That changes nothing of a run itself, and is looked for each time.
local function read_said(self, kept)
  local numbers, by_place = {}, {}
  for _, entries in next, kept.runs do
    if entries.list[1] then numbers[#numbers + 1] = entries.number end
    for _, one in ipairs(entries.list) do
      one.said, by_place[entries.number .. " " .. one.key] = nil, one
    end
  end
  if not numbers[1] then return end
  table.sort(numbers)
  for _, said in ipairs(errors.check(effect.perform("runs.said", { runs = numbers, store = self.store or config.get().store }))) do
    local one = by_place[said.run .. " " .. said.key]
    if one and said.digest == one.exact then one.said = said.verdict end
  end
end

--- What waits in the store, the oldest first. Where there is no store, nothing does.
local function read_store(self)
  local kept = { list = {}, runs = {}, due = time.monotonic() + STORE }
  local found, err = combine.try(runs.list, { status = "waiting", limit = RUNS, store = self.store })
  for i = #(found or {}), 1, -1 do
    local run = found[i]
    local entries = may_ask(run) and entries_of(self, run) or nil
    if entries then
      kept.runs[run.id] = entries
      table.move(entries.list, 1, #entries.list, #kept.list + 1, kept.list)
    end
  end
  local _, unsaid = combine.try(read_said, self, kept)
  err = err or unsaid
  kept.wrong = err and err.kind ~= "usage" and tostring(err.message) or nil
  self.kept = kept
end

-- ---- both -----------------------------------------------------------------------------------------------------------------------

--- All that waits, by when it began to; a call that this host has is not told again from the store.
local function all(self)
  if time.monotonic() >= self.kept.due then read_store(self) end
  local list, here = {}, {}
  for _, entry in ipairs(self.idle and {} or approval.list()) do
    list[#list + 1] = of_host(entry)
    if entry.run and entry.key then here[entry.run .. " " .. entry.key] = true end
  end
  for _, one in ipairs(self.kept.list) do
    if not here[one.run .. " " .. one.key] then list[#list + 1] = one end
  end
  table.sort(list, function(a, b) return (a.since or 0) < (b.since or 0) end)
  return list
end

local function told(one)
  local cut, said = #one.text > HEAD, one.said
  return { id = one.id, effect = one.effect, what = data.text(one.what), agent = data.text(one.agent, 200), since = one.since,
    run = data.text(one.run, 200), number = one.number, text = data.text(one.text, HEAD), bytes = cut and #one.text or nil,
    digest = one.digest, editable = one.editable or nil, unchecked = one.unchecked or nil, left = one.left,
    typed = data.text(one.typed, 200),
    said = said and { decision = said.decision, reason = data.text(said.reason, 500), edited = said.args and true or nil } }
end

local function look(self)
  local list, out = all(self), json.array()
  for i = 1, math.min(#list, MOST) do out[i] = told(list[i]) end
  return { entries = out, count = #list, decided = self.decided, wrong = self.kept.wrong }
end

local function sample(self, stream)
  local now = look(self)
  local text = json.encode(now)
  if self.shown == text then return end
  self.shown, now.view = text, self.id
  stream:publish("change", now)
end

--- It was decided before, here or elsewhere: what stands.
local function refuse(one, decision, reason, edited)
  local what = one.run and ("%s of the run %s"):format(one.what, one.run) or one.what
  local how = decision .. (edited and ", edited" or "") .. (reason and ": " .. data.text(reason, 500) or "")
  errors.raise("usage", ("%s was decided before, and that stands: %s"):format(what, how),
    { decided = { decision = decision, reason = reason, edited = edited and true or nil } })
end

local function find(self, id)
  for _, one in ipairs(all(self)) do
    if one.id == id then return one end
  end
  for _, one in ipairs(self.decided) do
    if one.id == id then refuse(one, one.decision, one.reason, one.edited) end
  end
  errors.raise("usage", "it does not wait any more: it was decided, or whoever asked has gone on",
    { hint = "the list shows what waits now" })
end

-- ---- what the page asks for -----------------------------------------------------------------------------------------------------

--- All that a browser needs to begin with.
---@return table
---Raises `db`.
---
--- Example: `local picture = view:picture()`
function View:picture()
  local picture = look(self)
  picture.view = self.id
  return picture
end

--- What is asked by one entry, whole.
---@param query { id?: string }
---@return table
---Raises `usage` where it does not wait any more.
---
--- Example: `print(view:look({ id = "host-1" }).text)`
function View:look(query)
  if not query.id then return self:picture() end
  local one = find(self, query.id)
  return { id = one.id, text = one.text, digest = one.digest }
end

--- Look for what waits as long as anybody watches.
---@param stream stoke.page.stream
---Raises `cancelled`.
---
--- Example: `tasks.spawn(view.follow, {}, view, page.stream)`
function View:follow(stream)
  while true do
    stream:watched()
    sample(self, stream)
    time.sleep(EVERY)
  end
end

-- ---- decisions ------------------------------------------------------------------------------------------------------------------

--- The arguments as a person wrote them: JSON, because a browser's numbers are not all of ours.
local function edited(one, text)
  if text == nil then return nil end
  if not one.editable then errors.raise("argument", ("%s has no arguments to edit"):format(one.what)) end
  local args, err = json.decode(type(text) == "string" and text or "")
  if type(args) ~= "table" or type(text) == "string" and text:find "^%s*%[" then
    errors.raise("argument", "the arguments must be a JSON object" .. (err and ": " .. err.message or ""))
  end
  return one.shown and restored(args, one.shown, one.args) or args
end

--- A request of this host: what a person has changed is checked as the tool will check it.
local function decide_here(one, verdict)
  local args, entry = verdict.args, one.entry
  if args then
    local checked, err = approval.check(entry, args)
    if not checked then errors.raise("argument", err.message) end
    args = checked
  end
  local in_time = approval.decide(entry, { decision = verdict.reject and "rejected" or "approved", reason = verdict.reason,
    args = args })
  if in_time then return end
  if entry.decision then refuse(one, entry.decision, entry.reason, entry.edited) end
  errors.raise("usage", ("%s does not wait any more: whoever asked has gone on"):format(one.what))
end

--- A record of the store: the tool is not here; what was changed is checked by the parameters that were kept of it.
local function decide_there(self, one, verdict)
  local said = one.said
  if said then refuse(one, said.decision, said.reason, said.args) end
  local _ <close> = setmetatable({}, { __close = function() self.kept.due = 0 end })
  local done, err = combine.try(runs.approve, one.run, { of = one.number, digest = one.exact, args = verdict.args,
    store = self.store, reject = verdict.reject and (verdict.reason or true) or nil })
  if done then return end
  said = rawget(err, "decided")
  if said then refuse(one, said.decision, said.reason, said.args) end
  error(err, 0)
end

local function remember(self, one, verdict)
  table.insert(self.decided, 1, { id = one.id, effect = one.effect, what = data.text(one.what, 200),
    agent = data.text(one.agent, 200), run = data.text(one.run, 200), at = time.now(), edited = verdict.args and true or nil,
    decision = verdict.reject and "rejected" or "approved", reason = data.text(verdict.reason, 500) })
  self.decided[DECIDED + 1] = nil
end

local DOES = { approve = true, reject = true }

--- Approve or reject what waits.
---@param order { ["do"]: "approve"|"reject", id: string, digest: string, args?: string, reason?: string } digest: of what the
---  person saw; args: JSON in place of the arguments
---@param stream stoke.page.stream
---@return table
---Raises `argument` for arguments that do not fit; `usage` where it was decided already, does not wait any more, or asks for
---something else by now; `db`.
---
--- Example: `view:act({ ["do"] = "reject", id = "host-1", digest = digest, reason = "too expensive" }, page.stream)`
function View:act(order, stream)
  local what, reason = order["do"], order.reason
  if not DOES[what] then errors.raise("argument", "do must be approve or reject, got " .. errors.describe(what)) end
  if reason ~= nil and type(reason) ~= "string" then errors.raise("argument", "reason must be a text") end
  local permit <close> = self.turn:acquire() -- luacheck: ignore
  self.kept.due = 0
  local one = find(self, order.id)
  if order.digest ~= one.digest then
    errors.raise("usage", ("%s asks for something else by now: nothing was decided"):format(one.what),
      { hint = "look at it again" })
  end
  local verdict = { reject = what == "reject", reason = reason ~= "" and reason or nil }
  if verdict.reject and order.args ~= nil then errors.raise("argument", "other arguments are approved, not rejected") end
  verdict.args = edited(one, order.args)
  if one.entry then decide_here(one, verdict) else decide_there(self, one, verdict) end
  remember(self, one, verdict)
  sample(self, stream)
  return { decision = verdict.reject and "rejected" or "approved", left = one.left }
end

return M
