"""The demo's scanner: real clients at the sensors, and an independent record of what each of them sent."""
