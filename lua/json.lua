--- The JSON engine, for the core and stdlib. Beside what stoke.json hands on: `fixed(list)`, a list that is encoded now and does
--- not change any more; `growing(list)`, a list to whose end items are added and whose items do not change: each is written once,
--- when the list is encoded, or digested, for the first time with it; `piece(value) -> piece | nil, err`, encoded once, with
--- `#piece`, `tostring(piece)` and `piece:value()`; `is_piece(value)`; `spec(definition)` (host/bind/json_spec.c), what a table may
--- hold, with `spec:encode(table) -> text | nil`, which checks and writes it in one pass, and `spec:fits(value) -> tables | nil`. A
--- spec knows the plain case alone: its nil says to look again, and to find the words.
return require "host.json"
