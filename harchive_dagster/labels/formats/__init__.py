"""Labels as annotation tools write and read them: one module a format. `protocol` says what each offers."""
