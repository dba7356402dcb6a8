--- Engines: what carries the streams of stoke.queue. Which one is said by a URL, whose scheme names a file of lua/engine/.
---
---     local e <close> = engine.open "local:jobs.db"
---     e:publish("jobs", { { id = "1", key = "ada", value = "...", v = engine.PROTOCOL } })
---     local claims = e:claim { stream = "jobs", group = "workers", n = 10, lease = 30, wait = 5, tries = 5 }
---     e:settle { { claim = claims[1], state = "done" } }
---
--- An engine carries, it decides nothing: what an item is, how often it is tried and in which bytes its value stands is said above
--- it. Its words are the contract of every file of lua/engine/ (tests/queue/battery.lua asks for each of them):
---
--- **Stream**: items in an order. Their offsets are whole numbers from 1 that grow; there may be gaps. The id of an item is
--- known in its stream for ever, also after its value was trimmed: publishing it again is no error, and does nothing.
---
--- **Group**: readers who share the work on a stream: each item is done once by the group. An item is lent to one reader by a
--- **claim**, for a lease of seconds by the engine's clock, and fenced by a whole number that is higher with each claim. A claim is
--- good as long as the item's fence is its own, so one whose lease has run out is good until somebody else gets the item.
---
--- An item whose lease runs out at the last of its tries is dead ("its lease ran out N times"): nobody gave it back, so whoever had
--- it may have died of it. For that reason one whose lease has run out twice is lent alone, and says so: it takes no others along.
---
--- **Order**: an item with a key is not lent while an earlier item of its key is not settled in this group. "done" and "dead"
--- settle an item; "again" and "back" do not.
---
--- **Settling**: state, value and what is handed over (`publish`) are one step, all of it or nothing. Whoever did not hear the
--- answer settles again: the same state by the same claim is true, and does nothing; any other is false.
---
--- All functions wait in the task that calls them, and return nil and an error of lua/errors.lua where it did not work: `refused`,
--- `timeout`, `auth`, `overloaded`, `db`, `protocol`, `argument`, `cancelled`. Texts (streams, groups, keys, ids, buckets) and
--- numbers are checked above: texts are UTF-8 without zero bytes, 1 to 255 bytes. Values are bytes.

local errors = require "core.errors"

local M = {}

--- The number that every item carries as `v`: which way of writing items this program knows. A higher one is refused.
M.PROTOCOL = 1
--- Bytes of a value, and of a text, at most; items that are claimed at once.
M.LARGEST, M.LONGEST, M.MOST = 16 << 20, 255, 1000

---@class core.engine.item
---@field id string
---@field key? string
---@field value string bytes
---@field v integer

---@class core.engine.claim: core.engine.item
---@field stream string
---@field group string
---@field offset integer
---@field try integer 1: it is lent for the first time
---@field fence integer
---@field alone? true its lease has run out twice, so it is lent alone

---@class core.engine.settlement
---@field claim core.engine.claim only stream, group, offset, id, key and fence are looked at
---@field state "done"|"again"|"dead"|"back" again: lent again, after `delay`; back: handed back unread, and the try is not counted
---@field value? string bytes: the outcome
---@field reason? string
---@field delay? number seconds
---@field publish? { stream: string, id: string, key?: string, value: string, v: integer }[]

---@class core.engine.outcome
---@field offset integer
---@field id string
---@field key? string
---@field state "done"|"dead"
---@field tries integer
---@field value? string bytes
---@field reason? string

---@class core.engine.question
---@field stream string
---@field group string
---@field n integer claims at most
---@field lease number seconds
---@field wait number seconds
---@field tries integer how often an item is lent
---@field from? "first"|"new"|integer where a group begins that is new ("first")

---@class core.engine.traits what an engine promises
---@field order "key"|"partition" partition: items of one key are in order, but a failed one does not hold up those behind it
---@field fenced boolean settling by an old claim is refused
---@field handover "one step"|"at least once" settle with publish
---@field cas boolean kv_swap, kv_delete with a revision and log_append are there
---@field dedup "always"|"at the consumer"
---@field processes boolean several processes can share it

---@class core.engine
---@field url string without a password
---@field traits core.engine.traits
---@field publish fun(self, stream: string, items: core.engine.item[]): boolean[]?, stoke.error? false: its id was known
---@field claim fun(self, q: core.engine.question): core.engine.claim[]?, stoke.error? waits for the first, then gives what there
---  is, of some 16 MB in all
---@field renew fun(self, claims: core.engine.claim[], lease: number): core.engine.claim[]?, stoke.error? those that are lost
---@field settle fun(self, list: core.engine.settlement[]): boolean[]?, stoke.error? false: it is another's, and nothing was written
---@field read fun(self, stream: string, from: integer, limit: integer): (core.engine.item|{ offset: integer })[]?, stoke.error? of
---  some 16 MB in all: {} alone says that there are no more; so it is with outcomes, kv_watch and log_read
---@field outcomes fun(self, stream: string, group: string, from: integer, limit: integer): core.engine.outcome[]?, stoke.error? of
---  settled items
---@field rewind fun(self, stream: string, group: string, offset: integer): boolean?, stoke.error? the group reads on from
---  there: old claims and outcomes from there on are void. Back: what stands before it stays as it is. Ahead (nothing from there on
---  was tried): what is open before it is skipped, neither lent nor counted, but for what is lent at that moment
---@field revive fun(self, stream: string, group: string, ids?: string[]): integer?, stoke.error? dead items (nil: all) wait
---  again, their tries counted from 0; how many
---@field streams fun(self): { stream: string, items: integer, last: integer, groups: { group: string, waiting: integer, lent:
---  integer,
---  done: integer, dead: integer }[] }[]?, stoke.error? waiting: not lent, and not settled
---@field trim fun(self, stream: string, before: integer): integer?, stoke.error? values of items before an offset go, unless a
---  group has still to do them; how many went
---@field kv_get fun(self, bucket: string, key: string): { value: string, revision: integer }|false|nil, stoke.error?
---@field kv_put fun(self, bucket: string, key: string, value: string): integer?, stoke.error? revision
---@field kv_swap fun(self, bucket: string, key: string, value: string, revision: integer): integer|false|nil, stoke.error? 0: only
---  where there is none; false: it has another revision
---@field kv_delete fun(self, bucket: string, key: string, revision?: integer): boolean?, stoke.error? false: there is none, or of
---  another revision
---@field kv_keys fun(self, bucket: string, prefix: string): string[]?, stoke.error? sorted
---@field kv_watch fun(self, bucket: string, prefix: string, since: integer, wait: number): { key: string, value?: string,
---  revision: integer }[]?, stoke.error? changes after a revision, oldest first (of a key only the newest need be there); no
---  value: it was deleted; {}: there were none in `wait` seconds
---@field log_append fun(self, name: string, key: string, after: integer, value: string): integer|false|nil, integer|stoke.error|nil
---  offset; false and the last offset of the key, where that is not `after` (0: there is no record)
---@field log_read fun(self, name: string, key: string, from: integer, limit: integer): { offset: integer, value: string }[]?,
---  stoke.error?
---@field log_drop fun(self, name: string, key: string): boolean?, stoke.error? forget a key: its next record comes after 0
---@field now fun(self): number?, stoke.error? seconds since 1970 by the engine's clock
---@field health fun(self): { engine: string, version: string, ok: boolean, latency: number, detail?: string }?, stoke.error?
---@field close fun(self): boolean what waits ends with `cancelled`; idempotent

-- ---- which one --------------------------------------------------------------------------------------------------------------

--- Scheme -> file of lua/engine/.
M.schemes = { ["local"] = "local", postgres = "postgres", postgresql = "postgres", nats = "nats", tls = "nats", kafka = "kafka" }

--- A URL without its password, for every text. Up to the last @, as in a password that should have been encoded.
---@param url string
---@return string
---
--- Example: `engine.plain "postgres://ada:secret@db/jobs"  --> postgres://ada:***@db/jobs`
function M.plain(url)
  local text = url:gsub("^(%a[%w+.-]*://[^/?#@:]*):.*@", "%1:***@")
  return (text:gsub("([?&]%a*pass%a*=)[^&#]*", "%1***"))
end

--- The scheme of a URL; `local` is one by itself.
---@param url string
---@return string
function M.scheme(url) return (url:match "^(%a[%w+.-]*):" or url):lower() end

local function unknown(url)
  local names = {}
  for name in next, M.schemes do names[#names + 1] = name end
  table.sort(names)
  local scheme = M.scheme(url)
  local near = errors.suggest(scheme, names)
  return errors.new("argument", ("there is no engine %s%s"):format(errors.named(M.plain(url)),
    near and (" (did you mean %s?)"):format(near) or ""),
    { hint = 'known are "local", "local:PATH", postgres:// and nats://' })
end

--- Open an engine.
---@param url string
---@param options? { file?: string } file: that of "local" (".stoke/queue.db")
---@return core.engine|nil
---@return stoke.error|nil err
function M.open(url, options)
  local file = M.schemes[M.scheme(url)]
  if not file then return nil, unknown(url) end
  return require("core.engine." .. file).open(url, options or {})
end

return M
