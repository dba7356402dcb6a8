--- A report of an evaluation for the terminal: a table of variants, what is enough, what has changed, what did not pass.

local compare = require "stoke.eval.compare"
local term = require "stoke.term"

local M = {}

local function percent(share) return ("%.0f %%"):format(share * 100) end

local function seconds(s)
  if not s then return "" end
  return s < 9.995 and ("%.2f s"):format(s) or ("%.0f s"):format(s)
end

local function count(n, word) return ("%d %s%s"):format(n, word, n == 1 and "" or "s") end

--- A number as short as it is plain.
local function short(value) return value >= 100 and ("%.0f"):format(value) or ("%.3g"):format(value) end

-- ---- the table ----------------------------------------------------------------------------------------------------------------

local function settings(report)
  local names, seen = {}, {}
  for _, one in ipairs(report.variants) do
    for name in next, one.set do
      if not seen[name] then names[#names + 1], seen[name] = name, true end
    end
  end
  table.sort(names, function(a, b)
    if (a == "model") ~= (b == "model") then return a == "model" end
    return a < b
  end)
  return names
end

local function has(report, name)
  for _, one in ipairs(report.variants) do
    if one[name] and one[name] ~= 0 then return true end
  end
  return false
end

--- Do costs say something else than seconds?
local function priced(report)
  for _, one in ipairs(report.variants) do
    if one.cost and one.cost ~= one.seconds then return true end
  end
  return false
end

local function row_of(one, names, shown)
  local row = {}
  for i, name in ipairs(names) do row[i] = one.set[name] == nil and "" or term.clean(tostring(one.set[name])) end
  if #names == 0 then row[1] = one.model and term.clean(one.model) or one.label end
  local function add(cell) row[#row + 1] = cell end
  add(one.rate and percent(one.rate) or "-")
  add(one.rate and ("%s to %s"):format(percent(one.low), percent(one.high)) or "")
  add(one.score and ("%.2f"):format(one.score) or "")
  if shown.errors then add(one.errors > 0 and tostring(one.errors) or "") end
  add(one.calls and one.calls > 0 and ("%.0f+%.0f"):format(one.input_tokens, one.output_tokens) or "")
  add(seconds(one.p50))
  add(seconds(one.p95))
  if shown.cost then add(one.cost and short(one.cost) or "") end
  if shown.size then add(one.size and term.bytes(one.size) or "") end
  return row
end

local function variants_table(report, columns)
  local names = settings(report)
  local shown = { errors = has(report, "errors"), cost = priced(report), size = has(report, "size") }
  local head, right = {}, {}
  for i, name in ipairs(names) do head[i] = name:upper() end
  if #names == 0 then head[1] = "MODEL" end
  local left = #head
  for _, title in ipairs { "PASSED", "95 %", "SCORE", shown.errors and "ERRORS" or false, "TOKENS", "P50", "P95",
    shown.cost and "COST" or false, shown.size and "SIZE" or false } do
    if title then head[#head + 1] = title end
  end
  for i = left + 1, #head do right[i] = true end
  local rows = { head }
  for i, one in ipairs(report.variants) do rows[i + 1] = row_of(one, names, shown) end
  return term.layout(rows, { right = right, columns = columns })
end

local function scorer_lines(report, out)
  local names, seen = {}, {}
  for _, one in ipairs(report.variants) do
    for name in next, one.scorers do
      if not seen[name] then names[#names + 1], seen[name] = name, true end
    end
  end
  if #names < 2 then return end
  table.sort(names)
  for _, one in ipairs(report.variants) do
    local parts = {}
    for _, name in ipairs(names) do
      local sum = one.scorers[name]
      if sum then parts[#parts + 1] = ("%s %d of %d"):format(term.clean(name), sum.passed, sum.n) end
    end
    if parts[1] then out[#out + 1] = ("%s: %s"):format(term.clean(one.label), table.concat(parts, ", ")) end
  end
end

-- ---- in words -----------------------------------------------------------------------------------------------------------------

local function enough(report, out)
  if #report.variants < 2 then return end
  local goal = report.threshold and ("passes at least %s"):format(percent(report.threshold))
  local what = report.enough_by == "size" and "smallest model" or "cheapest"
  if not report.enough then
    out[#out + 1] = "none " .. (goal or "is good for anything")
  elseif goal then
    out[#out + 1] = ("%s is enough: the %s that %s"):format(term.clean(report.enough), what, goal)
  else
    out[#out + 1] = ("%s is the %s that is not shown to be worse than the best; a threshold would say what is enough"):format(
      term.clean(report.enough), what)
  end
end

--- A difference in a sentence.
---@param d stoke.eval.difference
---@return string
---
--- Example: `words.difference(report.variants[1].against)`
function M.difference(d)
  local verdict, p = compare.verdict(d), d.adjusted or d.p
  local text = ("%s -> %s, %s better and %d worse of %d"):format(percent(d.before), percent(d.after), count(d.better, "case"),
    d.worse, d.cases)
  if d.better + d.worse == 0 then
    text = ("%s as before, no case of %d has turned"):format(percent(d.after), d.cases)
  elseif verdict then
    text = ("%s: %s (%s, p = %.2g; difference %+.0f to %+.0f points)"):format(text, verdict, d.method, p, d.low * 100,
      d.high * 100)
  else
    text = ("%s: may be chance (%s, p = %.2g)"):format(text, d.method, p)
  end
  if d.changed > 0 then text = ("%s; %s changed and left out"):format(text, count(d.changed, "case")) end
  return text
end

local function differences(report, out)
  if not report.compared then return end
  out[#out + 1] = ("beside run %d:"):format(report.compared.run)
  for _, one in ipairs(report.variants) do
    if one.against then out[#out + 1] = ("  %s: %s"):format(term.clean(one.label), M.difference(one.against)) end
  end
end

local function clipped(text, columns)
  text = term.clean(text):gsub("%s+", " ")
  return (term.fit(text, math.max(columns, 20)):gsub("%s+$", ""))
end

local function failures(report, out, columns, most)
  local labels, all = {}, {}
  for _, one in ipairs(report.variants) do labels[one.key] = one.label end
  for _, trial in ipairs(report.trials) do
    if trial.status ~= "pass" then all[#all + 1] = trial end
  end
  if #all == 0 or most == 0 then return end
  out[#out + 1] = ""
  out[#out + 1] = #all > most and ("not passed (the first %d of %d):"):format(most, #all) or "not passed:"
  for i = 1, math.min(most, #all) do
    local trial = all[i]
    local who = #report.variants > 1 and labels[trial.variant] .. ", " or ""
    local times = report.repeats > 1 and (" #%d"):format(trial.attempt) or ""
    out[#out + 1] = "  " .. clipped(("%scase %s%s: %s%s"):format(who, trial.label, times,
      trial.status == "error" and trial.kind .. ": " or "", trial.why or ""), columns - 2)
  end
end

--- The report.
---@param report stoke.eval.report
---@param options { columns?: number, failures?: number }
---@return string
---
--- Example: `words.report(report, {})`
function M.report(report, options)
  local columns, out = options.columns or 100, {}
  out[1] = ("%s: %s, %s%s, %s"):format(report.name, count(report.cases, "case"), count(#report.variants, "variant"),
    report.repeats > 1 and (", %d attempts each"):format(report.repeats) or "",
    report.made == report.total and count(report.total, "trial") or ("%d of %d trials"):format(report.made, report.total))
  if report.kept > 0 then out[1] = ("%s (%d from before it was stopped)"):format(out[1], report.kept) end
  out[2] = variants_table(report, columns):gsub("\n$", "")
  scorer_lines(report, out)
  for _, one in ipairs(report.variants) do
    if one.error then out[#out + 1] = clipped(("%s: %s (%s)"):format(one.label, one.error, count(one.errors, "trial")), columns) end
    if one.missing > 0 and not report.stopped then
      out[#out + 1] = ("%s: given up after these; %s not made"):format(term.clean(one.label), count(one.missing, "trial"))
    end
  end
  enough(report, out)
  differences(report, out)
  for _, note in ipairs(report.notes) do out[#out + 1] = "note: " .. term.clean(note) end
  failures(report, out, columns, options.failures or 10)
  if not report.passed then out[#out + 1] = "not good enough: " .. term.clean(table.concat(report.why, "; ")) end
  return table.concat(out, "\n") .. "\n"
end

return M
