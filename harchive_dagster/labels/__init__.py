"""Task catalogue, annotation files, proposals, segments and episodes. Nanoseconds throughout."""
