--- 500 intents in six wordings each, for the row "2,000 questions over 500 intents": composed of what is asked for and of how
--- people
--- ask. Many intents differ in one word alone, so what is nearest is often another intent. The gates were not written against them.

local M = {}

local function items(text)
  local list = {}
  for item in text:gmatch "[^|]+" do list[#list + 1] = item:match "^%s*(.-)%s*$" end
  return list
end

local TASKS = items [[reset my router | change my password | delete my account | export my contacts | install Docker on Fedora |
  install Docker on Debian | sort a list in Ruby | sort a list in Rust | reverse a string in Go | reverse a list in Go |
  parse JSON in Perl | parse XML in Perl | read a file in Kotlin | write a file in Kotlin | rename a branch in git |
  delete a branch in git | merge two branches in git | undo a commit in git | squash commits in git | clone a repository |
  fork a repository | open a port on Linux | close a port on Linux | mount a disk on Linux | unmount a disk on Linux |
  boil an egg | fry an egg | poach an egg | bake bread | bake a cake | cook rice | cook pasta | roast a chicken | grill a fish |
  make yogurt | make butter | make pizza dough | make coffee without a filter | peel garlic | cut an onion | sharpen a knife |
  clean a carpet | clean an oven | clean a window | clean silver | remove rust from a pan | remove wax from a table |
  remove ink from a shirt | iron a shirt | iron a skirt | fold a shirt | wash a wool sweater | wash a silk scarf | sew a button |
  knit a scarf | patch a tire | change a tire | change the oil in my car | jump start a car | park uphill | paint a wall |
  hang a picture | hang a door | fix a leaking tap | unclog a sink | unclog a toilet | plant tomatoes | plant roses |
  prune roses |
  prune apple trees | water a cactus | water an orchid | train a puppy | train a parrot | bathe a cat | trim a cat's claws |
  feed a baby bird | tie a tie | tie a bowline | tie my shoes | learn Spanish | learn Russian | learn to swim | learn to juggle |
  write a cover letter | write a will | write a sonnet | file a tax return | open a bank account | close a bank account |
  apply for a passport | renew a passport | apply for a visa | cancel a flight | book a flight | book a sleeper train |
  get to the airport | find cheap hotels | exchange money | block a caller | unblock a caller | record a call | mute a chat |
  archive a chat | take a screenshot on Windows | take a screenshot on a Mac | freeze a row in Excel | merge cells in Excel |
  split cells in Excel | sum a column in Excel | sort a column in Excel | add a slide in PowerPoint |
  delete a slide in PowerPoint |
  add a footnote in Word | add a header in Word | print double sided | scan a document | sign a document | rotate a video |
  crop a video | crop a photo | resize a photo | compress a folder | encrypt a folder | encrypt a disk | back up my phone |
  restore my phone | pair my headphones | charge a drone | fly a drone | tune a guitar | tune a ukulele | string a racket |
  read a barometer | read sheet music | calculate a mean | calculate a median | solve a quadratic equation |
  solve a cubic equation |
  draw a cat | draw a horse | carve a pumpkin | build a shed | build a fence | lay tiles | lay turf | sand a floor |
  varnish a floor |
  light a stove | put out a grease fire | treat a burn | treat a blister | stop a nosebleed | splint a finger]]
local COUNTRIES = items [[France | Spain | Italy | Greece | Norway | Sweden | Finland | Denmark | Poland | Hungary |
  Austria | Australia |
  Brazil | Argentina | Chile | Peru | Bolivia | Colombia | Mexico | Canada | Japan | Thailand | Vietnam | Laos | Nepal | India |
  Iran | Iraq | Egypt | Kenya | Niger | Nigeria | Mali | Malawi | Ghana | Gabon | Slovakia | Slovenia | Latvia | Lithuania]]
local ATTRIBUTES = items "capital | population | currency | flag | anthem"
local BOOKS = items [[Dracula | Frankenstein | Emma | Persuasion | Middlemarch | Ulysses | Dubliners | Hamlet | Macbeth |
  Othello | Faust |
  Candide | Carmen | Nana | Germinal | Dune | Neuromancer | Solaris | Foundation | Hyperion | Beloved | Jazz | Kim | Lolita |
  Pnin |
  Utopia | Walden | Emile | Leviathan | Beowulf]]
local FACTS = items [[the sky is blue | the sea is salty | leaves turn red | cats purr | dogs bark | ice floats |
  bread rises | iron rusts |
  bees dance | birds migrate | whales sing | volcanoes erupt | glaciers move | stars twinkle | the moon has craters |
  onions make us cry |
  popcorn pops | soap cleans | honey crystallizes | milk curdles | bats hang upside down | owls hunt at night |
  cactuses have spines |
  flamingos are pink | carrots are orange | diamonds are hard | rubber bounces | glass breaks | paper yellows | bananas ripen]]
local TERMS = items [[entropy | inertia | osmosis | irony | metaphor | hyperbole | inflation | deflation | recession |
  stagflation |
  photosynthesis | mitosis | meiosis | empathy | sympathy | stoicism | hedonism | latency | bandwidth | recursion | idempotence |
  polymorphism | encapsulation | hypertension | hypotension | hyperopia | myopia | arbitrage | leverage | liquidity |
  solvency | escrow |
  habeas corpus | tort | fiduciary | oligarchy | monarchy | anarchy | secularism | federalism | biome | tundra | estuary |
  isthmus |
  syncopation | counterpoint | fugue | sonata | chiaroscuro | impasto | fresco | pointillism | alliteration | assonance |
  onomatopoeia |
  enjambment | caesura | synecdoche | metonymy | zeugma | chiasmus | litotes | anaphora | epistrophe | ellipsis |
  apposition | parataxis |
  hypotaxis | gerund | participle | subjunctive | ablative | dative | genitive | vocative | phoneme | morpheme | lexeme |
  diphthong |
  umlaut | schwa | cedilla | tilde | ampersand | pangram | palindrome | anagram | acrostic | limerick | villanelle]]

local FRAMES = {
  { TASKS, { "How do I %s?", "How can I %s?", "What is the best way to %s?", "how to %s", "Can you explain how to %s?",
    "What do I need to do to %s?" } },
  { BOOKS, { "Who wrote %s?", "Who is the author of %s?", "Tell me who wrote %s.", "Do you know who wrote %s?",
    "Which author wrote %s?",
    "Can you tell me who wrote %s?" } },
  { FACTS, { "What is the reason that %s?", "Can you explain why %s?", "Please explain why %s.", "Tell me why %s.",
    "Could you tell me why %s?", "I want to know why %s." } },
  { TERMS, { "What does %s mean?", "What is the meaning of %s?", "Can you tell me what %s means?", "What's the definition of %s?",
    "Tell me what %s means.", "Please tell me the meaning of %s." } },
}
local OF = { "What is the %s of %s?", "Tell me the %s of %s.", "Which %s does %s have?", "Can you tell me what the %s of %s is?",
  "Do you know the %s of %s?", "What's the %s of %s, please?" }

--- 500 intents.
---@return string[][] intents the wordings of each
function M.intents()
  local list = {}
  for _, country in ipairs(COUNTRIES) do
    for a = 1, #ATTRIBUTES do
      local wordings = {}
      for i, frame in ipairs(OF) do wordings[i] = frame:format(ATTRIBUTES[a], country) end
      list[#list + 1] = wordings
    end
  end
  for _, group in ipairs(FRAMES) do
    for _, item in ipairs(group[1]) do
      local wordings = {}
      for i, frame in ipairs(group[2]) do wordings[i] = frame:format(item) end
      list[#list + 1] = wordings
    end
  end
  return table.move(list, 1, 500, 1, {})
end

--- All wordings, in the order of the intents.
---@return string[]
function M.questions()
  local list = {}
  for _, wordings in ipairs(M.intents()) do table.move(wordings, 1, #wordings, #list + 1, list) end
  return list
end

return M
