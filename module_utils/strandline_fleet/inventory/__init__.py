"""The inventory: its model, reading and checking it, changing its files, and the record of former leases."""
