--- Documentation of Lua's standard functions, one line each.

local ordered = require "core.ordered"

local M = {}

--- signature -> results | what it does
local TEXT = [==[
assert(v, message?, ...) -> any | Give v back, or raise message when v is nil or false.
collectgarbage(what?, argument?) -> any | Collect what nobody holds; "count" tells the kilobytes in use.
error(message, level?) | Raise an error; level 2 blames the caller. stoke.raise raises one with a kind.
getmetatable(object) -> table | The metatable of a value, or what its __metatable says.
ipairs(list) -> function | Iterate over 1, 2, 3 ... up to the first nil: for i, v in ipairs(list) do ... end
load(chunk, name?, mode?, env?) -> function, string | Compile text; nil and a message when it does not parse.
loadfile(path, mode?, env?) -> function, string | Compile a file.
dofile(path) -> any | Run a file.
next(table, key?) -> any, any | The next key and value; nil at the end.
pairs(table) -> function | Iterate over all keys and values, in no certain order.
pcall(f, ...) -> boolean, any | Call f: true and its results, or false and the error. See stoke.try, too.
print(...) | Write values to standard output, tabs between them.
rawequal(a, b) -> boolean | Are they the same, metamethods left aside?
rawget(table, key) -> any | A field, metamethods left aside.
rawlen(value) -> integer | The length, metamethods left aside.
rawset(table, key, value) -> table | Set a field, metamethods left aside.
require(name) -> any | Load a module once: stoke.*, a file beside the script, or a C module. Its body may wait.
select(n, ...) -> any | The arguments from the n-th on; "#" counts them.
setmetatable(table, metatable) -> table | Give a table its metatable.
tonumber(value, base?) -> number | The number that a text stands for, or nil.
tostring(value) -> string | A text for any value.
type(value) -> string | "nil", "number", "string", "boolean", "table", "function", "thread" or "userdata".
warn(message, ...) | Write a warning to standard error.
xpcall(f, handler, ...) -> boolean, any | As pcall; the handler sees the error where it was raised.
string.byte(s, i?, j?) -> integer | The bytes from i to j, as numbers.
string.char(...) -> string | A text of these bytes.
string.find(s, pattern, init?, plain?) -> integer, integer | Where a pattern (plain: a text) is first found, its captures.
string.format(format, ...) -> string | Fill in a format: %s %d %g %.2f %q %x %5s.
string.gmatch(s, pattern, init?) -> function | Iterate over all matches of a pattern.
string.gsub(s, pattern, replacement, n?) -> string, integer | Replace matches by a text, a table's fields or a function's results.
string.len(s) -> integer | Its bytes; utf8.len counts characters.
string.lower(s) -> string | Lower case, of ASCII letters.
string.match(s, pattern, init?) -> string | The captures of the first match, or the match itself.
string.pack(format, ...) -> string | Values as bytes: "<I4", "z", "s2" ...
string.packsize(format) -> integer | The bytes such a pack has.
string.rep(s, n, separator?) -> string | A text repeated.
string.reverse(s) -> string | Its bytes backwards.
string.sub(s, i, j?) -> string | The bytes from i to j; negative ones count from the end.
string.unpack(format, s, position?) -> any | What string.pack packed, and where it ended.
string.upper(s) -> string | Upper case, of ASCII letters.
table.concat(list, separator?, i?, j?) -> string | A text of all items.
table.insert(list, position?, value) | Put a value in, at the end or at a position.
table.move(from, first, last, at, to?) -> table | Copy items within a list or to another.
table.pack(...) -> table | The arguments as a list, with their count in n.
table.remove(list, position?) -> any | Take an item out, the last one or at a position.
table.sort(list, less?) | Sort in place; less(a, b) says whether a comes first, and must not wait.
table.unpack(list, i?, j?) -> any | The items as values.
utf8.char(...) -> string | A text of these code points.
utf8.codepoint(s, i?, j?, lax?) -> integer | The code points of the characters from byte i to byte j.
utf8.codes(s, lax?) -> function | Iterate over position and code point of each character.
utf8.len(s, i?, j?, lax?) -> integer | How many characters; nil and a position where the text is no UTF-8.
utf8.offset(s, n, i?) -> integer | The byte at which the n-th character begins.
math.abs(x) -> number | Its absolute value.
math.acos(x) -> number | The arc cosine, in radians.
math.asin(x) -> number | The arc sine, in radians.
math.atan(y, x?) -> number | The arc tangent of y/x, in radians, in the right quadrant.
math.ceil(x) -> integer | The smallest whole number that is not less.
math.cos(x) -> number | The cosine of radians.
math.deg(x) -> number | Radians as degrees.
math.exp(x) -> number | e to the power of x.
math.floor(x) -> integer | The greatest whole number that is not greater.
math.fmod(x, y) -> number | The rest of x/y, rounded towards zero.
math.log(x, base?) -> number | The logarithm, natural unless a base is given.
math.max(x, ...) -> number | The greatest.
math.min(x, ...) -> number | The least.
math.modf(x) -> number, number | The whole part and the fraction.
math.rad(x) -> number | Degrees as radians.
math.random(low?, high?) -> number | A float below 1, or a whole number between two. --seed and rand.seed repeat a run.
math.randomseed(seed) | Begin the random numbers anew.
math.sin(x) -> number | The sine of radians.
math.sqrt(x) -> number | The square root.
math.tan(x) -> number | The tangent of radians.
math.tointeger(x) -> integer | x as an integer, or nil when it is none.
math.type(x) -> string | "integer", "float", or nil for no number.
math.ult(a, b) -> boolean | Is a less than b, both without a sign?
os.clock() -> number | Seconds of processor time used.
os.date(format?, time?) -> string|table | A time as text ("%Y-%m-%d %H:%M"), or as a table with "*t".
os.difftime(a, b) -> number | Seconds from b to a.
os.exit(code?) | End the script: handlers run, what is open is closed.
os.getenv(name) -> string | A variable of the environment, or nil.
os.remove(path) -> boolean, string | Remove a file.
os.rename(from, to) -> boolean, string | Rename a file.
os.time(t?) -> integer | Seconds since 1970 of a table { year =, month =, day = ... }, or now.
io.read(format?) -> string | From standard input: "l" a line, "L" with its end, "a" all, "n" a number, or so many bytes. It waits.
io.write(...) -> any | Write texts to standard output.
io.lines(path?) -> function | Iterate over the lines of a file, or of standard input.
coroutine.close(co) -> boolean, any | End a suspended coroutine, and close its variables.
coroutine.create(f) -> thread | A coroutine that is not started yet.
coroutine.isyieldable(co?) -> boolean | May it yield?
coroutine.resume(co, ...) -> boolean, any | Go on with a coroutine; waits of tasks pass through it.
coroutine.running() -> thread, boolean | The running coroutine, and whether it is the main one.
coroutine.status(co) -> string | "suspended", "running", "normal" or "dead".
coroutine.wrap(f) -> function | A function that goes on with a coroutine at each call.
coroutine.yield(...) -> any | Give values to whoever resumed this coroutine.
debug.getinfo(f, what?) -> table | What is known of a function or a level of the stack.
debug.traceback(message?, level?) -> string | The stack as text.
]==]

local entries

local function read()
  entries = {}
  for line in TEXT:gmatch "[^\n]+" do
    local call, about = line:match "^(.-) | (.*)$"
    local name = call:match "^[%w.]+"
    entries[name] = { name = name, kind = "function", module = name:match "^(%w+)%.", signature = call, description = about,
      params = {}, returns = {}, where = "Lua 5.4" }
  end
end

--- The entry of a name.
---@param name string "string.format", "pcall"
---@return stoke.doc.entry|nil
---
--- Example: `print(lua.find("string.format").signature)`
function M.find(name)
  if not entries then read() end
  return entries[name]
end

--- The entry of a function.
---@param f function
---@return stoke.doc.entry|nil
---
--- Example: `print(lua.of(string.format).name)`
function M.of(f)
  if not entries then read() end
  local globals = require "core.env".globals
  for _, name in ipairs(M.names()) do
    local library, member = name:match "^(%w+)%.(.*)$"
    local from = library and rawget(globals, library) or globals
    if type(from) == "table" and rawget(from, member or name) == f then return entries[name] end
  end
end

--- All names, sorted.
---@return string[]
---
--- Example: `print(#lua.names())`
function M.names()
  if not entries then read() end
  return ordered.names(entries)
end

return M
