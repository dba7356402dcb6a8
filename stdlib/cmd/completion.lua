-- stoke completion bash|zsh|fish: the completion script for a shell. The scripts hold no word list: at each Tab they call
-- this program (stoke completion --words -- WORDS), which answers from the verbs' option tables, so they never go stale.

local args = require "stoke.args"
local config = require "stoke.config"
local runtime = require "stoke.cmd.flags"
local stdio = require "core.stdio"
local stoke = require "stoke"
local texts = require "core.text"

local SPEC = {
  name = "stoke completion", summary = "Print what a shell needs to complete stoke's words: verbs, flags, models, files.",
  examples = { { "eval \"$(stoke completion bash)\"", "in ~/.bashrc" },
               { "source <(stoke completion zsh)", "in ~/.zshrc, after compinit" },
               { "stoke completion fish | source", "in ~/.config/fish/config.fish" } },
  positionals = { { "shell", choices = { "bash", "zsh", "fish" } } },
}

local SCRIPTS = {
  bash = [==[
_stoke() {
  local line=${COMP_LINE:0:COMP_POINT} words word rest cur cut
  read -ra words <<<"$line"
  case $line in *[[:space:]]) words+=("") ;; esac
  cur=${words[${#words[@]}-1]}
  cut=${cur%"${cur##*[:=]}"} # bash takes a colon and an equals sign for the end of a word
  COMPREPLY=()
  while IFS=$'\t' read -r word rest; do
    if [ "$word" = :files ]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "${cur##*[:=]}")
    else
      COMPREPLY+=("${word#"$cut"}")
    fi
  done < <("${words[0]}" completion --words -- "${words[@]:1}" 2>/dev/null)
}
complete -F _stoke stoke
]==],
  zsh = [==[
#compdef stoke
_stoke() {
  local -a found
  local word rest
  while IFS=$'\t' read -r word rest; do
    if [[ $word == :files ]]; then
      _files
    else
      found+=("${word//:/\\:}${rest:+:$rest}")
    fi
  done < <("$words[1]" completion --words -- "${(@)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)
  (( $#found )) && _describe stoke found
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _stoke "$@"; else compdef _stoke stoke; fi
]==],
  fish = [==[
function __stoke_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in (command $words[1] completion --words -- $words[2..-1] 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path (commandline -ct)
        else
            printf '%s\n' $line
        end
    end
end
complete -c stoke -f -a '(__stoke_complete)'
]==],
}

-- ---- what the words before the cursor call for -----------------------------------------------------------------------------

local PATHS = { FILE = true, FILES = true, FOLDER = true, PATH = true, DIR = true, ARGS = true }

-- The server's models; where none answers at once, there are none to offer.
local function models()
  local reply = stoke.try(stoke.timeout, 1, stoke.ollama.tags)
  local out = {}
  for i, m in ipairs(reply and reply.models or {}) do out[i] = { m.name, "" } end
  return out
end

local function endpoints()
  local out = {}
  for name in pairs(config.get().endpoints) do out[#out + 1] = { name, "" } end
  table.sort(out, function(a, b) return a[1] < b[1] end)
  return out
end

-- The ids of durable runs; where there is no store, there are none to offer.
local function run_ids()
  local list = stoke.try(stoke.runs.list, { limit = 200 })
  local out = {}
  for i, run in ipairs(list or {}) do
    out[i] = { texts.typable(run.id) and run.id or "@" .. run.number, run.workflow .. ", " .. run.state }
  end
  return out
end

local function choices(list)
  local out = {}
  for i, choice in ipairs(list) do out[i] = { tostring(choice), "" } end
  return out
end

local RUN_VERBS = { show = true, resume = true, replay = true, fork = true, diff = true, approve = true, resolve = true,
  export = true }
local RUNS = { id = true, run = true, a = true, b = true }

-- What may be written for an option or a positional, and whether a file may.
local function values(verb, item)
  if item.choices then return choices(item.choices) end
  if item.type == "boolean" then return {} end
  if RUN_VERBS[verb] and not item.note:find "^of the new run" and RUNS[item.name] then return run_ids() end
  if verb ~= "sim" and (item.name == "model" or verb == "pull" and item.name == "name") then return models() end
  if PATHS[item.placeholder] then return {}, true end
  return {}
end

local function runtime_values(flag)
  if flag.name == "log" then return choices { "debug", "info", "warn", "error", "off" } end
  if flag.name == "endpoint" then return endpoints() end
  if flag.placeholder == "FILE" then return {}, true end
  return {}
end

local function runtime_flags(out)
  for _, flag in ipairs(runtime.list) do out[#out + 1] = { "--" .. flag.name, flag.help } end
  out[#out + 1] = { "--help", "show help" }
end

local function find(list, word)
  for _, item in ipairs(list) do
    if word == "--" .. item.name or item.short and word == "-" .. item.short then return item end
  end
end

-- The words of a command line, sorted: its verb, how many positionals stand before the cursor, and the flag that waits for its
-- value there.
local function walk(words, spec_of)
  local state = { count = 0 }
  for i = 1, #words - 1 do
    local word = words[i]
    if state.waits then
      state.waits = nil
    elseif word == "--" then
      state.only_words = true
    elseif word:find "^%-." and not state.only_words then
      local own = find(runtime.list, word)
      local option = not own and state.spec and find(state.spec.options, word)
      if own and own.value == "required" then state.waits, state.runtime = own, true end
      if option and option.type ~= "boolean" then state.waits, state.runtime = option, false end
      if word == "-e" then state.script = true end
    elseif not state.verb and not state.script then
      state.spec, state.verb = spec_of(word), word
      state.script = not state.spec
    else
      state.count = state.count + 1
    end
  end
  return state
end

local function specs()
  local by_name, verbs = {}, {}
  for i, known in ipairs(require "stoke.cmd.overview".verbs()) do
    by_name[known.verb.name] = known.spec
    verbs[i] = { known.verb.name, known.verb.summary }
  end
  return by_name, verbs
end

local function flags_for(state)
  local out = {}
  for _, option in ipairs(state.spec and state.spec.options or {}) do out[#out + 1] = { "--" .. option.name, option.note } end
  runtime_flags(out)
  if not state.verb then
    out[#out + 1] = { "--version", "print the version" }
    out[#out + 1] = { "-e", "run code" }
  end
  return out
end

local function positional_for(state, verbs)
  local list = state.spec.positionals
  local item = list[state.count + 1] or #list > 0 and list[#list].type == "list" and list[#list]
  if not item then return {} end
  if state.verb == "help" then
    local out = table.move(verbs, 1, #verbs, 1, {})
    for _, name in ipairs(require "stoke.doc".names()) do out[#out + 1] = { name, "" } end
    return out
  end
  return values(state.verb, item)
end

-- What fits at the cursor: a list of { word, help }, and whether files do.
local function candidates(words)
  local by_name, verbs = specs()
  local state = walk(words, function(word) return by_name[word] end)
  local current = words[#words] or ""
  local flag, typed = current:match "^(%-%-[^=]+)=(.*)$"
  if state.waits then
    if state.runtime then return runtime_values(state.waits) end
    return values(state.verb, state.waits)
  elseif flag and not state.only_words then
    local own = find(runtime.list, flag)
    local option = not own and state.spec and find(state.spec.options, flag)
    local list, files = {}, false
    if own and own.name == "sim" then list = choices { "on", "off", "auto" }
    elseif own then list, files = runtime_values(own)
    elseif option then list, files = values(state.verb, option) end
    for i, item in ipairs(list) do list[i] = { flag .. "=" .. item[1], item[2] } end
    return list, files, typed
  elseif current:find "^%-" and not state.only_words then
    return flags_for(state)
  elseif state.script then
    return {}, true
  elseif state.spec then
    return positional_for(state, verbs)
  end
  return verbs, true
end

local function answer(words)
  local list, files = candidates(words)
  local current, out = words[#words] or "", {}
  for _, item in ipairs(list) do
    if item[1]:sub(1, #current) == current then out[#out + 1] = item[2] ~= "" and item[1] .. "\t" .. item[2] or item[1] end
  end
  if files then out[#out + 1] = ":files" end
  if #out > 0 then stdio.write(table.concat(out, "\n") .. "\n") end
end

---@param argv string[]
return function(argv)
  if argv[1] == "--words" then return answer(table.move(argv, argv[2] == "--" and 3 or 2, #argv, 1, {})) end
  local a = args.parse(SPEC, argv)
  stdio.write(SCRIPTS[a.shell])
end
