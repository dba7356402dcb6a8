--- The JSON engine, for the core and stdlib. Beside what stoke.json hands on: `fixed(list)`, a list that is encoded now and does
--- not change any more; `piece(value) -> piece | nil, err`, encoded once, with `#piece`, `tostring(piece)` and `piece:value()`;
--- `is_piece(value)`.
return require "host.json"
