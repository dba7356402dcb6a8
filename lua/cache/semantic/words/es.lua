--- Spanish words for the gates of the semantic cache (core.cache.semantic.read). Plain data; see words/en.lua for what the
--- lists mean.

return {
  asking = true, -- a question may be one by its mark alone: ¿Plutón es un planeta?
    empty = [[@empty el la los las un una unos unas lo por-favor favor hola gracias es son sea pues
    entonces se hay]],
    free = [[poder deber necesario posible seguro normal altura peso edad precio distancia tamaño longitud
    significado diferencia población mejor bueno buena malo mala si o y que este esta estos estas ese esa aquí ser
    estar azul rápido grande lento humano químico]],
    prepositions = [[en: en dentro | a: a al hacia | de: de del | desde: desde | para: para | con: con mediante |
    por: por | sobre: sobre acerca | entre: entre]],
    questions = [[how: cómo | what: qué cuál | whichof: cuáles | when: cuándo | where: dónde | whereto: adónde | who: quién
    quiénes | howmuch: cuánto cuánta | howmany: cuántos cuántas]],
    auxiliaries = [[es son está están era eran fue fueron ha han he hay puede pueden puedo puedes podría debe deben
    debo debería tengo tiene tienen tienes necesito necesita]],
    persons = [[1: yo me mi mis mí mío conmigo | 1s: nosotros nos nuestro nuestra nuestros nuestras | 2: tú te tu
    tus ti tuyo | 3: su sus suyo | 2s: usted ustedes le les | m: él ellos | f: ella ellas]],
  tense = "past: era eran fue fueron estaba estaban había @past | future: será serán estará @future | cond: sería",
  negation = "no nunca jamás sin ni nadie nada ningún ninguno ninguna tampoco salvo excepto contra apenas",
    comparison = [[más menos mayor menor mayores menores máximo máxima mínimo mínima peor peores mejores antes
    después antes-de primero último última últimos mismo misma tan tanto tanta bastante demasiado superior inferior
    alto bajo sube baja subir bajar arriba abajo mucho]],
    quantity = [[todo toda todos todas algún alguno alguna algunos algunas alguien algo solo sólo solamente ambos
    ambas cada varios varias muchos muchas pocos pocas siempre nunca suele suelen raramente mitad cuarto otro otra
    otros también incluso aún todavía ya vez veces]],
    relative = [[hoy mañana ayer anoche anteayer recién reciente recientes pronto semana-pasada mes-pasado
    año-pasado próximo próxima pasado pasada este-año esta-semana este-mes últimamente]],
  now = "ahora actualmente actual actuales momento",
  months = "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
  days = "lunes martes miércoles jueves viernes sábado domingo",
  twofaced = "",
    numbers = [[0: cero | 1: uno | 2: dos | 3: tres | 4: cuatro | 5: cinco | 6: seis | 7: siete | 8: ocho | 9: nueve
    | 10: diez | 11: once | 12: doce | 13: trece | 14: catorce | 15: quince | 16: dieciséis | 17: diecisiete | 18:
    dieciocho | 19: diecinueve | 20: veinte | 21: veintiuno | 22: veintidós | 23: veintitrés | 24: veinticuatro |
    25: veinticinco | 26: veintiséis | 27: veintisiete | 28: veintiocho | 29: veintinueve | 30: treinta | 40:
    cuarenta | 50: cincuenta | 60: sesenta | 70: setenta | 80: ochenta | 90: noventa | 100: cien ciento | 200:
    doscientos | 300: trescientos | 500: quinientos | 1000: mil | 1000000: millón millones]],
    ordinals = [[primera/primer segunda/segundo tercera/tercero/tercer cuarta quinta/quinto sexta/sexto
    séptima/séptimo octava/octavo novena/noveno décima/décimo]],
  number_join = "y", thousands = ".", decimal = ",",
  sure = false, -- Spain writes 1.000,5 and Mexico 1,000.5
    units = [[km: km kilómetro | m: m metro | cm: cm centímetro | mm: mm milímetro | mile: milla | kg: kg kilo
    kilogramo | g: g gramo | mg: mg miligramo | lb: libra | oz: onza | ton: tonelada | l: l litro | ml: ml mililitro
    | second: segundo segundos | minute: minuto | hour: hora | day: día | week: semana | month: mes meses | year:
    año | %: % | c: celsius °c | f: fahrenheit °f | degree: grado ° | dollar: dólar dólares $ | euro: euro € | mb:
    mb megabyte | gb: gb gigabyte | pulgada: pulgada]],
    verbs = [[abrir aceptar activar actualizar añadir apagar ayudar beber borrar buscar cambiar cancelar causar
    cocinar comer comparar compartir comprar congelar copiar correr crear curar dejar desactivar descargar deshacer
    desinstalar eliminar enviar escribir exportar explicar ganar guardar hablar importar instalar lavar leer limpiar
    llamar llegar llevar mejorar mirar necesitar olvidar ordenar pagar pasar pelar plantar preparar quitar reiniciar
    reparar responder resumir sacar tomar traducir trabajar usar utilizar vender ver viajar vivir vivir cortar crear
    definir deletrear encriptar firmar habilitar imprimir iniciar invertir mandar nadar subir regar conectar
    desconectar verificar aparcar aprender cargar causar coser crecer dibujar durar estudiar evitar fumar gastar girar grabar
    lanzar llenar mezclar ocurrir organizar parar pescar planchar producir proteger publicar recibir recuperar romper saltar
    secar soñar tardar tejer tocar tratar tirar vaciar pintar inventar fundar]],
  -- Forms of other verbs: the infinitive first; "1": a first person, "<": a past, ">": a participle.
    irregular = [[poder puede pueden 1puedo puedes podría | deber debe deben 1debo debería deberían | hacer hace
    hacen 1hago | ver ve ven 1veo >visto | leer lee leen 1leo | ir va van 1voy | tener tiene tienen 1tengo tienes |
    encontrar encuentra encuentran 1encuentro | decir dice dicen 1digo | escribir <escribió >escrito | inventar
    <inventó | fundar <fundó | nacer nace <nació | terminar <terminó | empezar empieza <empezó | regar riega riegan
    1riego | restablecer restablece 1restablezco | cerrar cierra cierran 1cierro | encender enciende encienden
    1enciendo | perder pierde pierden 1pierdo | convertir convierte convierten 1convierto | traducir traduce
    1traduzco | contener contiene contienen | pintar <pintó | estar está están 1estoy estás | descubrir <descubrió |
    calentar calienta calientan
    1caliento | cocer cuece cuecen 1cuezo | ganar gana ganan 1gano <ganó >ganado | abrir <abrió
    >abierto | funcionar funciona funcionan | medir mide miden 1mido | costar cuesta cuestan | pesar pesa pesan |
    significar significa significan | pedir pide piden 1pido | jugar juega juegan 1juego | volar vuela vuelan 1vuelo
    | dormir duerme duermen 1duermo | servir sirve sirven | venir viene vienen 1vengo | salir sale salen 1salgo |
    olvidar 1olvido olvida <olvidé <olvidó | enviar envía envían 1envío | unir 1uno une unen]],
  plurals = "",
    same = [[eliminar borrar suprimir | usar utilizar | archivo fichero | ordenador computadora computador | móvil
    celular | coche carro auto | lengua idioma | poder puede pueden puedo puedes podría | deber debe deben debo
    debería deberían | bueno buen | mejor óptimo | diferencia diferencias | aplicación app | comenzar empezar |
    explicar describir | ventaja beneficio | portátil laptop | colega compañero | película filme | activar
    habilitar]],
    opposite = [[abrir cerrar | activar desactivar | encender apagar | subir bajar | ventaja desventaja | ganar
    perder | comprar vender | causa efecto | añadir eliminar | caliente frío | izquierdo derecho | entrar salir |
    alto bajo | viejo nuevo | bueno malo | grande pequeño]],
  -- Before a question they say nothing; see words/en.lua.
    leads = [[puedes decirme | puede decirme | podrías decirme | podría decirme | me puedes decir | me puede decir |
    me podrías decir | me podría decir | dime | dígame | sabes | sabe usted | sabe alguien | alguien sabe | explica |
    explícame | explíqueme | puedes explicar | puedes explicarme | puede explicarme | podrías explicarme |
    podría explicarme | me puedes explicar | me puede explicar | quiero saber | quisiera saber | me gustaría saber |
    necesito saber | me pregunto | enséñame | muéstrame]],
  frames = "",
  asks = "qué cuál cuáles quién quiénes cuándo dónde adónde cómo cuánto cuánta cuántos cuántas",
  whether = "si",
  active = { ["por quién fue"] = true, ["por quién fueron"] = true },
  has = "tiene tienen", of = "de",
  phrases = {
    ["por quién fue"] = "@who @past", ["por quién fueron"] = "@who @past", ["puedes explicarme"] = "@what",
    ["puede explicarme"] = "@what", ["podrías explicarme"] = "@what", ["podría explicarme"] = "@what",
    ["me puedes explicar"] = "@what", ["me puede explicar"] = "@what", ["explíqueme"] = "@what",
    -- Also where the article alone tells two words apart.
    ["cómo puedo"] = "@how @anyone", ["cómo se puede"] = "@how @anyone", ["cómo se"] = "@how @anyone",
    ["cómo puede uno"] = "@how @anyone", ["cómo"] = "@how @anyone", ["qué tengo que hacer para"] = "@how @anyone",
    ["qué puedo hacer para"] = "@how @anyone", ["qué debo hacer para"] = "@how @anyone",
    ["qué hay que hacer para"] = "@how @anyone", ["cuál es la mejor manera de"] = "@how @anyone",
    ["cuál es la forma de"] = "@how @anyone", ["cuál es la mejor forma de"] = "@how @anyone", ["me puede decir"] = "",
    ["me puedes decir"] = "", ["puede decirme"] = "", ["puedes decirme"] = "", ["quiero saber"] = "", ["dime"] = "@what",
    ["dime un"] = "@dime", ["dime una"] = "@dime",
    ["dígame"] = "@what", ["explica"] = "@what", ["explícame"] = "@what", ["define"] = "@what", ["enumera"] = "@dime",
    ["enumera los"] = "@what", ["enumera las"] = "@what",
    ["explica cómo"] = "@how @anyone", ["explica qué"] = "@what", ["explícame por qué"] = "@why",
    ["explica por qué"] = "@why", ["explícame cómo"] = "@how @anyone", ["qué significa"] = "@what",
    ["cuál es el significado de"] = "@what", ["cuál es el significado del"] = "@what", ["qué quiere decir"] = "@what",
    ["por qué"] = "@why",
    ["para qué"] = "@whatfor", ["de dónde"] = "@wherefrom", ["a dónde"] = "@whereto", ["a quién"] = "@whom",
    ["de quién"] = "@whose", ["en qué año"] = "@when", ["a qué hora"] = "@when", ["qué día"] = "@when",
    ["en qué ciudad"] = "@where", ["en qué país"] = "@where", ["en qué lugares"] = "@where", ["en qué lugar"] = "@where",
    ["qué ciudad es"] = "@what", ["cuánto cuesta"] = "@what precio de", ["cuánto cuestan"] = "@what precio de",
    ["qué cuesta"] = "@what precio de", ["cuál es el precio"] = "@what precio", ["cuánto vale"] = "@what precio de",
    ["cuánto mide"] = "@what altura de", ["cuánto pesa"] = "@what peso de", ["qué altura tiene"] = "@what altura de",
    ["qué edad tiene"] = "@what edad de", ["cuántos años tiene"] = "@what edad de",
    ["qué población tiene"] = "@what población de", ["qué tamaño tiene"] = "@what tamaño de",
    ["qué distancia hay"] = "@what distancia", ["a qué distancia está"] = "@what distancia",
    ["qué diferencia hay entre"] = "@what diferencia entre", ["cuánto es"] = "@what", ["cuánto son"] = "@what",
    ["por ciento"] = "%", ["con qué frecuencia"] = "@howoften", ["cada cuánto"] = "@howoften",
    ["qué ventajas tiene"] = "@what ventajas de", ["qué desventajas tiene"] = "@what desventajas de",
    ["qué reglas tiene"] = "@what reglas de", ["al día"] = "diario", ["por día"] = "diario",
    ["la semana pasada"] = "semana-pasada", ["el mes pasado"] = "mes-pasado", ["el año pasado"] = "año-pasado",
    ["esta semana"] = "esta-semana", ["este mes"] = "este-mes", ["este año"] = "este-año", ["por la mañana"] = "demañana",
    ["por la tarde"] = "detarde", ["por la noche"] = "denoche", ["de noche"] = "denoche", ["al menos"] = "almenos",
    ["como mucho"] = "comomucho", ["haz un resumen de"] = "resumir", ["resume"] = "resumir", ["por favor"] = "",
    ["buenos días"] = "buenosdías", ["en este momento"] = "ahora", ["es posible"] = "@yes posible",
    ["tengo que"] = "@yes deber @i", ["se puede"] = "@yes poder", ["hace falta"] = "@yes necesitar",
    ["qué hago si"] = "@do si", ["qué hago"] = "@do si", ["dónde puedo"] = "@where @anyone",
    ["dónde encuentro"] = "@where @anyone encontrar", ["dónde se puede"] = "@where @anyone",
    ["cuándo debo"] = "@when deber @anyone", ["dónde"] = "@where", ["la papa"] = "la-papa", ["el papa"] = "el-papa",
    ["la cura"] = "la-cura", ["el cura"] = "el-cura", ["la orden"] = "la-orden", ["el orden"] = "el-orden",
    ["la frente"] = "la-frente", ["el frente"] = "el-frente", ["la corte"] = "la-corte", ["el corte"] = "el-corte",
    ["la cometa"] = "la-cometa", ["el cometa"] = "el-cometa", ["el capital"] = "el-capital", ["la guía"] = "la-guía",
    ["el guía"] = "el-guía", ["la policía"] = "la-policía", ["el policía"] = "el-policía",
    ["el editorial"] = "el-editorial",
  },
  opens = "un una el la los las unos unas", joins = "y e o u ni que como",
  ago = "hace en desde",
  anyone = "how",
  subjects = "yo tú",
  measured = "",
  be = { es = true, son = true, fue = true, fueron = true, era = true },
}
