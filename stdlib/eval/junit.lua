--- Reports of evaluations as XML in the form of JUnit, which CI systems read: a suite for each variant, a test for each trial.
--- Attributes and elements as in the schema of Jenkins (https://github.com/jenkinsci/xunit-plugin, junit-10.xsd).

local valid = require "core.text".valid

local M = {}

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["\n"] = "&#10;", ["\t"] = "&#9;",
  ["\r"] = "&#13;" }

--- A text in an attribute or an element; what XML 1.0 has no way to say (control characters, U+FFFE, U+FFFF) becomes "?".
local function escape(text)
  text = valid(tostring(text)):gsub("[%z\1-\8\11\12\14-\31]", "?"):gsub("\xef\xbf[\xbe\xbf]", "?")
  return (text:gsub('[&<>"\n\t\r]', ENTITIES))
end

local function attributes(list)
  local out = {}
  for i = 1, #list, 2 do out[#out + 1] = (' %s="%s"'):format(list[i], escape(list[i + 1])) end
  return table.concat(out)
end

local function time(s) return ("%.3f"):format(s or 0) end

local function test(out, suite, trial, repeats)
  local name = trial.label .. (repeats > 1 and (" #%d"):format(trial.attempt) or "")
  local head = attributes { "classname", suite, "name", name, "time", time(trial.took) }
  if trial.status == "pass" then
    out[#out + 1] = ("    <testcase%s/>"):format(head)
    return
  end
  local element = trial.status == "fail" and "failure" or "error"
  out[#out + 1] = ("    <testcase%s>"):format(head)
  out[#out + 1] = ("      <%s%s>%s</%s>"):format(element, attributes { "message", trial.why or "", "type", trial.kind or "score" },
    trial.output and escape("the answer:\n" .. trial.output) or "", element)
  out[#out + 1] = "    </testcase>"
end

--- Several reports as one text.
---@param reports stoke.eval.report[]
---@return string
---
--- Example: `junit.text { report }`
function M.text(reports)
  local out = { '<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>" }
  for _, report in ipairs(reports) do
    local by_variant = {}
    for _, trial in ipairs(report.trials) do
      by_variant[trial.variant] = by_variant[trial.variant] or {}
      table.insert(by_variant[trial.variant], trial)
    end
    for _, one in ipairs(report.variants) do
      local suite, took = ("%s: %s"):format(report.name, one.label), 0
      for _, trial in ipairs(by_variant[one.key] or {}) do took = took + trial.took end
      out[#out + 1] = ("  <testsuite%s>"):format(attributes { "name", suite, "tests", one.trials, "failures", one.failed, "errors",
        one.errors, "skipped", 0, "time", time(took) })
      for _, trial in ipairs(by_variant[one.key] or {}) do test(out, suite, trial, report.repeats) end
      out[#out + 1] = "  </testsuite>"
    end
  end
  out[#out + 1] = "</testsuites>\n"
  return table.concat(out, "\n")
end

return M
