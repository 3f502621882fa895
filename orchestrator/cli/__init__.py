"""The command line: arguments in, one document or a few readable lines out. All that decides is in the library."""
