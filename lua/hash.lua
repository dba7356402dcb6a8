--- SHA-256: sha256(s) -> hex; new() -> digest with :update(s) and :hex().
return require "host.hash"
