"""One module for each group of commands of the command line, loaded only when called."""
