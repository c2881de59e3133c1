"""Strandline's programs, laid out by the machine that runs them; what several kinds of hosts use is in shared/."""
