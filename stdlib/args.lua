-- stoke.args: command lines. A script describes its options and positionals in one table; parsing, validation, --help and
-- suggestions for misspelt options follow from it.

local errors = require "core.errors"
local stdio = require "core.stdio"
local runtime = require "stoke.cmd.flags"

local M = {}

local TYPES = { string = true, number = true, integer = true, boolean = true, list = true }
local SPEC_KEYS = { "name", "summary", "examples", "options", "positionals" }
local ITEM_KEYS = { "type", "of", "short", "default", "choices", "help", "placeholder",
                    "required", "optional", "convert" }

local function check_keys(t, known, where)
  local extra = {}
  for k in pairs(t) do
    if k ~= 1 then
      local found = false
      for _, name in ipairs(known) do found = found or name == k end
      if not found then extra[#extra + 1] = tostring(k) end
    end
  end
  if #extra == 0 then return end
  table.sort(extra)
  local near = errors.suggest(extra[1], known)
  errors.raise("argument", ("args.parse: unknown field '%s' in %s"):format(extra[1], where),
               { hint = near and ("did you mean '%s'?"):format(near) or nil })
end

local function infer_type(item)
  if item.type then return item.type end
  if type(item.default) == "boolean" then return "boolean" end
  if type(item.default) == "table" then return "list" end
  return math.type(item.default) == "integer" and "integer"
         or math.type(item.default) == "float" and "number" or "string"
end

-- Turn one entry of the description into a full record, or say what is wrong with it.
local function compile_item(raw, where)
  if type(raw) ~= "table" or type(raw[1]) ~= "string" or not raw[1]:find "^%a[%w-]*$" then
    errors.raise("argument", ("args.parse: %s needs a name, as in { \"model\", help = ... }")
                 :format(where))
  end
  where = ("%s '%s'"):format(where, raw[1])
  check_keys(raw, ITEM_KEYS, where)
  local item = {}
  for k, v in pairs(raw) do item[k] = v end
  item.name, item.key, item.type = raw[1], raw[1]:gsub("-", "_"), infer_type(raw)
  if not TYPES[item.type] then
    errors.raise("argument", ("args.parse: %s has the unknown type '%s'")
                 :format(where, tostring(item.type)), {
      hint = "string, number, integer, boolean or list; choices = {...} limits the values" })
  end
  item.of = item.of or (item.type == "list" and "string" or item.type)
  if item.convert ~= nil and not errors.callable(item.convert) then
    errors.argument("args.parse: %s: convert must be a function, got %s", where, type(item.convert))
  end
  return item
end

local function compile(spec)
  if type(spec) ~= "table" then errors.raise("argument", "args.parse: needs a description") end
  check_keys(spec, SPEC_KEYS, "the description")
  for _, part in ipairs { "options", "positionals", "examples" } do
    if spec[part] ~= nil and type(spec[part]) ~= "table" then
      errors.argument("args.parse: %s must be a list, got %s", part, errors.describe(spec[part]))
    end
  end
  local p = { name = spec.name or "script", summary = spec.summary, examples = spec.examples or {},
              options = {}, positionals = {}, long = {}, short = {}, names = {} }
  for i, raw in ipairs(spec.options or {}) do
    local o = compile_item(raw, "option " .. i)
    for _, own in ipairs(runtime.list) do
      if own.name == o.name then
        errors.raise("argument", ("args.parse: --%s is stoke's own flag"):format(o.name),
                     { hint = "give the option another name" })
      end
    end
    if p.long[o.name] or o.name == "help" then
      errors.raise("argument", ("args.parse: option '%s' is declared twice"):format(o.name))
    end
    p.options[i], p.long[o.name] = o, o
    p.names[#p.names + 1] = "--" .. o.name
    if o.short then p.short[o.short] = o end
  end
  p.names[#p.names + 1] = "--help"
  for _, own in ipairs(runtime.list) do p.names[#p.names + 1] = "--" .. own.name end
  for i, raw in ipairs(spec.positionals or {}) do
    local a = compile_item(raw, "positional " .. i)
    a.optional = a.optional or a.default ~= nil
    if a.type == "list" and spec.positionals[i + 1] then
      errors.raise("argument", "args.parse: only the last positional can be a list")
    end
    p.positionals[i] = a
  end
  return p
end

-- help ------------------------------------------------------------------------------------------

local function placeholder(item)
  if item.placeholder then return item.placeholder end
  if item.of == "integer" or item.of == "number" then return "N" end
  return item.name:upper():gsub("-", "_")
end

local function usage_word(a)
  local word = a.placeholder or a.name:upper()
  if a.type == "list" then word = word .. "..." end
  return a.optional and "[" .. word .. "]" or word
end

local function flag_text(o)
  local text = (o.short and "-" .. o.short .. ", " or "    ") .. "--" .. o.name
  if o.type == "boolean" then return text end
  return text .. " " .. placeholder(o)
end

local function note(item)
  local text = item.help or ""
  local extra = {}
  if item.choices then extra[#extra + 1] = table.concat(item.choices, ", ") end
  if item.type == "list" and item.short ~= nil then extra[#extra + 1] = "may be repeated" end
  if item.required then extra[#extra + 1] = "required" end
  local default = item.default
  if default ~= nil and default ~= false and default ~= "" and type(default) ~= "table" then
    extra[#extra + 1] = "default " .. tostring(default)
  end
  if #extra == 0 then return text end
  return (text ~= "" and text .. " " or "") .. "(" .. table.concat(extra, "; ") .. ")"
end

-- A heading and its two columns.
local function section(out, title, rows, colour)
  if #rows == 0 then return end
  local term = require "stoke.term"
  out[#out + 1] = "\n" .. term.paint("bold", title, colour) .. "\n"
  local width = 0
  for _, r in ipairs(rows) do width = math.max(width, math.min(term.width(r[1]), 46)) end
  for _, r in ipairs(rows) do
    local line = "  " .. r[1]
    if r[2] ~= "" then
      line = line .. (" "):rep(math.max(width - term.width(r[1]), 0) + 2) .. r[2]
    end
    out[#out + 1] = line .. "\n"
  end
end

local function help_text(p, colour)
  local out = {}
  if p.summary then out[1] = p.summary .. "\n" end
  local examples = {}
  for i, e in ipairs(p.examples) do
    examples[i] = type(e) == "table" and { e[1], e[2] or "" } or { e, "" }
  end
  section(out, "Examples", examples, colour)
  local usage = { p.name }
  if #p.options > 0 then usage[2] = "[flags]" end
  local operands = {}
  for i, a in ipairs(p.positionals) do
    usage[#usage + 1] = usage_word(a)
    operands[i] = { a.placeholder or a.name:upper(), note(a) }
  end
  section(out, "Usage", { { table.concat(usage, " "), "" } }, colour)
  section(out, "Arguments", operands, colour)
  local flags = {}
  for i, o in ipairs(p.options) do flags[i] = { flag_text(o), note(o) } end
  flags[#flags + 1] = { "-h, --help", "show this" }
  section(out, "Flags", flags, colour)
  if not p.summary then out[1] = out[1]:gsub("^\n", "") end
  return table.concat(out)
end

---The help text of a description, as `--help` prints it.
---@param spec table the description given to `parse`
---@param colour? boolean
---@return string
---
---Example: `print(args.help { name = "hello.lua", summary = "Say hello." })`
function M.help(spec, colour) return help_text(compile(spec), colour or false) end

---A description with every default filled in, as completion and manual pages need it.
---@param spec table the description given to `parse`
---@return { name: string, summary?: string, usage: string, examples: string[][], options: table[], positionals: table[] }
---  options: name, short, type, of, choices, placeholder, note; positionals: name, type, of, choices, placeholder, optional, note
---Raises `argument` for a wrong description.
---
---Example: `print(args.describe({ name = "hello.lua", options = { { "model" } } }).usage)`
function M.describe(spec)
  local p = compile(spec)
  local out = { name = p.name, summary = p.summary, examples = {}, options = {}, positionals = {} }
  local usage = { p.name, #p.options > 0 and "[flags]" or nil }
  for i, e in ipairs(p.examples) do
    out.examples[i] = type(e) == "table" and { e[1], e[2] or "" } or { e, "" }
  end
  for i, o in ipairs(p.options) do
    out.options[i] = { name = o.name, short = o.short, type = o.type, of = o.of, choices = o.choices,
                       placeholder = o.type ~= "boolean" and placeholder(o) or nil, note = note(o) }
  end
  for i, a in ipairs(p.positionals) do
    usage[#usage + 1] = usage_word(a)
    out.positionals[i] = { name = a.name, type = a.type, of = a.of, choices = a.choices, optional = a.optional,
                           placeholder = a.placeholder or a.name:upper(), note = note(a) }
  end
  out.usage = table.concat(usage, " ")
  return out
end

local asked -- set while `described` wants a description instead of a parse

---The description that a command passes to `parse`: runs the command with `--help` and stops it in `parse`.
---@private
---@param command fun(argv: string[])
---@return table|nil spec nil when it never parses
---
---Example: `local spec = args.described(function(argv) args.parse({ name = "hello.lua" }, argv) end)`
function M.described(command)
  local spec
  local outer <const> = asked
  asked = function(given)
    spec = given
    errors.raise("exit", "", { code = 0 })
  end
  local ok, err = pcall(command, { "--help" })
  asked = outer
  if not ok and not spec then error(err, 0) end
  return spec
end

-- parsing ---------------------------------------------------------------------------------------

local function usage(p, message, hint)
  errors.raise("usage", message, { hint = hint or ("%s --help shows how"):format(p.name) })
end

local function convert(p, item, text, shown)
  local kind, value = item.of, nil
  if kind == "string" then
    value = text
  elseif kind == "boolean" then
    local words = { ["true"] = true, yes = true, on = true, ["1"] = true,
                    ["false"] = false, no = false, off = false, ["0"] = false }
    value = words[text:lower()]
  elseif text:find "^[+-]?%d" or text:find "^[+-]?%.%d" then
    value = tonumber((text:gsub("^%+", "")))
    if kind == "integer" then value = math.tointeger(value) end
  end
  if value == nil then
    local article = kind == "integer" and "a whole number" or kind == "number" and "a number"
                    or "true or false"
    usage(p, ("%s wants %s, got '%s'"):format(shown, article, text))
  end
  if item.choices then
    for _, c in ipairs(item.choices) do if c == value then return value end end
    local near = type(value) == "string" and errors.suggest(value, item.choices)
    usage(p, ("%s cannot be '%s'"):format(shown, text),
          near and ("did you mean '%s'?"):format(near)
          or "one of: " .. table.concat(item.choices, ", "))
  end
  if not item.convert then return value end
  local ok, converted = pcall(item.convert, value)
  if ok then return converted end
  local err = errors.wrap(converted)
  if err.kind == "cancelled" then error(err, 0) end
  return usage(p, ("%s: %s"):format(shown, err.message), rawget(err, "hint"))
end

local function store(p, out, item, text, shown)
  local value = convert(p, item, text, shown)
  if item.type == "list" then
    out[item.key] = out[item.key] or {}
    table.insert(out[item.key], value)
  else
    out[item.key] = value
  end
end

-- The word after a flag is its value unless it looks like another flag.
local function next_value(p, s, shown)
  local word = s.argv[s.i + 1]
  if word == nil or (word:find "^%-." and not word:find "^%-%.?%d") then
    usage(p, shown .. " wants a value",
          word and word ~= "--" and ("for a value that starts with '-' write %s=%s")
          :format(shown, word) or nil)
  end
  s.i = s.i + 1
  return word
end

local function long_flag(p, s, out, word)
  local name, eq, value = word:match "^%-%-([^=]+)(=?)(.*)$"
  name = name or ""
  local shown = "--" .. name
  local item = p.long[name]
  if not item then
    local off = p.long[name:match "^no%-(.+)$" or ""]
    if off and off.type == "boolean" and eq == "" then
      out[off.key] = false
      return
    end
    local near = errors.suggest(shown, p.names)
    usage(p, ("unknown flag %s"):format(shown),
          near and ("did you mean %s?"):format(near) or nil)
  end
  if eq == "=" then return store(p, out, item, value, shown) end
  if item.type == "boolean" then out[item.key] = true return end
  store(p, out, item, next_value(p, s, shown), shown)
end

-- -v, -vq for switches; -n5 and -n 5 for values.
local function short_flags(p, s, out, word)
  local i = 2
  while i <= #word do
    local c = word:sub(i, i)
    local item, shown = p.short[c], "-" .. c
    if not item then
      local near = errors.suggest("-" .. word, p.names)
      usage(p, ("unknown flag %s"):format(i == 2 and word or shown),
            near and ("did you mean %s?"):format(near) or nil)
    end
    if item.type ~= "boolean" then
      local rest = word:sub(i + 1):gsub("^=", "")
      return store(p, out, item, rest ~= "" and rest or next_value(p, s, shown), shown)
    end
    out[item.key] = true
    i = i + 1
  end
end

local function positional(p, out, words)
  local n = 0
  for _, a in ipairs(p.positionals) do
    local shown = a.placeholder or a.name:upper()
    if a.type == "list" then
      for i = n + 1, #words do store(p, out, a, words[i], shown) end
      n = #words
    elseif words[n + 1] then
      n = n + 1
      store(p, out, a, words[n], shown)
    end
    if out[a.key] == nil and not a.optional then
      usage(p, ("missing argument: %s"):format(shown))
    end
  end
  if words[n + 1] then usage(p, ("unexpected argument '%s'"):format(words[n + 1])) end
end

local function help_and_exit(p)
  stdio.write(help_text(p, require "stoke.term".colour(1)))
  errors.raise("exit", "", { code = 0 })
end

local function walk(p, argv, out)
  local s, words = { argv = argv, i = 1 }, {}
  while s.i <= #argv do
    local word = tostring(argv[s.i])
    if word == "--" then
      table.move(argv, s.i + 1, #argv, #words + 1, words)
      break
    elseif word == "--help" or (word == "-h" and not p.short.h) then
      help_and_exit(p)
    elseif word:find "^%-%-" then
      long_flag(p, s, out, word)
    elseif word:find "^%-." and (p.short[word:sub(2, 2)] or not word:find "^%-%.?%d") then
      short_flags(p, s, out, word)
    else
      words[#words + 1] = word
    end
    s.i = s.i + 1
  end
  return words
end

local function defaults(p, out)
  for _, set in ipairs { p.options, p.positionals } do
    for _, item in ipairs(set) do
      if out[item.key] == nil then
        local v = item.default
        if v == nil and item.type == "boolean" then v = false end
        if v == nil and item.type == "list" then v = {} end
        if type(v) == "table" then v = table.move(v, 1, #v, 1, {}) end
        out[item.key] = v
      end
    end
  end
end

---Parse a command line.
---
---    local a = args.parse({
---      name = "hello.lua", summary = "Ask a model one question.",
---      examples = { { "hello.lua 'Why is the sky blue?'", "ask the first model there is" } },
---      options = { { "model", short = "m", help = "model to ask" },
---                  { "count", short = "n", default = 3, help = "answers wanted" },
---                  { "style", choices = { "plain", "verse" } },
---                  { "verbose", type = "boolean" },            -- also --no-verbose
---                  { "tag", type = "list", help = "a label" } },  -- may be repeated
---      positionals = { { "prompt", help = "the question" }, { "files", type = "list", optional = true } },
---    }, ...)
---
---An entry's name comes first, then its fields: type (string, number, integer, boolean, list; taken
---from the default where left out), of (type of a list's items), short, default, choices, help,
---placeholder, required (options), optional (positionals; a default makes one optional too), convert (a function from the
---value to what is wanted instead; what it raises is a mistake of the user's).
---`--max-items` is read as `a.max_items`. `--help` prints the help and ends the script, exit code 0.
---@param spec table the description
---@param ... string|string[] the words, or one table of them
---@return table values by name
---Raises `usage` (exit code 2) for what the user typed wrongly, `argument` for a wrong description,
---and `exit` after printing the help.
function M.parse(spec, ...)
  if asked then asked(spec) end
  local p = compile(spec)
  local first = ...
  local argv = type(first) == "table" and first or { ... }
  local out = {}
  local words = walk(p, argv, out)
  positional(p, out, words)
  for _, o in ipairs(p.options) do
    if o.required and out[o.key] == nil then usage(p, ("missing flag: --%s"):format(o.name)) end
  end
  defaults(p, out)
  return out
end

return M
