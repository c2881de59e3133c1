"""A folder for each protocol that a sensor answers."""
