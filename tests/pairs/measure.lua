-- Measures the similarities of the questions with a real embedding model, and writes near.tsv and asked.tsv:
--   OLLAMA_HOST=127.0.0.1:11434 stoke tests/pairs/measure.lua all-minilm
-- One line for each question: its nearest others, and the other side of each of its pairs, as number:similarity in thousandths.
-- Tests and benches read the files, so that they need no server.
local folder = arg and arg[0] and arg[0]:match "^(.*)/" or "tests/pairs"
package.path = folder .. "/?.lua;" .. package.path
local fs = require "stoke.fs"
local ollama = require "stoke.ollama"
local asked = require "asked"
local read = require "read"

local model = arg[1]
if not model then error "usage: measure.lua MODEL" end

--- Cosines of one vector with all; vectors of a server have the length 1.
local function similar(rows, row)
  local hits = {}
  for j, other in ipairs(rows) do
    local sum = 0
    for k = 1, #row do sum = sum + row[k] * other[k] end
    hits[j] = { id = j, score = sum }
  end
  table.sort(hits, function(a, b) return a.score > b.score end)
  return hits
end

local function write(name, questions, must, most)
  local rows = {}
  for from = 1, #questions, 64 do
    local reply = ollama.embed { model = model, input = table.move(questions, from, math.min(from + 63, #questions), 1, {}) }
    table.move(reply.embeddings, 1, #reply.embeddings, #rows + 1, rows)
  end
  local out = { ("# model %s, cosine in thousandths; line n: question n of read.lua's or asked.lua's list"):format(model) }
  for i, row in ipairs(rows) do
    local line, at = {}, 0
    for _, hit in ipairs(similar(rows, row)) do
      if hit.id ~= i then
        at = at + 1
        if at <= most or must and must[i][hit.id] then
          line[#line + 1] = ("%d:%d"):format(hit.id, math.max(0, hit.score * 1000 + 0.5) // 1)
        end
      end
    end
    out[#out + 1] = table.concat(line, " ")
  end
  fs.write(folder .. "/" .. name, table.concat(out, "\n") .. "\n")
  print(("%s: %d questions"):format(name, #questions))
end

local list, questions = read.list(folder)
local number, must = {}, {}
for i, text in ipairs(questions) do number[text], must[i] = i, {} end
for _, pair in ipairs(list) do
  local a, b = number[pair.a], number[pair.b]
  must[a][b], must[b][a] = true, true
end
if arg[2] ~= "asked" then write("near.tsv", questions, must, 12) end
write("asked.tsv", asked.questions(), nil, 8)
