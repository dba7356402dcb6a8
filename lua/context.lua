--- The context: what a scope passes down to all that happens inside it. Scopes and tasks hold one (`scope.context`), and inherit
--- that of the scope around them; effect.perform reads it. It never changes: `with` makes another for what differs.

local M = {}

---@class stoke.context
---@field budget? stoke.budget the innermost one; it knows those around it
---@field run? table the agent run whose tool is at work
---@field span? core.span the span around (lua/gate/span.lua)
---@field tape? stoke.tape where a test's outcomes are recorded, or come from
---@field journal? stoke.journal of the run this belongs to (lua/journal.lua)
---@field frame? stoke.frame where in that run (lua/frame.lua); there is one where there is a journal
---@field inside? true|"through" in the body of an effect of that run, which a replay does not run; through: what is unsafe in it is
---  told apart, so that the body may be done again before that
---@field only? table the transaction that all effects have to be of: `stream`, `path` (lua/driver/db.lua); or what refuses all
---  effects: `refuse` (lua/pure.lua)
---@field terms? stoke.terms on which models are asked (lua/terms.lua)
---@field progress? { tell: fun(note: table) } who hears how far the tool around is (stdlib/tool/progress.lua)
---@field system? boolean the host's own work: it is not traced, and counts as no leak
---@field gated boolean each effect has to pass the gates: there is a budget, a tape, a transaction or a journal

--- The contexts at the two roots of the tree of tasks.
---@type stoke.context
M.root = { gated = false }
---@type stoke.context
M.system = { system = true, gated = false }

--- A context that differs from another.
---@param context stoke.context
---@param fields { budget?: stoke.budget, run?: table, span?: core.span, tape?: stoke.tape, journal?: stoke.journal,
---  frame?: stoke.frame, inside?: true|"through", only?: table, terms?: stoke.terms, progress?: table }
---@return stoke.context
function M.with(context, fields)
  local budget, tape, journal = fields.budget or context.budget, fields.tape or context.tape, fields.journal or context.journal
  local made = { run = fields.run or context.run, span = fields.span or context.span, system = context.system, gated = false }
  if budget then made.budget, made.gated = budget, true end
  if tape then made.tape, made.gated = tape, true end
  local terms = fields.terms or context.terms
  if terms then made.terms = terms end
  local progress = fields.progress or context.progress
  if progress then made.progress = progress end
  local only = fields.only or context.only
  if only then made.only, made.gated = only, true end
  if journal then -- apart, so that all others stay small
    made.journal, made.frame, made.gated = journal, fields.frame or context.frame, true
    made.inside = fields.inside or context.inside
  end
  return made
end

--- The same for a frame of a journalled run: most fields are the same there, and all room that is needed is made at once.
---@param context stoke.context with a journal
---@param frame stoke.frame
---@param inside? true|"through"
---@param budget? stoke.budget
---@return stoke.context
function M.in_frame(context, frame, inside, budget)
  local made = { gated = true, journal = context.journal, frame = frame, inside = inside or context.inside,
    budget = budget or context.budget, run = context.run, span = nil, tape = nil }
  if context.span then made.span = context.span end
  if context.tape then made.tape = context.tape end
  if context.only then made.only = context.only end
  if context.terms then made.terms = context.terms end
  if context.progress then made.progress = context.progress end
  if context.system then made.system = context.system end
  return made
end

--- The same for the work of a tool's call, which is nothing but a run and a span.
---@param context stoke.context
---@param run? table
---@param span? core.span
---@param progress? { tell: fun(note: table) }
---@return stoke.context
function M.of_work(context, run, span, progress)
  if progress or context.gated or context.terms or context.progress then
    return M.with(context, { run = run, span = span, progress = progress })
  end
  return { run = run or context.run, span = span or context.span, system = context.system, gated = false }
end

return M
