"""What runs on a sensor."""
