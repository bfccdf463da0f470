"""Manifest, layout, integrity and format readers of what arrives. Nothing here decodes a picture."""
