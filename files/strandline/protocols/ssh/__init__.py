"""SSH: a patched OpenSSH serves it (files/native/openssh)."""
