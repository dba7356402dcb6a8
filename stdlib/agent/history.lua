--- The history of a conversation, and the part of it that is sent: it never exceeds the model's context window.
---
--- Sent are the instructions, the last question (pinned), and the newest messages. When they grow beyond the window, the oldest
--- fall out until six tenths are left, so that between two such compactions each request begins with the same bytes as the one
--- before and the server's cache is used. A call and its results stay or fall together. Tokens are estimated from bytes at
--- the rate the model's own counts taught (stoke.model.estimate).

local errors = require "core.errors"
local growing = require "core.json".growing
local models = require "stoke.model"
local texts = require "stoke.agent.texts"
local clone = require "stoke.schema.values".clone

local M = {}

---@class stoke.agent.history
---@field [integer] table the messages, all of them
---@field lasting? boolean it is of a session
---@field first integer the oldest that is still sent
---@field asked integer the last message of the user, sent in any case
---@field summary? string of what fell out
---@field recalled? string notes that go with the user's last question, and with no other
---@field noted? integer the question that they were sent with
---@field texts? table replacements of the agent's, see stoke.agent.texts
---@field sent? table[] what was sent last, while nothing has fallen out or been taken back, with the instructions first
---@field taken integer the last message that is in it
---@field bytes integer its size
---@field images integer
---@field prompt integer bytes of the last prompt, tools included
local History = {}
History.__index = History

--- Of the window: how much stays free for the answer where num_predict does not say, and what a compaction leaves.
local ANSWER, LEFT = 0.25, 0.6
--- Tokens of a prompt that fits any window worth having, unless a profile says that it is smaller.
local SMALL = 1500

--- From so many messages on what was written of them is kept, and not written again: that text takes as much memory as they do.
local LONG <const> = 8

--- The history of a session: it is sent again, in later turns.
local Lasting = { lasting = true }
Lasting.__index = Lasting

--- Make one.
---@param messages? table[]
---@param lasting? boolean of a session
---@return stoke.agent.history
function M.new(messages, lasting)
  local history = setmetatable({ nil, nil, nil, nil, first = 1, asked = 0, bytes = 0, images = 0, prompt = 0, taken = 0, sent = nil,
    instructions = nil }, lasting and Lasting or History) -- in the size that most have in the end
  for i = 1, messages and #messages or 0 do
    history[i] = messages[i]
    if messages[i].role == "user" then history.asked = i end
  end
  return history
end

--- Make one of a question.
---@param text string UTF-8
---@return stoke.agent.history
function M.of(text)
  return setmetatable({ { role = "user", content = text }, nil, nil, nil, first = 1, asked = 1, bytes = 0, images = 0, prompt = 0,
    taken = 0, sent = nil, instructions = nil }, History)
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
end

--- Messages that unpack takes at once.
local MANY <const> = 100

--- The messages from one on, a list.
---@param first integer
---@return table[]
function History:from(first)
  local last = #self
  if last - first < MANY then return { table.unpack(self, first, last) } end -- made in its size
  return table.move(self, first, last, 1, {})
end

--- The same for somebody who may change them: what is sent again of a session must not change, nor what a journal has of a long
--- run. A message that was sent is not written, nor looked at, a second time.
---@param first integer
---@return table[]
function History:shown(first)
  local list = self:from(first)
  return (self.lasting or #self > LONG - 3) and clone(list) or list -- (what is nested too deep to be copied cannot be sent)
end

--- Take back everything after the first `kept` messages.
---@param kept integer
function History:cut(kept)
  if kept == #self then return end
  for i = #self, kept + 1, -1 do self[i] = nil end
  self.first, self.asked = math.min(self.first, kept + 1), 0
  for i = 1, #self do
    if self[i].role == "user" and not (self.asides and self.asides[self[i]]) then self.asked = i end
  end
  self.sent = nil
end

--- A message as it is sent: the notes that go with the question stand before it.
local function as_sent(self, i)
  local message = self[i]
  if not self.recalled or i ~= self.asked then return message end
  local copy = {}
  for name, value in next, message do copy[name] = value end
  copy.content = self.recalled .. "\n\n" .. message.content
  return copy
end

--- Send notes with the user's last question.
---@param notes string|nil nil: none
function History:recall(notes)
  if notes == self.recalled and (not notes or self.noted == self.asked) then return end
  self.recalled, self.noted, self.sent = notes, self.asked, nil -- the question before goes without them from now on
end

--- What is sent, with the messages that have come since, without looking whether it fits.
local function update(self)
  local sent, bytes, images, last = self.sent, self.bytes, self.images, #self
  for i = self.taken + 1, last do
    local message = as_sent(self, i)
    sent[#sent + 1] = message
    local more, pictures = models.size(message)
    bytes, images = bytes + more, images + pictures
  end
  if #sent >= LONG then growing(sent) end
  self.bytes, self.images, self.taken = bytes, images, last
  return sent
end

--- The same, made anew. What fell out has words of tools and strangers in it: its summary is a message of the conversation, and
--- never a part of the instructions.
local function build(self, instructions)
  local sent = { nil, nil, nil, nil, nil } -- in the size that most have in the end
  if instructions then sent[1] = { role = "system", content = instructions } end
  if self.summary then
    sent[#sent + 1] = { role = "user", content = texts.of("summary", self.texts, { summary = self.summary }) }
  end
  if self.asked > 0 and self.asked < self.first then sent[#sent + 1] = as_sent(self, self.asked) end
  self.bytes, self.images = 0, 0
  for i = 1, #sent do
    local bytes, images = models.size(sent[i])
    self.bytes, self.images = self.bytes + bytes, self.images + images
  end
  self.sent, self.taken, self.instructions = sent, self.first - 1, instructions
  return update(self)
end

local function current(self, instructions)
  return self.sent and self.instructions == instructions and update(self) or build(self, instructions)
end

--- The size of what would be sent. `extra`: bytes that go along with it (tools).
---@param instructions string|nil
---@param extra integer
---@return integer bytes
---@return integer images
function History:size(instructions, extra)
  current(self, instructions)
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

local function overflow(target, estimated, window)
  return errors.new("context_overflow", ("the question and the newest messages for %s have about %d tokens, its context window %d")
    :format(target.name, estimated, window), { tokens = estimated, window = window, model = target.name, estimated = true })
end

--- What is left of the window for the prompt.
local function room(window, predict)
  return window - math.floor(predict and predict > 0 and math.min(predict, window // 2) or window * ANSWER)
end

--- What is sent, made to fit; `prompt` and `images` are its size then. Waits: it may have to ask the server for the window, and a
--- summary is a call of its own.
---@param target stoke.target
---@param predict integer|nil tokens that the answer is bound to
---@param known integer|nil the window, where the server has told it in an error
---@param instructions string|nil
---@param extra integer bytes that go along with it (tools)
---@param summarize? fun(messages: table[], summary?: string): string? given what falls out
---@return table[] messages the same table until something falls out
---Raises `context_overflow` when not even the question and the newest messages fit.
function History:fit(target, predict, known, instructions, extra, summarize)
  local sent = current(self, instructions)
  local prompt = self.bytes + extra
  self.prompt = prompt
  local estimated = models.estimate(target, prompt, self.images)
  local set = target.set_window
  if not set and not known and estimated + (predict or 0) < SMALL then return sent end
  local window = set ~= "auto" and known or models.room(target, estimated, predict)
  if not window then return sent end
  local limit = room(window, predict)
  if estimated <= limit then return sent end
  local dropped = drop(self, target, extra, limit * LEFT)
  if #dropped > 0 and summarize then self.summary = summarize(dropped, self.summary) end
  sent = build(self, instructions)
  self.prompt = self.bytes + extra
  estimated = models.estimate(target, self.prompt, self.images)
  if estimated > window then error(overflow(target, estimated, window), 0) end
  return sent
end

for name, method in next, History do Lasting[name] = Lasting[name] or method end

return M
