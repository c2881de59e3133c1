"""The remote framebuffer protocol (RFC 6143) up to the end of authentication, which always fails."""
