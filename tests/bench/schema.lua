-- make bench: checking what a model answered.  stoke schema.lua

local json = require "stoke.json"
local schema = require "stoke.schema"
local time = require "stoke.time"

local ROUNDS, SECONDS, LIMIT = 7, 0.04, 15

local Order = schema {
  id = "uuid", number = "integer >= 1", created = "datetime", due = "date?", status = "open|paid|void", currency = "string 3..3",
  vendor = "string 1..80", email = "email", site = "url?", paid = "boolean", total = "number >= 0", tax = "number 0..1",
  note = "string?", tags = "string[] ..10", reference = "string|null", attempts = "integer 0..9", region = "string",
  address = { street = "string", city = "string", zip = "string 3..10" }, terms = "string",
  lines = { { item = "string", qty = "integer >= 1", price = "number >= 0" } },
}

local function line(i) return ('{"item":"Part %d, galvanised","qty":%d,"price":%d.5}'):format(i, i, i * 3) end

local text = [[{"id":"0b6a3e6e-2f1d-4a5c-9a0b-6f2f4c1d2e3f","number":4711,"created":"2026-01-31T09:30:00Z","due":"2026-03-01",]] ..
  [["status":"open","currency":"EUR","vendor":"ACME Tools and Supplies","email":"billing@example.com",]] ..
  [["site":"https://example.com/shop?from=mail","paid":false,"total":1234.5,"tax":0.19,"note":"]] ..
  [[Deliver to the back door, ring twice, and leave the pallet under the roof. When nobody answers, call the number on the ]] ..
  [[gate and wait for ten minutes; the neighbours on the left take parcels too.","tags":["urgent","tools","north"],]] ..
  [["reference":null,"attempts":2,"region":"north","terms":"30 days net","address":{"street":"12 Long Street",]] ..
  [["city":"Oslo","zip":"0150"},"lines":[]] ..
  table.concat({ line(1), line(2), line(3), line(4), line(5), line(6) }, ",") .. "]}"

local value = json.decode(text)
assert(Order:check(value) == value)

local function microseconds(f, times)
  time.sleep(0) -- a turn for the others: no watchdog in the figures
  local start = time.cpu()
  for _ = 1, times do f() end
  return (time.cpu() - start) / times * 1e6
end

local function median(f)
  local times, list = 1, {}
  while microseconds(f, times) * times < SECONDS * 1e6 do times = times * 2 end
  for i = 1, ROUNDS do list[i] = microseconds(f, times) end
  table.sort(list)
  return list[ROUNDS // 2 + 1]
end

local function row(what, f, limit)
  local us = median(f)
  print(("%-46s %10.2f %10s %-6s %6s  %s"):format(what, us, "", "us", "",
    limit and ("(under %g)%s"):format(limit, us > limit and "  MISSED" or "") or ""))
end

local wrong = json.decode(text)
wrong.lines[2].qty = "two"

row(("check %d bytes by 20 fields"):format(#text), function() return Order:try(value) end, LIMIT)
row("the same with a mistake in it", function() return Order:try(wrong) end)
row("decode it", function() return json.decode(text) end)
