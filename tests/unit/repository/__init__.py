"""Facts about the repository itself: its files, names, shape and tools."""
