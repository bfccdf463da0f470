"""Great Expectations suites and their evaluation. Judges batches; writes nothing."""
