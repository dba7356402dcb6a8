--- English words for the gates of the semantic cache (core.cache.semantic.read). Plain data.
---
--- A word that is in none of these lists stands for itself, and must be in both texts. So a missing word costs hits; a wrong one
--- costs wrong answers: what is listed as empty or as the same must be so in every question.

return {
  -- Nothing is asked with them.
    empty = [[@empty a an the please kindly there hi hello hey thanks thank-you just-now that-is is are am be do
    does so then well okay ok exactly actually really also too-please]],

  -- Their place in a sentence says nothing, but they must be in both.
    free = [[can must should may need-to possible safe necessary normal allowed required height weight age price
    distance size depth length difference population best good bad ripe purpose speed have been being it
    this that these those here able included if and or reason use]],

  -- Each begins a part of a sentence that may stand elsewhere: "In Python, how ..." is "How ... in Python".
    prepositions = [[in: in inside | on: on upon | at: at | within: within | to: to towards | into: into | from: from |
    for: for | with: with using |
    by: by | about: about regarding | of: of | through: through via | per: per each-day]],

  -- How a question begins, by what it asks for.
  questions = [[how: how | what: what which | when: when | where: where | why: why | who: who whom | whose: whose]],

  -- First word of a question that is answered by yes or no.
  auxiliaries = "is are am was were do does did can could should would will shall may might must has have had",

  tense = "past: was were did @past | future: will shall won't @future | cond: would @cond",
    persons = [[1: i me my mine myself | 1s: we us our ours | 2: you your yours yourself | m: he him his himself |
    f: she her hers herself | 3: they them their theirs | x: one's]],

  negation = [[not no never without neither nor none nobody nothing nowhere hardly barely non unless except cannot]],

  -- Each word stands for itself, whatever its neighbours: more is not most.
    comparison = [[more most less least fewer fewest than as before after over under above below maximum minimum max
    min better best worse worst larger largest bigger biggest smaller smallest higher highest lower lowest longer
    longest shorter shortest faster fastest slower slowest older oldest younger youngest newer newest cheaper
    cheapest taller tallest hotter hottest colder coldest first last too enough same up down off out morethan
    lessthan atleast atmost sameas mostcommon upto]],

    quantity = [[all some any only just both most each every many few several always usually sometimes often rarely
    half quarter another other else even still already yet again twice once]],

  -- Of days: today's answer is not tomorrow's. `now`: not even this hour's.
    relative = [[today tonight tomorrow yesterday ago weekend this-week this-month this-year last-week last-month
    last-year next-week next-month next-year this-weekend last-weekend next-weekend recent recently soon upcoming
    latest last-night this-morning]],
  now = "now currently current right-now at-the-moment moment present presently live",
  months = [[january february march april may june july august september october november december]],
  month_short = "jan feb mar apr may jun jul aug sep oct nov dec",
  days = "monday tuesday wednesday thursday friday saturday sunday",

  -- Words that are a name or an ordinary word, by their capital.
    twofaced = [[apple turkey polish china march may bill mark rose amazon shell chase target mercury jordan chad
    georgia rust go swift nice reading bath cork mobile will grant frank hope grace joy summer dawn earth sun moon
    god office word access bush brown green black white young king cook smith page stone case wood rice fish bell
    berry cherry fox wolf lion]],

    numbers = [[0: zero | 1: one | 2: two | 3: three | 4: four | 5: five | 6: six | 7: seven | 8: eight | 9: nine |
    10: ten | 11: eleven | 12: twelve | 13: thirteen | 14: fourteen | 15: fifteen | 16: sixteen | 17: seventeen |
    18: eighteen | 19: nineteen | 20: twenty | 30: thirty | 40: forty | 50: fifty | 60: sixty | 70: seventy | 80:
    eighty | 90: ninety | 100: hundred | 1000: thousand | 1000000: million | 1000000000: billion]],
  ordinals = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth",
  number_join = "and",
  thousands = ",", decimal = ".",

    units = [[km: km kilometer kilometre | m: meter metre | cm: cm centimeter centimetre | mm: mm millimeter
    millimetre | mile: mile | yard: yard | foot: feet foot ft | inch: inch | kg: kg kilogram kilo | g: gram gramme g
    | mg: mg milligram | lb: lb pound lbs | oz: oz ounce | ton: ton tonne | l: liter litre l | ml: ml milliliter
    millilitre | gallon: gallon | cup: cup | second: second sec | minute: minute min | hour: hour | day: day | week:
    week | month: month | year: year | %: % percent | c: celsius °c | f: fahrenheit °f | degree: degree ° | dollar:
    dollar $ | euro: euro € | sterling: £ | kb: kb kilobyte | mb: mb megabyte | gb: gb gigabyte | tb: tb terabyte |
    km/h: km/h kmh kph | mph: mph | v: volt | a: ampere amp | w: watt | kw: kw kilowatt | kwh: kwh]],

  -- Regular verbs: their forms are made of them. A verb that is not here is known by the form alone.
    verbs = [[absorb accept activate add affect allow answer apologize apply arrive ask attract avoid bake boil
    borrow calculate call cancel cause change charge chase check clean click close compare complete confirm connect
    contact contain convert cook copy correct cost count create deactivate decline decrease decrypt delete depart
    describe detect differ disable disconnect discover divide download edit enable encrypt end enter erupt exchange
    expire explain export fail file fill filter finish fix flow follow format found freeze happen help hire hunt
    import improve include increase infect install invade invent join jump kill learn like list live load lock log
    look love lower marry measure merge migrate mix move multiply name need open order organize pack paint park pass
    pay peel pick plan plant play pour press print process produce pull pump purr push receive recommend record
    reduce refuse register release remove rename repair repeat replace reset restart return reverse review roll rule
    save scan search share ship show sign sort spell start stay stop store submit subscribe substitute subtract
    summarize support switch teach test tie train translate travel treat try turn type undo uninstall unlock
    unsubscribe update upgrade upload use verify visit wait walk want wash watch water weigh work attach bathe blend browse
    burn chop clone collect combine commit compile
    compress configure crash debug decorate defrost deploy design detach dissolve download dry earn estimate execute expand
    extract fold generate handle harvest heat ignore implement insert inspect knit locate lubricate marinate migrate mute
    notice obey operate overheat parse perform photograph pickle prepare prevent pronounce protect prune publish rank recover
    recycle refresh renew renovate require resize respond restore revoke rotate sail sharpen shave simplify smooth soften
    solder solve squash store stretch suffer survive sweeten thaw tighten toggle transfer transform trim tune unblock uncover
    unmute unzip wipe wrap zip]],
  -- base past participle
    irregular = [[be was been | become became become | begin began begun | bite bit bitten | break broke broken |
    bring brought brought | build built built | buy bought bought | catch caught caught | choose chose chosen | come
    came come | cut cut cut | do did done | draw drew drawn | drink drank drunk | drive drove driven | eat ate eaten
    | fall fell fallen | feed fed fed | feel felt felt | find found found | fly flew flown | forget forgot forgotten
    | get got gotten | give gave given | go went gone | grow grew grown | have had had | hear heard heard | hide hid
    hidden | keep kept kept | know knew known | lead led led | leave left left | lend lent lent | lose lost lost |
    make made made | mean meant meant | meet met met | pay paid paid | read read read | ride rode ridden | rise rose
    risen | run ran run | say said said | see saw seen | sell sold sold | send sent sent | set set set | sing sang
    sung | sit sat sat | sleep slept slept | speak spoke spoken | spend spent spent | stand stood stood | swim swam
    swum | take took taken | teach taught taught | tell told told | think thought thought | throw threw thrown |
    understand understood understood | undo undid undone | wear wore worn | win won won | write wrote written]],
    plurals = [[children child | men man | women woman | feet foot | teeth tooth | mice mouse | geese goose | leaves
    leaf | knives knife | lives life | wolves wolf | bacteria bacterium | viruses virus | criteria criterion |
    shelves shelf]],
  -- They end in s and are not the plural of what is left.
    whole = [[news physics mathematics politics economics glasses arms customs goods works means odds pros cons
    christmas always perhaps series species analysis basis crisis bus gas lens plus minus yes this us is was has
    does his its less across ibuprofens status virus cactus canvas atlas chaos focus campus bonus versus series
    stocks savings thanks sales notes scales bases terms irons spirits minutes-of looks colds]],

  -- Each line: the same in every question. The first is what the others are read as.
    same = [[remove delete erase | large big huge | small little | photo photograph | film movie | begin start
    commence | end finish | buy purchase | fix repair solve | car automobile | phone telephone | tv television |
    bike bicycle | kid child | sofa couch | change modify alter | show display | contact reach-support | verify
    confirm | happen occur | invoice bill-document | disable turn-off switch-off deactivate | enable turn-on
    switch-on activate | colour color | center centre | organise organize | summary summarise summarize | quick fast
    rapid | doctor physician | harmful bad-for | colleague coworker co-worker | advantage benefit | disadvantage
    drawback | author writer | job occupation | country nation | road street | shop store | error mistake | need
    require | symptom sign-of-illness | correct fix-errors | choose select pick | wrong incorrect | answer reply |
    explain describe | show-me list | spell spelling | soccer football-soccer | person human-being | create make |
    obtain get | can able | may allowed | must required | price cost costs | weight weigh weighs | height tall-as |
    speak spoken-in | include included | accept accepted | use used | differ different | support supported | browser
    web-browser | convert turn-x | undo revert | recent most-recent | pharmacy drugstore | holiday vacation | flat
    apartment | lift elevator | petrol gasoline | trash rubbish | autumn fall-season | calculate
    compute | picture image | e-mail email mail | website site web-site | login log-in sign-in | logout log-out
    sign-out | registration sign-up | wifi wi-fi | secure safe-x]],

  -- Pairs that turn a question round: only to say why a text was refused.
    opposite = [[open close | enable disable | rise fall | advantage disadvantage | start stop | gain lose | cause
    effect | buy sell | attract repel | enter leave | add remove | encrypt decrypt | upload download | hot cold |
    borrow lend | left right | input output | hide show | import export | accept refuse | arrive depart | push pull
    | pros cons | increase decrease | old new | high low | large small | good bad | cheap expensive | early late |
    install uninstall | lock unlock | connect disconnect | legal illegal | rise set | begin end | boy girl | in out
    | on off | up down | long short | fast slow | hard easy | win lose | give take | send receive | teach learn |
    question answer | inside outside | male female | true false | day night]],

  -- Before a question they say nothing: "tell me who" is "who".
    leads = [[can you tell me | could you tell me | would you tell me | can you please tell me | could you please tell me |
    please tell me | tell me | do you know | do you happen to know | does anyone know | does anybody know |
    can anyone tell me | can somebody tell me | can someone tell me | can you explain | could you explain |
    can you please explain | could you please explain | please explain | explain | explain to me | can you explain to me |
    could you explain to me | please explain to me | i want to know | i would like to know | i need to know | i wonder |
    i was wondering | i am wondering | i am curious | any idea | show me |
    can you show me | could you show me | teach me | can you teach me]],
  -- What stands around something that is to be explained.
    frames = [[explain ... to me | can you explain ... to me | could you explain ... to me | please explain ... to me |
    can you please explain ... to me | could you please explain ... to me | describe ... to me | can you describe ... to me]],
  fragments = true, -- a noun alone may be a question
  asks = "what which who whom whose when where why how",
  whether = "whether if",
  active = {},

  -- Several words read as others; "@how" and its like say what is asked for.
  phrases = {
    ["can you tell me"] = "", ["could you tell me"] = "", ["tell me"] = "@what",
    ["do you know"] = "", ["can you explain"] = "@what", ["could you explain"] = "@what", ["please explain"] = "@what",
    ["explain to me"] = "@what", ["can you help me"] = "", ["could you help me"] = "", ["help me"] = "",
    ["i would like to know"] = "", ["i want to know"] = "", ["i need to know"] = "", ["i would like to"] = "",
    ["i want to"] = "", ["explain"] = "@what", ["define"] = "@what", ["describe"] = "@what",
    ["what is the meaning of"] = "@what word-meaning", ["what is the definition of"] = "@what word-meaning",
    ["the meaning of"] = "word-meaning", ["the definition of"] = "word-meaning",
    ["what does it mean to"] = "@what", ["what do i do if"] = "@do if", ["what should i do if"] = "@do if",
    ["what should i do when"] = "@do if", ["what do i do when"] = "@do if", ["what should i do"] = "@do if",
    ["what now"] = "@do if", ["how do i"] = "@how", ["how can i"] = "@how", ["how do you"] = "@how",
    ["how do you feel"] = "@how you feel", ["how do you know"] = "@how you know",
    ["how do you think"] = "@how you think", ["how do you sleep"] = "@how you sleep", ["how do you work"] = "@how you work",
    ["how do you like"] = "@how you like", ["how do you remember"] = "@how you remember", ["how do you see"] = "@how you see",
    ["how do you look"] = "@how you look", ["how can you"] = "@how", ["how can you know"] = "@how you can know",
    ["how can you think"] = "@how you can think",
    ["how to"] = "@how", ["how would i"] = "@how", ["how does one"] = "@how", ["how can one"] = "@how",
    ["how should i"] = "@how", ["how could i"] = "@how", ["how do we"] = "@how", ["how can we"] = "@how",
    ["show me how to"] = "@how", ["teach me how to"] = "@how", ["tell me how to"] = "@how", ["explain how to"] = "@how",
    ["what is the way to"] = "@how", ["what is a way to"] = "@how", ["what is the best way to"] = "@how",
    ["what is a good way to"] = "@how", ["what is the easiest way to"] = "@how", ["what is the right way to"] = "@how",
    ["what is the correct way to"] = "@how", ["what is the proper way to"] = "@how",
    ["what is the simplest way to"] = "@how", ["what do i have to do to"] = "@how",
    ["what do i need to do to"] = "@how", ["what can i do to"] = "@how", ["what must i do to"] = "@how",
    ["what should i do to"] = "@how", ["what are the steps to"] = "@how", ["is there a way to"] = "@how",
    ["steps to"] = "@how", ["how do i do that"] = "@how", ["how do i do this"] = "@how", ["instructions to"] = "@how",
    ["give me a recipe for"] = "@how make", ["how much is"] = "@what", ["how much does"] = "@howmuch",
    ["how much do"] = "@howmuch", ["how much"] = "@howmuch", ["how many"] = "@howmany",
    ["what is the number of"] = "@howmany", ["how often"] = "@howoften", ["how frequently"] = "@howoften",
    ["how long"] = "@howlong", ["for how long"] = "@howlong", ["how far"] = "@what distance", ["how tall"] = "@what height",
    ["how high"] = "@what height", ["how old"] = "@what age", ["how heavy"] = "@what weight", ["how big"] = "@what size",
    ["how large"] = "@what size", ["how deep"] = "@what depth", ["how fast"] = "@what speed", ["how hot"] = "@howhot",
    ["how expensive"] = "@what price", ["how come"] = "@why", ["what makes"] = "@why", ["what for"] = "@why",
    ["what is the reason that"] = "@why",
    ["what is the reason why"] = "@why", ["what is the reason"] = "@why", ["for what reason"] = "@why",
    ["what is the cause of"] = "@what cause", ["what are the causes of"] = "@what cause", ["what time"] = "@when",
    ["at what time"] = "@when", ["in what year"] = "@when", ["in which year"] = "@when", ["what year"] = "@when",
    ["on what date"] = "@when", ["what is the date of"] = "@when", ["in which city"] = "@where", ["in what city"] = "@where",
    ["in which country"] = "@where", ["in which places"] = "@where", ["in which place"] = "@where", ["which person"] = "@who",
    ["in what way"] = "@how", ["in which way"] = "@how", ["what kind of"] = "@what kind", ["what sort of"] = "@what kind",
    ["what type of"] = "@what kind", ["what city is"] = "@what", ["which city is"] = "@what", ["name the"] = "@what the",
    ["tell me the"] = "@what the", ["give me the"] = "@what the", ["tell me what"] = "@what", ["tell me who"] = "@who",
    ["tell me where"] = "@where", ["tell me when"] = "@when", ["tell me why"] = "@why", ["explain why"] = "@why",
    ["explain what"] = "@what", ["can you tell me what"] = "@what",
    ["can you explain what"] = "@what", ["can you tell me where"] = "@where",
    ["could you explain why"] = "@why",
    ["please explain why"] = "@why", ["how many people live in"] = "@what population in",
    ["the population of"] = "population in", ["is it possible to"] = "@yes can @i", ["is it possible that"] = "@yes possible",
    ["can i"] = "@yes can @i", ["am i able to"] = "@yes can @i", ["am i allowed to"] = "@yes may @i",
    ["is it allowed to"] = "@yes may @i", ["may i"] = "@yes may @i", ["do i have to"] = "@yes must @i",
    ["must i"] = "@yes must @i", ["am i required to"] = "@yes must @i", ["do i need to"] = "@yes must @i",
    ["is it ok to"] = "@yes may @i", ["is it okay to"] = "@yes may @i", ["able to"] = "can", ["allowed to"] = "may",
    ["required to"] = "must", ["have to"] = "must", ["has to"] = "must", ["had to"] = "must @past", ["need to"] = "must",
    ["needs to"] = "must", ["going to"] = "@future", ["about to"] = "@future", ["used to"] = "@past",
    ["get rid of"] = "remove", ["getting rid of"] = "remove", ["turn off"] = "disable", ["switch off"] = "disable",
    ["turn on"] = "enable", ["switch on"] = "enable", ["get in touch with"] = "contact", ["stand for"] = "mean",
    ["stands for"] = "mean", ["date of birth"] = "birthday", ["as well as"] = "and", ["and or"] = "andor",
    ["instead of"] = "insteadof", ["in front of"] = "infrontof", ["because of"] = "becauseof", ["out of"] = "outof",
    ["up to"] = "upto", ["at least"] = "atleast", ["at most"] = "atmost", ["no more than"] = "atmost",
    ["no less than"] = "atleast", ["more than"] = "morethan", ["less than"] = "lessthan", ["fewer than"] = "lessthan",
    ["the same as"] = "sameas", ["most recent"] = "last", ["most common"] = "mostcommon", ["a lot of"] = "many",
    ["lots of"] = "many", ["a few"] = "few", ["per day"] = "daily", ["a day"] = "daily", ["per week"] = "weekly",
    ["a week"] = "weekly", ["per month"] = "monthly", ["a month"] = "monthly", ["per year"] = "yearly", ["a year"] = "yearly",
    ["each day"] = "daily", ["every day"] = "daily", ["this week"] = "this-week", ["this month"] = "this-month",
    ["this year"] = "this-year", ["last week"] = "last-week", ["last month"] = "last-month", ["last year"] = "last-year",
    ["next week"] = "next-week", ["next month"] = "next-month", ["next year"] = "next-year",
    ["this weekend"] = "this-weekend", ["last weekend"] = "last-weekend", ["next weekend"] = "next-weekend",
    ["last night"] = "last-night", ["right now"] = "now", ["at the moment"] = "now", ["these days"] = "now",
    ["this morning"] = "this-morning", ["what time is it"] = "@when now", ["how do"] = "@how", ["how does"] = "@how",
    ["how is"] = "@how", ["how are"] = "@how", ["how was"] = "@how @past", ["is it safe to"] = "@yes safe",
    ["what is it called"] = "@what", ["take a screenshot"] = "screenshot", ["make a screenshot"] = "screenshot",
    ["what is the difference between"] = "@what difference", ["there any"] = "", ["is there a"] = "@yes",
    ["are there any"] = "@yes", ["is there any"] = "@yes", ["look like"] = "looklike", ["what was"] = "@what @past",
    ["who was"] = "@who @past", ["who is able to"] = "@who can", ["instead"] = "insteadof",
    ["give me a summary of"] = "summary", ["a summary of"] = "summary", ["the plot of"] = "plot", ["thank you"] = "thankyou",
    ["good morning"] = "goodmorning", ["good evening"] = "goodevening", ["good night"] = "goodnight", ["^list"] = "@list",
    ["^list the"] = "@what the", ["^list all the"] = "@what all",
    ["can you list"] = "@list", ["can you list the"] = "@what the", ["could you list"] = "@list",
    ["could you list the"] = "@what the",
    ["please list"] = "@list", ["please list the"] = "@what the", ["can you name"] = "@list",
    ["can you name the"] = "@what the", ["could you name"] = "@list", ["could you name the"] = "@what the",
    ["please name"] = "@list", ["please name the"] = "@what the",
    ["can you give me"] = "@list", ["can you give me the"] = "@what the", ["could you give me"] = "@list",
    ["could you give me the"] = "@what the", ["please give me"] = "@list", ["please give me the"] = "@what the",
    ["can you define"] = "@what", ["can you describe"] = "@what", ["could you describe"] = "@what",
    ["^name"] = "@list", ["tell me a"] = "@list a", ["tell me an"] = "@list a", ["can you tell me a"] = "@list a",
    ["can you tell me an"] = "@list a", ["could you tell me a"] = "@list a", ["can you tell me the"] = "@what the",
    ["could you tell me the"] = "@what the", ["^give me"] = "@list", ["^calculate"] = "@what", ["^compute"] = "@what",
    ["where can i"] = "@where @i", ["where do i"] = "@where @i", ["who is the author of"] = "@who write @past",
    ["who is the writer of"] = "@who write @past", ["who is the founder of"] = "@who found @past",
    ["who is the inventor of"] = "@who invent @past", ["who is the painter of"] = "@who paint @past",
    ["what is the cause"] = "@what cause", ["how does it work"] = "@how work",
  },
  -- Asked for with "how much", they are what is asked for.
  measured = "price weight",
  -- Before a number of days and the like they count from today.
  ago = "in within since for last next past",
  have = "have", does = { ["do"] = true, does = true },
  be = { is = true, are = true, was = true, were = true, be = true, been = true, being = true, am = true },
}
