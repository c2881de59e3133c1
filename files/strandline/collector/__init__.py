"""The collector's own programs: the loader of parsed events, and its tools."""
