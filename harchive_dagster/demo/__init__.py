"""Synthetic uploads with known truth, and the demonstration run's report. Never used by the pipeline."""
