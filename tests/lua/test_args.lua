-- stoke.args: flags, positionals, help, did-you-mean, and the runtime's own flags.

local test = require "stoke.test"
local args = require "stoke.args"
local runtime = require "stoke.cmd.flags"

local SPEC = {
  name = "demo.lua",
  summary = "Show what args can do.",
  examples = { { "demo.lua in.txt", "the plain case" }, "demo.lua -n 3 in.txt" },
  options = {
    { "model", short = "m", default = "tiny", help = "model to ask" },
    { "count", short = "n", default = 1, help = "how many" },
    { "ratio", type = "number" },
    { "verbose", short = "v", type = "boolean", help = "say more" },
    { "quiet", short = "q", type = "boolean" },
    { "colour", type = "boolean", default = true },
    { "tag", short = "t", type = "list", help = "a label" },
    { "port-list", type = "list", of = "integer" },
    { "style", choices = { "plain", "verse", "prose" }, default = "plain" },
  },
  positionals = { { "input", help = "file to read" },
                  { "more", type = "list", optional = true, help = "other files" } },
}

local function parse(...) return args.parse(SPEC, ...) end

test("args: defaults stand where nothing was given", function(t)
  local a = parse "x"
  t.eq(a.input, "x")
  t.eq(a.model, "tiny")
  t.eq(a.count, 1)
  t.eq(a.ratio, nil)
  t.eq(a.verbose, false)
  t.eq(a.colour, true)
  t.eq(a.tag, {})
  t.eq(a.more, {})
end)

test("args: every way of giving a flag", function(t)
  local a = parse("--model=a", "--count", "7", "-v", "--no-colour", "-t", "one", "--tag=two",
                  "in", "--port-list", "80", "--port-list=443", "--ratio=-.5", "out")
  t.eq(a.model, "a")
  t.eq(a.count, 7)
  t.eq(a.verbose, true)
  t.eq(a.colour, false)
  t.eq(a.tag, { "one", "two" })
  t.eq(a.port_list, { 80, 443 })
  t.eq(a.ratio, -0.5)
  t.eq(a.input, "in")
  t.eq(a.more, { "out" })
end)

test("args: short flags join, values may stick to them", function(t)
  local a = parse("-vqn5", "x")
  t.eq({ a.verbose, a.quiet, a.count }, { true, true, 5 })
  t.eq(parse("-mbig", "x").model, "big")
  t.eq(parse("-m=big", "x").model, "big")
  t.eq(parse("-n", "-3", "x").count, -3)
end)

test("args: words come as varargs or as one table", function(t)
  t.eq(args.parse(SPEC, { "a", "b" }).more, { "b" })
  t.eq(args.parse(SPEC, "a", "b").more, { "b" })
  t.eq(args.parse({ name = "none" }).x, nil)
end)

test("args: '--' ends the flags, '-' and negative numbers are words", function(t)
  t.eq(parse("a", "--", "--model", "-v").more, { "--model", "-v" })
  t.eq(parse("-").input, "-")
  t.eq(parse("-5").input, "-5")
end)

test("args: an empty value is a value", function(t)
  t.eq(parse("--model=", "x").model, "")
  t.eq(parse("--model", "", "x").model, "")
  t.eq(parse("").input, "")
end)

test("args: convert makes of a word what is wanted; what it raises is a usage error", function(t)
  local spec = { name = "x", options = { { "even", default = 2, convert = function(n)
    return n % 2 == 0 and { half = n // 2 } or error("it must be even", 0)
  end }, { "tag", type = "list", convert = string.upper } } }
  t.eq(args.parse(spec, { "--even", "6" }).even, { half = 3 })
  t.eq(args.parse(spec, {}).even, 2)
  t.eq(args.parse(spec, { "--tag", "a", "--tag", "b" }).tag, { "A", "B" })
  t.eq(t.raises("usage", args.parse, spec, { "--even", "5" }).message, "--even: it must be even")
  t.ok(t.raises("argument", args.parse, { options = { { "a", convert = 1 } } }, {}).message:find("convert", 1, true))
end)

test("args: defaults of lists are copies", function(t)
  local spec = { options = { { "tag", default = { "a" } } } }
  table.insert(args.parse(spec, {}).tag, "b")
  t.eq(args.parse(spec, {}).tag, { "a" })
end)

test("args: what the user typed wrongly is a usage error that says how to go on", function(t)
  local rows = {
    { { "x", "--modle", "y" }, "unknown flag --modle", "did you mean --model?" },
    { { "x", "--no-modle" }, "unknown flag --no-modle" },
    { { "x", "--simm" }, "unknown flag --simm", "did you mean --sim?" },
    { { "x", "-z" }, "unknown flag -z" },
    { { "x", "--count", "many" }, "--count wants a whole number, got 'many'" },
    { { "x", "--count", "1.5" }, "--count wants a whole number, got '1.5'" },
    { { "x", "--count", "0x" }, "--count wants a whole number" },
    { { "x", "--ratio", "nan" }, "--ratio wants a number, got 'nan'" },
    { { "x", "--verbose=maybe" }, "--verbose wants true or false, got 'maybe'" },
    { { "x", "--style", "vers" }, "--style cannot be 'vers'", "did you mean 'verse'?" },
    { { "x", "--style", "opera" }, "--style cannot be 'opera'", "one of: plain, verse, prose" },
    { { "x", "--model" }, "--model wants a value" },
    { { "x", "--model", "--verbose" }, "--model wants a value", "--model=--verbose" },
    { {}, "missing argument: INPUT" },
  }
  for _, row in ipairs(rows) do
    local e = t.raises("usage", args.parse, SPEC, row[1])
    t.ok(e.message:find(row[2], 1, true), e.message)
    t.ok(e.hint:find(row[3] or "demo.lua --help", 1, true), e.hint)
  end
  local e = t.raises("usage", args.parse, { name = "n" }, "stray")
  t.ok(e.message:find("unexpected argument 'stray'", 1, true), e.message)
  e = t.raises("usage", args.parse, { options = { { "to", required = true } } }, {})
  t.ok(e.message:find("missing flag: --to", 1, true), e.message)
end)

test("args: a wrong description is the script's bug", function(t)
  local rows = {
    { { option = {} }, "did you mean 'options'?" },
    { { options = { { "x", helpp = "" } } }, "did you mean 'help'?" },
    { { options = { { help = "" } } } },
    { { options = { { "x", type = "colour" } } }, "string, number" },
    { { options = { { "seed" } } }, "another name" },
    { { options = { { "x" }, { "x" } } } },
    { { positionals = { { "a", type = "list" }, { "b" } } } },
  }
  for i, row in ipairs(rows) do
    local e = t.raises("argument", args.parse, row[1], {})
    if row[2] then t.ok(e.hint:find(row[2], 1, true), i .. " " .. tostring(e.hint)) end
  end
end)

test("args: help puts examples first and shows types, choices and defaults", function(t)
  local text = args.help(SPEC)
  t.ok(text:find("^Show what args can do%.\n\nExamples\n  demo%.lua in%.txt"), text)
  t.ok(text:find("Examples", 1, true) < text:find("Usage", 1, true))
  for _, piece in ipairs { "demo.lua [flags] INPUT [MORE...]", "-m, --model MODEL",
                           "(default tiny)", "--port-list N", "plain, verse, prose",
                           "-h, --help", "    --ratio N", "the plain case" } do
    t.ok(text:find(piece, 1, true), "help lacks " .. piece .. "\n" .. text)
  end
  for line in text:gmatch "[^\n]*" do t.ok(not line:find "%s$", "trailing blank: " .. line) end
end)

test("args: the runtime's flags are its own wherever they stand, up to '--'", function(t)
  local flags, rest = runtime.split { "--seed", "7", "x.lua", "--sim=auto", "a", "--trace=t.json",
    "--trace-bodies", "--name", "--log", "debug", "--", "--sim", "-e" }
  t.eq(flags, { seed = "7", sim = "auto", trace = "t.json", ["trace-bodies"] = true, log = "debug" })
  t.eq(rest, { "x.lua", "a", "--name", "--", "--sim", "-e" })
  flags, rest = runtime.split { "x.lua", "--sim", "auto" }
  t.eq(flags, { sim = true })
  t.eq(rest, { "x.lua", "auto" })
  local e = t.raises("usage", runtime.split, { "--trace" })
  t.ok(e.message:find("--trace wants a value: --trace FILE", 1, true), e.message)
  t.raises("usage", runtime.split, { "--log", "--", "x" })
  t.raises("usage", runtime.split, { "--trace-bodies=1" })
end)
