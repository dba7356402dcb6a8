-- Measures the similarities of the pairs' questions with a real embedding model, and writes near.tsv:
--   OLLAMA_HOST=127.0.0.1:11434 stoke tests/pairs/measure.lua all-minilm
-- One line for each question: its twelve nearest others and the other side of each of its pairs, as number:similarity in
-- thousandths. Tests and benches read the file, so that they need no server.
local folder = arg and arg[0] and arg[0]:match "^(.*)/" or "tests/pairs"
package.path = folder .. "/?.lua;" .. package.path
local fs = require "stoke.fs"
local ollama = require "stoke.ollama"
local read = require "read"

local model = arg[1]
if not model then error "usage: measure.lua MODEL" end

local list, questions = read.list(folder)
local vectors = {}
for from = 1, #questions, 64 do
  local reply = ollama.embed { model = model, input = table.move(questions, from, math.min(from + 63, #questions), 1, {}) }
  for _, vector in ipairs(reply.embeddings) do
    local norm = 0
    for _, x in ipairs(vector) do norm = norm + x * x end
    norm = math.sqrt(norm)
    for i, x in ipairs(vector) do vector[i] = x / norm end
    vectors[#vectors + 1] = vector
  end
end

local number, must = {}, {}
for i, text in ipairs(questions) do number[text], must[i] = i, {} end
for _, pair in ipairs(list) do
  local a, b = number[pair.a], number[pair.b]
  must[a][b], must[b][a] = true, true
end

local function similarity(a, b)
  local sum = 0
  for i = 1, #a do sum = sum + a[i] * b[i] end
  return sum
end

local out = { ("# model %s, cosine in thousandths; line n: question n of read.lua's list"):format(model) }
for i, vector in ipairs(vectors) do
  local row = {}
  for j, other in ipairs(vectors) do
    if i ~= j then row[#row + 1] = { j, similarity(vector, other) } end
  end
  table.sort(row, function(x, y) return x[2] > y[2] end)
  local line = {}
  for at, entry in ipairs(row) do
    if at <= 12 or must[i][entry[1]] then line[#line + 1] = ("%d:%d"):format(entry[1], math.max(0, entry[2] * 1000 + 0.5) // 1) end
  end
  out[#out + 1] = table.concat(line, " ")
end
fs.write(folder .. "/near.tsv", table.concat(out, "\n") .. "\n")
print(("%d questions, %d pairs"):format(#questions, #list))
