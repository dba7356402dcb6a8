--- The JSON engine, for the core and stdlib.
return require "host.json"
