"""The pipeline from gig workers' recordings to robot training data. Importing this package loads nothing heavy."""

__version__ = "0.1.0"
