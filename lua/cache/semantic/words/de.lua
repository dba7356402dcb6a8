--- German words for the gates of the semantic cache (core.cache.semantic.read). Plain data; see words/en.lua for what the
--- lists mean.

return {
  nouns = true, -- all nouns have a capital
    empty = [[@empty der die das dem des ein zu eine einem einer eines bitte mal denn da es hallo hi guten-tag danke
    ist sind bin bist sein eigentlich genau also doch ja zum zur man @man]],
    free = [[können müssen sollen dürfen möglich sicher nötig normal erlaubt höhe gewicht alter preis entfernung
    größe tiefe länge bedeutung unterschied gut beste haben werden wurde geworden gewesen dass daß diese dieser
    dieses wenn oder und grund hier]],
    prepositions = [[in: in im ins | auf: auf | an: an am | bei: bei beim | unter: unter | von: von vom | aus: aus |
    vor: vor | nach:
    nach | über: über | für: für | mit: mit mittels | durch: durch | zwischen: zwischen | pro: pro je]],
    questions = [[how: wie | what: was welche welcher welches welchen welchem worin woran | when: wann | where: wo |
    whereto: wohin | wherefrom: woher | why: warum wieso weshalb wofür wozu | who: wer | whom: wen wem | whose:
    wessen]],
    auxiliaries = [[ist sind bin war waren hat haben habe hast wird werden wurde wurden kann können kannst könnte
    könnten darf dürfen muss müssen musst soll sollen sollte sollten will wollen gibt @man]],
    persons = [[1: ich mich mir mein meine meinen meinem meiner meines | 1s: wir uns unser unsere unseren | 2: du
    dich dir dein deine deinen deinem deiner | 2s: ihnen | m: er ihn ihm sein seine seinen seinem
    seiner | f: sie ihr ihre ihren ihrem ihrer]],
  tense = "past: war waren wurde wurden @past | future: wird werden wirst @future | cond: würde würden wäre hätte",
    negation = [[nicht kein keine keinen keinem keiner keines nie niemals ohne weder noch niemand nichts nirgends
    kaum außer gegen]],
    comparison = [[mehr weniger meist meisten wenigsten als maximal minimal maximale maximalen minimale minimalen
    mindestens höchstens besser besten schlechter schlechteste schlechtesten größer größte größten kleiner kleinste
    kleinsten höher höchste niedriger niedrigste länger längste längsten kürzer kürzeste schneller schnellste
    schnellsten langsamer älter älteste jünger neuer billiger teurer erste letzte letzten zuerst zuletzt genug
    gleich ab hoch herunter hinauf hinunter]],
    quantity = [[alle allen alles einige manche nur bloß beide jede jeder jedes jeden mehrere viele wenige immer
    meistens oft selten manchmal hälfte viertel andere anderen auch sogar noch schon wieder einmal zweimal
    pro-tag]],
    relative = [[heute morgen gestern übermorgen vorgestern kürzlich bald neueste neuesten diese-woche diesen-monat
    dieses-jahr letzte-woche letzten-monat letztes-jahr nächste-woche nächsten-monat nächstes-jahr heute-abend
    wochenende seit]],
  now = "jetzt gerade aktuell aktuelle aktuellen aktueller derzeit momentan im-moment gegenwärtig",
  months = "januar februar märz april mai juni juli august september oktober november dezember",
  days = "montag dienstag mittwoch donnerstag freitag samstag sonntag",
  twofaced = "",
    numbers = [[0: null | 1: eins | 2: zwei zwo | 3: drei | 4: vier | 5: fünf | 6: sechs | 7: sieben | 8: acht | 9:
    neun | 10: zehn | 11: elf | 12: zwölf | 13: dreizehn | 14: vierzehn | 15: fünfzehn | 16: sechzehn | 17: siebzehn
    | 18: achtzehn | 19: neunzehn | 20: zwanzig | 30: dreißig | 40: vierzig | 50: fünfzig | 60: sechzig | 70:
    siebzig | 80: achtzig | 90: neunzig | 100: hundert einhundert | 1000: tausend eintausend | 1000000: million
    millionen | 1000000000: milliarde milliarden]],
    ordinals = [[erster/ersten/erstes/erstem zweiter/zweite/zweiten/zweites/zweitem dritter/dritte/dritten/drittes
    vierter/vierte/vierten fünfter/fünfte/fünften sechster/sechste/sechsten siebter/siebte/siebten
    achter/achte/achten neunter/neunte/neunten zehnter/zehnte/zehnten]],
  number_join = "und", thousands = ".", decimal = ",",
    units = [[km: km kilometer kilometern | m: m meter metern | cm: cm zentimeter | mm: mm millimeter | mile: meile
    meilen | kg: kg kilogramm kilo | g: g gramm | mg: mg milligramm | lb: pfund | oz: unze unzen | ton: tonne tonnen
    | l: l liter | ml: ml milliliter | second: sekunde sekunden | minute: minute minuten | hour: stunde stunden |
    oclock: uhr | day: tag tage tagen | week: woche wochen | month: monat monate monaten | year: jahr jahre jahren |
    %: % prozent | c: celsius °c | f: fahrenheit °f | degree: grad ° | dollar: dollar $ | euro: euro € | mb: mb
    megabyte | gb: gb gigabyte | tb: tb terabyte | zoll: zoll]],
    verbs = [[aktivieren setzen schalten stellen benötigen laden melden füllen fügen richten antworten arbeiten
    backen bauen beantragen beenden benutzen bestellen bezahlen brauchen buchen deaktivieren drucken erfinden
    erhöhen erkennen erklären ersetzen erzählen exportieren feiern formatieren funktionieren gründen gießen heilen
    holen importieren installieren kaufen kochen konvertieren kopieren korrigieren kosten kündigen laden leben
    lernen löschen lösen machen malen messen mieten nutzen öffnen pflanzen prüfen putzen rechnen reinigen reparieren
    sagen schälen schicken schützen sortieren spielen speichern starten steuern stoppen suchen teilen testen trennen
    üben überprüfen übersetzen verbinden verkaufen verringern verschicken verwenden wandeln warten waschen wechseln
    leiten tauen entdecken verursachen parken kriegen dauern heizen hören kleben klettern kühlen lagern leeren legen liefern
    mischen
    mähen nähen pflegen rauchen reisen rühren sammeln spülen stammen stricken tanzen töten trocknen verdienen verlängern
    verwalten wecken wählen wünschen zerstören züchten heilen kürzen tauschen füttern jagen fragen hoffen glauben
    wohnen zahlen zeigen zählen ändern erneuern aktualisieren eröffnen installieren verschlüsseln entschlüsseln
    entfernen sperren entsperren]],
  -- Forms of other verbs: the infinitive first; "<": a past, ">": a participle.
    irregular = [[bekommen bekomme bekommt | enthalten enthalte enthält | schneiden schneide schneidet | braten brate brät |
    vermeiden vermeide vermeidet | lesen lese liest lest | finden finde findet findest | sehen sehe sieht seht | essen esse isst |
    fressen frisst | trinken trinke trinkt | schlafen schlafe schläft | laufen laufe läuft | fahren fahre fährt |
    geben gebe gibt | nehmen nehme nimmt | sprechen spreche spricht >gesprochen | schreiben schreibe schreibt
    schreib <schrieb >geschrieben | gewinnen gewinne gewinnt <gewann >gewonnen | erfinden erfinde erfindet <erfand
    >erfunden | gründen gründe gründet <gründete >gegründet | binden binde bindet | ziehen ziehe zieht | kommen
    komme kommt <kam | gehen gehe geht <ging | stehen stehe steht | tun tue tut | tragen trage trägt | schließen
    schließe schließt | beginnen beginne beginnt <begann | entstehen entsteht | wachsen wachse wächst | messen messe
    misst | waschen wasche wäscht | backen backe backt bäckt | wissen weiß | heißen heiße heißt | wiegen wiege wiegt
    | schwimmen schwimme schwimmt | verbinden verbinde verbindet | helfen helfe hilft | enden ende endet <endete |
    erreichen erreiche erreicht | können kann kannst könnte könnten | müssen muss musst | sollen soll sollst sollte
    sollten | dürfen darf darfst]],
  plurals = "",
    same = [[löschen entfernen | brauchen benötigen | verwenden benutzen nutzen | passieren geschehen | passiert
    geschieht | zahlen bezahlen | handy mobiltelefon | auto wagen | foto bild | geschäft laden | beginnen anfangen |
    ändern verändern | rechner computer | können kann kannst könnte könnten | müssen muss musst | sollen soll sollst
    sollte sollten | dürfen darf darfst | beste bester bestes | und sowie | preis kosten | haben hat hast habe |
    werden werde | installieren einrichten | kündigen stornieren | erklären beschreiben | bedeutung sinn | lang
    lange]],
    opposite = [[öffnen schließen | aktivieren deaktivieren | steigen fallen | vorteil nachteil | vorteile nachteile
    | kaufen verkaufen | ein aus | zu ab | auf unter | an ab | heiß kalt | ursachen folgen | hoch herunter | links
    rechts | link recht | alt neu | gut schlecht | groß klein | hinzu entfernen | laut leise]],
  -- Before a question they say nothing; see words/en.lua.
    leads = [[kannst du mir sagen | können sie mir sagen | könntest du mir sagen | könnten sie mir sagen |
    kannst du mir bitte sagen | können sie mir bitte sagen | könntest du mir bitte sagen | könnten sie mir bitte sagen |
    sag mir | sag mir bitte | bitte sag mir | sagen sie mir | sagen sie mir bitte | weißt du | wissen sie | weiß jemand |
    erkläre | erkläre mir | erkläre mir bitte | erklär mir | erklär mir bitte | erklären sie mir | kannst du mir erklären |
    können sie mir erklären | könntest du mir erklären | könnten sie mir erklären | ich möchte wissen | ich will wissen |
    ich würde gern wissen | ich würde gerne wissen | ich wüsste gern | ich frage mich | mich interessiert | verrate mir |
    zeig mir | zeige mir]],
    frames = [[kannst du mir ... erklären | können sie mir ... erklären | könntest du mir ... erklären |
    könnten sie mir ... erklären | kannst du ... erklären | können sie ... erklären | könnten sie ... erklären |
    kannst du mir ... nennen | können sie mir ... nennen | könntest du mir ... nennen | könnten sie mir ... nennen |
    kannst du mir ... sagen | können sie mir ... sagen]],
    asks = [[was welche welcher welches welchen welchem wer wem wen wessen wann wo wohin woher warum wieso weshalb wofür
    wozu womit worin woran wie]],
  whether = "ob",
  active = { ["von wem wurde"] = true, ["von wem wurden"] = true },
  has = "hat haben", of = "von",
  phrases = {
    ["von wem wurde"] = "@who hat", ["von wem wurden"] = "@who hat", ["nenn mir"] = "@nenne", ["nenn mir die"] = "@what",
    ["nennen sie"] = "@nenne", ["nennen sie die"] = "@what",
    ["nennen sie mir die"] = "@what",
    ["nennen sie mir"] = "@nenne", ["wieso"] = "@why", ["womit"] = "@womit",
    ["wie kann ich"] = "@how", ["wie kann man"] = "@how", ["wie können wir"] = "@how", ["wie soll ich"] = "@how",
    ["wie könnte ich"] = "@how", ["was muss ich tun um"] = "@how",
    ["kannst du mir sagen"] = "", ["sag mir"] = "@what", ["sagen sie mir"] = "@what", ["nenne mir"] = "@nenne",
    ["nenne mir die"] = "@what", ["nenne mir den"] = "@what", ["nenne mir das"] = "@what",
    ["nenne die"] = "@what", ["nenne den"] = "@what", ["nenne das"] = "@what", ["sag mir ein"] = "@nenne",
    ["sag mir eine"] = "@nenne", ["nenne mir bitte die"] = "@what",
    ["nenne"] = "@nenne", ["erkläre mir"] = "@what", ["erkläre"] = "@what", ["erklär"] = "@what",
    ["erkläre warum"] = "@why", ["erkläre mir warum"] = "@why", ["erkläre mir bitte warum"] = "@why",
    ["erkläre wie"] = "@how", ["erkläre was"] = "@what", ["was bedeutet"] = "@what", ["welche bedeutung hat"] = "@what",
    ["was ist die bedeutung des"] = "@what",
    ["was ist die bedeutung der"] = "@what",
    ["was ist die bedeutung von"] = "@what", ["was heißt"] = "@what", ["ich möchte wissen"] = "",
    ["wie viele"] = "@howmany", ["wie viel"] = "@what viel", ["wieviel"] = "@what viel", ["wieviele"] = "@howmany",
    ["wie viel kostet"] = "@what kosten", ["wie teuer ist"] = "@what kosten", ["was kostet"] = "@what kosten",
    ["was kosten"] = "@what kosten", ["wie viel ist"] = "@what", ["wie viel sind"] = "@what", ["was sind"] = "@what",
    ["was ist"] = "@what", ["wie hoch"] = "@what höhe", ["welche höhe hat"] = "@what höhe",
    ["wie groß"] = "@what größe", ["welche größe hat"] = "@what größe", ["wie alt"] = "@what alter",
    ["wie schwer"] = "@what gewicht", ["wie viel wiegt"] = "@what gewicht", ["wie tief"] = "@what tiefe",
    ["wie weit ist es"] = "@what entfernung", ["wie weit"] = "@what entfernung",
    ["wie groß ist die entfernung"] = "@what entfernung", ["was ist die entfernung"] = "@what entfernung",
    ["wie lange"] = "@howlong", ["wie lang"] = "@howlong", ["wie oft"] = "@howoften", ["wie häufig"] = "@howoften",
    ["in welchem jahr"] = "@when", ["um wie viel uhr"] = "@when", ["an welchem tag"] = "@when",
    ["in welcher stadt"] = "@where", ["in welchem land"] = "@where", ["aus welchem grund"] = "@why",
    ["welche stadt ist"] = "@what", ["wie heißt"] = "@what", ["welche vorteile hat"] = "@what vorteile von",
    ["welche nachteile hat"] = "@what nachteile von", ["welche regeln hat"] = "@what regeln von",
    ["welche nebenwirkungen hat"] = "@what nebenwirkungen von", ["welche symptome hat"] = "@what symptome von",
    ["was soll ich tun wenn"] = "@do wenn", ["was kann ich tun wenn"] = "@do wenn", ["was soll ich tun"] = "@do wenn",
    ["was kann ich tun"] = "@do wenn", ["was tun wenn"] = "@do wenn", ["am tag"] = "täglich", ["pro tag"] = "täglich",
    ["am schnellsten"] = "schnellsten", ["diese woche"] = "diese-woche", ["letzte woche"] = "letzte-woche",
    ["nächste woche"] = "nächste-woche", ["diesen monat"] = "diesen-monat", ["letzten monat"] = "letzten-monat",
    ["nächsten monat"] = "nächsten-monat", ["dieses jahr"] = "dieses-jahr", ["letztes jahr"] = "letztes-jahr",
    ["nächstes jahr"] = "nächstes-jahr", ["heute abend"] = "heute-abend", ["im moment"] = "jetzt", ["guten tag"] = "",
    ["vielen dank"] = "", ["wie sagt man"] = "@sagen", ["wo liegt"] = "@where", ["wo liegen"] = "@where",
    ["wie schreibt man"] = "@how schreiben", ["am meisten"] = "meisten", ["so viel wie"] = "soviel",
    ["gibt es"] = "@yes gibt", ["wann soll ich"] = "@when sollen", ["wann sollte ich"] = "@when sollen",
    ["wann soll man"] = "@when sollen", ["wann sollte man"] = "@when sollen", ["wo kann ich"] = "@where ich",
    ["wo finde ich"] = "@where ich finden",
  },
  -- Articles, by the part that their noun may play in the sentence.
    cases = { der = "r", die = "a", das = "a", dem = "m", den = "n", des = "s", ein = "a", eine = "a", einen = "n", einem = "m",
    einer = "r", eines = "s" },
  opens = "ein eine einen das den die", joins = "und oder sowie als wie",
  polite = "sie ihnen ihr ihre ihren ihrem ihrer",
  -- A subject that means anyone; it says no more than "how to".
  ago = "vor in seit",
  anyone = "how",
  subjects = "ich du er wir man",
    particles = [[ab an auf aus bei ein her hin hinzu los mit nach um unter vor weg weiter zu zurück herunter hoch
    hinauf hinunter neu fort fest durch]],
  measured = "",
  be = { ist = true, sind = true, war = true, waren = true, wird = true, werden = true, wurde = true, wurden = true },
}
