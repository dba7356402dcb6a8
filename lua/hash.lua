--- SHA-256: sha256(s) -> hex; new() -> digest with :update(s) and :hex(). base64(s) -> text.
return require "host.hash"
