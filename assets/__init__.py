"""WHAT exists: the software-defined assets, one module per stage in the order data flows. Glue only."""
