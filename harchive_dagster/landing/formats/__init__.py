"""Reading what devices write: one module a format. `protocol` says what a reader offers, `registry` lists them."""
