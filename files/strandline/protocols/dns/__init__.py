"""DNS: Debian's named with a plugin serves it (files/native/bind)."""
