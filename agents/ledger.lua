#!/usr/bin/env stoke
-- ledger.lua: pays an invoice once, whatever happens. A durable workflow: the model reads the invoice, a person approves the
-- payment (days later, from another shell), the payment must not happen twice, and after three days without a confirmation a
-- reminder is written. Kill it whenever you like: the same command goes on where it stood.
--
-- Needs: an Ollama with a model that calls tools (stoke pull qwen2.5:3b), or --sim.
-- Try:   stoke agents/ledger.lua tests/agents/ledger/acme.txt       (and in another shell: stoke approve acme.txt)
--        stoke agents/ledger.lua --confirm acme.txt

local stoke = require "stoke"
local args = require "stoke.args"
local fs = require "stoke.fs"
local ollama = require "stoke.ollama"

local SPEC = {
  name = "ledger.lua", summary = "Pay an invoice once: approved, kept, reminded of.",
  examples = { { "ledger.lua acme.txt", "read it, ask for approval, pay; run again it goes on" },
               { "ledger.lua --confirm acme.txt", "the money has come" } },
  options = { { "confirm", placeholder = "ID", help = "confirm the payment of this invoice" },
              { "book", default = "ledger.txt", help = "the ledger" },
              { "days", type = "number", default = 3, help = "after so many a reminder is written" },
              { "model", short = "m", help = "model to ask; without it the newest with tools" } },
  positionals = { { "invoice", optional = true, help = "a text file" } },
}

-- The line of a payment, by its key; nil: it was not made.
local function find(book, key)
  for line in (fs.stat(book) and fs.read(book) or ""):gmatch "[^\n]+" do
    if line:find(key, 1, true) then return line end
  end
end

local function write(book, key, words)
  fs.write(book, ("%s  %s\n"):format(words, key), { append = true })
  return words
end

local function clerk(model, book)
  local pay = stoke.tool {
    name = "pay", description = "Pay an invoice", params = { vendor = "string", euros = "number" }, needs_approval = true,
    run = function(a, ctx) return write(book, ctx.key, ("paid %.2f euros to %s"):format(a.euros, a.vendor)) end,
    reconcile = function(_, key) -- asked where the process was killed in a payment: was it made?
      local line = find(book, key)
      return line and line:match "^(.-)  "
    end,
  }
  return stoke.agent { name = "clerk", model = model, tools = { pay }, instructions = "You pay invoices. Read the invoice, " ..
    "pay it with the tool, once, and answer with one sentence that says what was paid." }
end

local pay_invoice = stoke.workflow("pay invoice", function(input)
  local text = fs.read(input.invoice)
  local said = clerk(input.model, input.book):run("Pay this invoice:\n\n" .. text).text
  print(said)
  local confirmed = stoke.signal("confirmed", { timeout = input.days * 24 * 3600 })
  if confirmed then return "confirmed: " .. confirmed end
  stoke.step("remind", function(step)
    return find(input.book, step.key) or write(input.book, step.key, "remind: " .. input.invoice)
  end, { idempotent = true })
  return "not confirmed, a reminder is written"
end)

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  if a.confirm then return require "stoke.workflow".run(a.confirm):signal("confirmed", "by hand") end
  if not a.invoice then stoke.raise("usage", "which invoice?") end
  local id = a.invoice:match "[^/]+$"
  local run = pay_invoice:start({ invoice = a.invoice, book = a.book, days = a.days, model = a.model or ollama.newest "tools" },
    { id = id })
  io.stderr:write(("run %s: stoke approve %s decides the payment; stoke show %s tells all\n"):format(id, id, id))
  print(run:await())
end)
