"""The analytics on a real Chroma."""
