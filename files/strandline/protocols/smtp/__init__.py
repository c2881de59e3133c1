"""SMTP (RFC 5321) that hears a message out and never accepts one."""
