--- The history of a conversation, and the part of it that is sent: it never exceeds the model's context window.
---
--- Sent are the instructions, the last question (pinned), and the newest messages. When they grow beyond the window, the oldest
--- fall out until six tenths are left, so that between two such compactions each request begins with the same bytes as the one
--- before and the server's cache is used. A call and its results stay or fall together. Tokens are estimated from bytes at
--- the rate the model's own counts taught (stoke.model.estimate).

local errors = require "core.errors"
local models = require "stoke.model"
local texts = require "stoke.agent.texts"

local M = {}

---@class stoke.agent.history
---@field [integer] table the messages, all of them
---@field first integer the oldest that is still sent
---@field asked integer the last message of the user, sent in any case
---@field summary? string of what fell out
---@field texts? table replacements of the agent's, see stoke.agent.texts
---@field bytes integer of what is sent
---@field images integer in what is sent
local History = {}
History.__index = History

--- Of the window: how much stays free for the answer where num_predict does not say, and what a compaction leaves.
local ANSWER, LEFT = 0.25, 0.6
--- Tokens of a prompt that fits any window worth having, unless a profile says that it is smaller.
local SMALL = 1500

--- Make one.
---@param messages? table[] taken over
---@return stoke.agent.history
function M.new(messages)
  if not messages then -- made in the size it will have
    return setmetatable({ first = 1, asked = 0, bytes = 0, images = 0, sent = nil, instructions = nil }, History)
  end
  local history = setmetatable(messages, History)
  history.first, history.asked = 1, 0
  for i, message in ipairs(history) do
    if message.role == "user" then history.asked = i end
  end
  return history
end

--- Add a message. `aside`: a word of ours to the model, which is never pinned in the place of the user's question.
---@param message table
---@param aside? boolean
function History:push(message, aside)
  local n = #self + 1
  self[n] = message
  if aside then
    self.asides = self.asides or setmetatable({}, { __mode = "k" })
    self.asides[message] = true
  elseif message.role == "user" then
    self.asked = n
  end
  local sent = self.sent
  if not sent then return end
  sent[#sent + 1] = message
  local bytes, images = models.size(message)
  self.bytes, self.images = self.bytes + bytes, self.images + images
end

--- Take back everything after the first `kept` messages.
---@param kept integer
function History:cut(kept)
  for i = #self, kept + 1, -1 do self[i] = nil end
  self.first, self.asked = math.min(self.first, kept + 1), 0
  for i = 1, #self do
    if self[i].role == "user" and not (self.asides and self.asides[self[i]]) then self.asked = i end
  end
  self.sent = nil
end

--- What is sent, without looking whether it fits: the same table until something falls out.
---@param instructions string|nil
---@return table[]
function History:messages(instructions)
  if self.sent and self.instructions == instructions then return self.sent end
  local out, system = {}, instructions
  if self.summary then
    system = (system and system .. "\n\n" or "") .. texts.of("summary", self.texts, { summary = self.summary })
  end
  if system then out[1] = { role = "system", content = system } end
  if self.asked > 0 and self.asked < self.first then out[#out + 1] = self[self.asked] end
  for i = self.first, #self do out[#out + 1] = self[i] end
  local bytes, images = 0, 0
  for i = 1, #out do
    local more, pictures = models.size(out[i])
    bytes, images = bytes + more, images + pictures
  end
  self.bytes, self.images, self.sent, self.instructions = bytes, images, out, instructions
  return out
end

--- The size of what is sent. `extra`: bytes that go along with it (tools, instructions of the moment).
---@return integer bytes
---@return integer images
function History:size(instructions, extra)
  self:messages(instructions)
  return self.bytes + extra, self.images
end

--- Where the next unit begins: a message, or an answer with calls and their results.
local function next_unit(history, i)
  i = i + 1
  while history[i] and history[i].role == "tool" do i = i + 1 end
  return i
end

--- The oldest message that may be the first one sent: the newest unit always stays.
local function last_unit(history)
  local i = #history
  while i > 1 and history[i].role == "tool" do i = i - 1 end
  return i
end

--- Let the oldest messages fall out until about `most` tokens are left; what fell out.
local function drop(history, target, extra, most)
  local dropped, last = {}, last_unit(history)
  while history.first < last do
    if models.estimate(target, history.bytes + extra, history.images) <= most then break end
    local stop = next_unit(history, history.first)
    if stop > last then break end
    for i = history.first, stop - 1 do
      if i ~= history.asked then
        dropped[#dropped + 1] = history[i]
        local bytes, images = models.size(history[i])
        history.bytes, history.images = history.bytes - bytes, history.images - images
      end
    end
    history.first = stop
  end
  history.sent = nil
  return dropped
end

--- The context window.
local function window_of(about, estimated)
  return about.target.set_window ~= "auto" and about.window or models.room(about.target, estimated, about.num_predict)
end

local function overflow(about, estimated, window)
  return errors.new("context_overflow", ("the question and the newest messages for %s have about %d tokens, its context window %d")
    :format(about.target.name, estimated, window),
    { tokens = estimated, window = window, model = about.target.name, estimated = true })
end

--- The size of what is sent, where it is so little that it fits any window worth having: nobody has to be asked then.
---@param target stoke.target
---@param options table|nil of the call
---@param instructions string|nil
---@param extra integer bytes
---@return integer|nil bytes nil: it has to be made to fit
---@return integer|nil images
function History:small(target, options, instructions, extra)
  local bytes, images = self:size(instructions, extra)
  if target.set_window then return nil end
  local predict = options and options.num_predict or 0
  if models.estimate(target, bytes, images) + predict >= SMALL then return nil end
  return bytes, images
end

--- Make the history fit. Waits: it may have to ask the server for the window, and a summary is a call of its own.
---@param about table { target, num_predict?, window?, summarize?: fun(messages: table[], summary?: string): string? }
---@param instructions string|nil
---@param extra integer bytes
---@return integer bytes what is sent then
---@return integer images
---Raises `context_overflow` when not even the question and the newest messages fit.
function History:fit(about, instructions, extra)
  local bytes, images = self:size(instructions, extra)
  local estimated = models.estimate(about.target, bytes, images)
  local window = window_of(about, estimated)
  if not window then return bytes, images end
  local predict = about.num_predict
  local limit = window - math.floor(predict and predict > 0 and math.min(predict, window // 2) or window * ANSWER)
  if estimated <= limit then return bytes, images end
  local dropped = drop(self, about.target, extra, limit * LEFT)
  if #dropped > 0 and about.summarize then self.summary = about.summarize(dropped, self.summary) end
  bytes, images = self:size(instructions, extra)
  estimated = models.estimate(about.target, bytes, images)
  if estimated > window then error(overflow(about, estimated, window), 0) end
  return bytes, images
end

return M
