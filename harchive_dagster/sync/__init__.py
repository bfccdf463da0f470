"""Clock alignment and resampling onto frames. Arrays in, arrays out; no tables, no video files."""
