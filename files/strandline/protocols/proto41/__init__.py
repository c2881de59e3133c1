"""IPv6 in IPv4 (IP protocol 41): heard, and never answered."""
