--- Plain data as text that reads back exactly (host/bind/bind_plain.h): encode, decode, hash, pack, unpack.
return require "host.plain"
