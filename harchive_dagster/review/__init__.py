"""A worker-day on one static page, for people who check what came out of it."""
