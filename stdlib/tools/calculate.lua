--- Evaluates arithmetic as people and models write it: `2(3+4)` is refused, `1,234.5 * 20%` is not. A parser of its own;
--- nothing is ever handed to Lua's. Whole numbers stay exact while they fit 64 bits, and become floats beyond.

local ordered = require "core.ordered"

local M = {}

local LENGTH_MAX, DEPTH_MAX = 1000, 100

-- ---- numbers --------------------------------------------------------------------------------------------------------------

local function is_integer(x) return math.type(x) == "integer" end

--- A float that is a whole number, and small enough to be exact, as an integer.
local function settle(x)
  if math.type(x) == "float" and x == math.floor(x) and x > -2.0 ^ 53 and x < 2.0 ^ 53 then return math.tointeger(x) end
  return x
end

local function add(a, b)
  local sum = a + b
  if is_integer(sum) and (a ~ sum) & (b ~ sum) < 0 then return a + 0.0 + b end -- it went round
  return sum
end

local function negate(a)
  if a == math.mininteger then return -(a + 0.0) end
  return -a
end

local function subtract(a, b)
  local difference = a - b
  if is_integer(difference) and (a ~ b) & (a ~ difference) < 0 then return a + 0.0 - b end
  return difference
end

local function multiply(a, b)
  local product = a * b
  if not is_integer(product) or a == 0 or b == 0 then return product end
  local float = (a + 0.0) * b
  if float >= 2.0 ^ 63 or float < -2.0 ^ 63 or product // b ~= a then return float end
  return product
end

local function divide(a, b)
  if b == 0 then return nil, "division by zero" end
  if is_integer(a) and is_integer(b) and b ~= -1 and a % b == 0 then return a // b end
  if b == -1 then return negate(a) end
  return a / b
end

local function whole_divide(a, b)
  if b == 0 then return nil, "division by zero" end
  if b == -1 then return settle(math.floor(negate(a))) end
  return settle(a // b)
end

local function modulo(a, b)
  if b == 0 then return nil, "division by zero" end
  return a % b
end

local function power(a, b)
  if is_integer(a) and is_integer(b) and b >= 0 then
    local result, base, left = 1, a, b
    while left > 0 do
      if left & 1 == 1 then result = multiply(result, base) end
      left = left >> 1
      if left > 0 then base = multiply(base, base) end
      if not is_integer(result) or not is_integer(base) then return (a + 0.0) ^ b end
    end
    return result
  end
  if a == 0 and b < 0 then return nil, "division by zero" end
  local result = (a + 0.0) ^ b
  if result ~= result then return nil, "a negative number has no such power" end
  return result
end

-- ---- functions ------------------------------------------------------------------------------------------------------------

local function rounded(x, digits)
  digits = digits or 0
  if not is_integer(digits) or digits < -300 or digits > 300 then return nil, "round takes a whole number of digits" end
  if is_integer(x) and digits >= 0 then return x end
  local scale = 10.0 ^ digits
  local scaled = x * scale
  if scaled ~= scaled or scaled == math.huge or scaled == -math.huge then return x end
  local out = scaled >= 0 and math.floor(scaled + 0.5) or math.ceil(scaled - 0.5) -- halves away from zero
  return settle(out / scale)
end

local function factorial(n)
  if not is_integer(n) or n < 0 then return nil, "factorial takes a whole number from 0 up" end
  if n > 170 then return nil, "factorial takes at most 170: beyond, no number holds it" end
  local product = 1
  for i = 2, n do product = multiply(product, i) end
  return product
end

local function gcd(...)
  local result = 0
  for _, x in ipairs { ... } do
    if not is_integer(x) or x == math.mininteger then return nil, "gcd takes whole numbers" end
    local a, b = math.abs(result), math.abs(x)
    while b ~= 0 do a, b = b, a % b end
    result = a
  end
  return result
end

--- A function of one number that is defined from `low` to `high` only.
local function within(f, low, high, complaint)
  return function(x)
    if x < low or x > high then return nil, complaint end
    return f(x)
  end
end

local function logarithm(x, base)
  if x <= 0 then return nil, "a logarithm takes a number above 0" end
  if base and (base <= 0 or base == 1) then return nil, "the base of a logarithm is above 0 and not 1" end
  return math.log(x, base or 10)
end

local function absolute(x) return x < 0 and negate(x) or x end
local function toward(f)
  return function(x) return is_integer(x) and x or settle(f(x) + 0.0) end
end

-- name -> { function, fewest arguments, most }
local FUNCTIONS = {
  sqrt = { within(math.sqrt, 0, math.huge, "a negative number has no square root"), 1, 1 },
  sin = { math.sin, 1, 1 }, cos = { math.cos, 1, 1 }, tan = { math.tan, 1, 1 },
  asin = { within(math.asin, -1, 1, "asin takes -1 to 1"), 1, 1 },
  acos = { within(math.acos, -1, 1, "acos takes -1 to 1"), 1, 1 }, atan = { math.atan, 1, 2 },
  ln = { function(x) return logarithm(x, M.E) end, 1, 1 }, log = { logarithm, 1, 2 },
  log2 = { function(x) return logarithm(x, 2) end, 1, 1 }, log10 = { function(x) return logarithm(x, 10) end, 1, 1 },
  exp = { math.exp, 1, 1 }, abs = { absolute, 1, 1 }, floor = { toward(math.floor), 1, 1 }, ceil = { toward(math.ceil), 1, 1 },
  round = { rounded, 1, 2 }, min = { math.min, 1, 50 }, max = { math.max, 1, 50 }, factorial = { factorial, 1, 1 },
  gcd = { gcd, 2, 50 },
}

M.E = math.exp(1)
local CONSTANTS = { pi = math.pi, e = M.E, ["π"] = math.pi }

-- ---- words ----------------------------------------------------------------------------------------------------------------

-- One character for another, so that positions stay.
local SAME = { ["×"] = "*", ["·"] = "*", ["⋅"] = "*", ["∙"] = "*", ["÷"] = "/", ["∕"] = "/", ["−"] = "-", ["–"] = "-", ["—"] = "-",
  ["\u{A0}"] = " ", ["\u{202F}"] = " ", ["\u{2009}"] = " " }

local Parser = {}
Parser.__index = Parser

--- Stop with a complaint about what begins at byte `at`; position is counted in characters.
function Parser:fail(message, at)
  at = at or self.from
  error({ complaint = ("%s, at position %d"):format(message, utf8.len(self.text:sub(1, at - 1)) + 1) }, 0)
end

local function number_at(text, at)
  -- 1,234,567.8: groups of three, and not what follows in min(1,234)
  local grouped = text:match("^%d%d?%d?,%d%d%d", at) and text:match("^[%d,]+", at)
  local digits = text:match("^%d+", at) or ""
  if grouped then
    local plain, rest = grouped:match "^(%d%d?%d?)(,.*)$"
    while rest and rest:find "^,%d%d%d%f[^%d]" do
      plain, rest = plain .. rest:sub(2, 4), rest:sub(5)
    end
    if rest == "" then return plain, at + #grouped, true end
  end
  return digits, at + #digits, false
end

--- The number at the current place.
function Parser:number()
  local text, at = self.text, self.from
  if text:find("^0[xXbB]", at) then self:fail "write numbers in decimal" end
  local digits, after, grouped = number_at(text, at)
  if grouped and self.calls > 0 then -- min(1,234) has two arguments
    digits = text:match("^%d+", at)
    after = at + #digits
  end
  local fraction = text:match("^%.%d*", after) or ""
  after = after + #fraction
  local exponent = text:match("^[eE][+-]?%d+", after) or ""
  after = after + #exponent
  if fraction == "." and digits == "" then self:fail "a number expected after the point" end
  if text:find("^%.", after) then self:fail("a number has one point", after) end
  self.kind, self.to = "number", after - 1
  local value = fraction == "" and exponent == "" and math.tointeger(tonumber(digits)) or
    (tonumber(("%s%s%s"):format(digits == "" and "0" or digits, fraction == "." and "" or fraction, exponent)) + 0.0)
  if value == math.huge then self:fail "the number is too large" end
  self.value = settle(value)
end

--- Reads the next word into kind, value, from, to.
function Parser:advance()
  local text = self.text
  local at = text:find("%S", self.to + 1)
  self.from = at or #text + 1
  if not at then
    self.kind, self.to = "end", #text
  elseif text:find("^%.?%d", at) then
    self:number()
  elseif text:find("^[%a_]", at) or text:find("^π", at) then
    self.kind, self.value = "name", text:match("^[%a_][%w_]*", at) or "π"
    self.to = at + #self.value - 1
  else
    local symbol = text:match("^//", at) or text:match("^%*%*", at) or text:match("^√", at) or text:match("^[-+*/%%^(),!]", at)
    if not symbol then self:fail(("%s means nothing here"):format(text:match(utf8.charpattern, at))) end
    self.kind, self.value, self.to = "symbol", symbol == "**" and "^" or symbol, at + #symbol - 1
  end
end

function Parser:is(symbol) return self.kind == "symbol" and self.value == symbol end

function Parser:expect(symbol, why)
  if not self:is(symbol) then self:fail(("`%s` expected %s"):format(symbol, why)) end
  self:advance()
end

-- ---- grammar: precedence climbing ------------------------------------------------------------------------------------------

-- symbol -> { precedence, function }; `^` binds tighter than a sign and to the right, and is read apart.
local BINARY = {
  ["+"] = { 1, add }, ["-"] = { 1, subtract }, ["*"] = { 2, multiply }, ["/"] = { 2, divide }, ["//"] = { 2, whole_divide },
  ["%"] = { 2, modulo },
}

function Parser:apply(at, f, ...)
  local value, complaint = f(...)
  if value == nil then self:fail(complaint, at) end
  if value ~= value then self:fail("the result is no number", at) end
  if value == math.huge or value == -math.huge then self:fail("the result is too large", at) end
  return settle(value)
end

function Parser:call(name, at)
  local f = FUNCTIONS[name]
  local arguments = {}
  self.calls = self.calls + 1
  self:expect("(", ("after %s"):format(name))
  repeat
    arguments[#arguments + 1] = self:expression(1)
    local more = self:is ","
    if more then self:advance() end
  until not more
  self.calls = self.calls - 1
  self:expect(")", ("to end the arguments of %s"):format(name))
  if #arguments < f[2] or #arguments > f[3] then
    self:fail(("%s takes %s, got %d"):format(name, f[2] == f[3] and ("%d argument%s"):format(f[2], f[2] == 1 and "" or "s") or
      ("%d to %d arguments"):format(f[2], f[3]), #arguments), at)
  end
  return self:apply(at, f[1], table.unpack(arguments))
end

local function known() return table.concat(ordered.names(FUNCTIONS), " ") end

function Parser:primary()
  local kind, value, at = self.kind, self.value, self.from
  if kind == "number" then
    self:advance()
    return value
  elseif kind == "name" then
    local name = value:lower()
    if FUNCTIONS[name] then
      self:advance()
      return self:call(name, at)
    end
    if not CONSTANTS[name] then self:fail(("%s is unknown; there are pi, e and %s"):format(value, known())) end
    self:advance()
    return CONSTANTS[name]
  elseif self:is "√" then
    self:advance()
    return self:apply(at, FUNCTIONS.sqrt[1], self:primary())
  elseif self:is "(" then
    local calls = self.calls
    self.calls = 0
    self:advance()
    local inner = self:expression(1)
    self.calls = calls
    self:expect(")", "to close the parenthesis")
    return inner
  end
  self:fail(kind == "end" and "a number is missing at the end" or ("a number expected, not `%s`"):format(value))
end

function Parser:value_follows()
  local next_one = self.text:match("^%s*([%w_.(\x80-\xFF])", self.to + 1) -- beyond ASCII: √ and π
  return next_one ~= nil
end

--- `20%` and `5!`. A `%` before something that can begin a number is the remainder instead.
function Parser:postfix()
  local value = self:primary()
  while self.kind == "symbol" do
    local at = self.from
    if self.value == "!" then
      value = self:apply(at, factorial, value)
    elseif self.value == "%" and not self:value_follows() then
      value = self:apply(at, divide, value, 100)
    else
      break
    end
    self:advance()
  end
  return value
end

function Parser:power()
  local base = self:postfix()
  if not self:is "^" then return base end
  local at = self.from
  self:advance()
  return self:apply(at, power, base, self:unary())
end

function Parser:unary()
  self.depth = self.depth + 1
  if self.depth > DEPTH_MAX then self:fail(("more than %d levels deep"):format(DEPTH_MAX)) end
  local value
  if self:is "-" then
    self:advance()
    value = negate(self:unary())
  elseif self:is "+" then
    self:advance()
    value = self:unary()
  else
    value = self:power()
  end
  self.depth = self.depth - 1
  return value
end

function Parser:expression(lowest)
  local left = self:unary()
  while self.kind == "symbol" do
    local operator, at = BINARY[self.value], self.from
    if not operator or operator[1] < lowest then break end
    self:advance()
    left = self:apply(at, operator[2], left, self:expression(operator[1] + 1))
  end
  return left
end

-- ---- the whole --------------------------------------------------------------------------------------------------------------

local function parse(text)
  for from, to in next, SAME do text = text:gsub(from, to) end
  text = text:gsub("^=", " "):gsub("=%s*%??%s*$", "") -- "=2 + 2", "2 + 2 ="
  local parser = setmetatable({ text = text, from = 1, to = 0, depth = 0, calls = 0 }, Parser)
  parser:advance()
  if parser.kind == "end" then parser:fail "there is nothing to calculate" end
  local value = parser:expression(1)
  if parser.kind ~= "end" then
    local shown = text:sub(parser.from, parser.to)
    local again = parser.kind ~= "symbol" or parser.value == "(" or parser.value == "√"
    parser:fail(again and ("an operator is missing before `%s`"):format(shown) or ("`%s` is one too many"):format(shown))
  end
  return settle(value)
end

--- The value of an expression: + - * / // % ^ and parentheses, `20%`, `5!`, thousands separators, functions and constants.
---@param text string
---@return number|nil value
---@return string|nil complaint what is wrong and at which character
---
--- Example: `calculate.evaluate "1,200 * 20%"  --> 240`
function M.evaluate(text)
  if #text > LENGTH_MAX then return nil, ("the expression is longer than %d characters"):format(LENGTH_MAX) end
  if not utf8.len(text) then return nil, "the expression is no valid UTF-8" end
  local ok, value = pcall(parse, text)
  if ok then return value end
  if type(value) == "table" and value.complaint then return nil, value.complaint end
  error(value, 0)
end

--- A number as people write it: whole ones whole, others with up to 15 digits.
---@param value number
---@return string
---
--- Example: `calculate.show(0.1 + 0.2)  --> "0.3"`
function M.show(value)
  if is_integer(value) then return ("%d"):format(value) end
  if math.abs(value) < 2.0 ^ 53 and value == math.floor(value) then return ("%d"):format(value) end
  return ("%.15g"):format(value)
end

return M
