--- What this binary is made of, and which process it is.
local about = require "host.about"
about.pid = require "host.env".pid
return about
