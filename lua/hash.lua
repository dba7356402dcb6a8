--- SHA-256: sha256(s, raw?) -> hex, or 32 bytes; new() -> digest with :update(s) and :hex(). base64(s) -> text.
return require "host.hash"
