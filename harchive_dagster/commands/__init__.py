"""The subcommands of `harchive`, one module a group. They parse and print; the work is in the library."""
