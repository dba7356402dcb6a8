--- What this binary is made of.
return require "host.about"
