"""What an inventory says of the fleet: providers, leased hosts, their addresses, places and leases."""
