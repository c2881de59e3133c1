"""NTP (RFC 5905) as a server that answers clients and nobody else."""
