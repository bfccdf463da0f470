"""In-memory types for video and sensor streams, decoding, and the one look at every frame. No tables."""
