--- Log probabilities of tokens, invented: the same for the same token, between 0 and about -3; and
--- for `top_logprobs` other tokens that are less likely.

local json = require "stoke.ollama.server.gojson"

local M = {}

local OTHERS = { " the", " a", " of", " and", " to", " in", " is", " it", " that", " for", " on", " with", " as", " at",
  " by", " this", " was", " be", " are", " or", " an" }

local function hash(s)
  local h = 0xcbf29ce484222325
  for i = 1, #s do h = (h ~ s:byte(i)) * 0x100000001b3 end
  return (h ~ (h >> 31)) & 0x7fffffff
end

local function item(token, logprob)
  return ('{"token":%s,"logprob":%s,"bytes":[%s]'):format(json.quote(token), json.number(logprob + 0.0),
    table.concat({ token:byte(1, -1) }, ","))
end

--- One entry of the list, as JSON.
---@param token string
---@param top integer how many of the likeliest tokens it names, itself among them; 0: none
---@return string
function M.entry(token, top)
  local h = hash(token)
  local logprob = -(h % 2800) / 1000
  if top == 0 then return item(token, logprob) .. "}" end
  local list, at = { item(token, logprob) .. "}" }, h % #OTHERS
  while #list < top do
    at = at % #OTHERS + 1
    if OTHERS[at] ~= token then
      logprob = logprob - 0.5
      list[#list + 1] = item(OTHERS[at], logprob) .. "}"
    end
  end
  return item(token, logprob + 0.5 * (#list - 1)) .. ',"top_logprobs":[' .. table.concat(list, ",") .. "]}"
end

--- Entries for tokens (escaped, as they stand in lines), joined by commas.
---@param tokens string[]
---@param from integer
---@param to integer
---@param top integer
---@return string
function M.list(tokens, from, to, top)
  local out = {}
  for i = from, to do out[#out + 1] = M.entry(json.decode('"' .. tokens[i] .. '"'), top) end
  return table.concat(out, ",")
end

return M
