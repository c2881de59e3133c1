"""SIP (RFC 3261) as far as a passive listener needs it: message.py reads, answer.py replies, nonce.py proves,
session.py joins."""
