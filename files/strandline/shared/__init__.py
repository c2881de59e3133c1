"""What programs on several kinds of hosts use."""
