"""The command line: a module per command. Each imports its work inside the command, so that --help is quick."""
