"""Telnet (RFC 854, 855 and 1143) up to a login that always fails."""
