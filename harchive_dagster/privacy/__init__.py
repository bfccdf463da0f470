"""Detect, track, redact, render, audit; pseudonyms and consent. Fails closed."""
