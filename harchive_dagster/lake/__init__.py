"""Table schemas, writes and reading of the Delta tables. No pixels, no judgement of content."""
