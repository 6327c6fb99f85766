"""One module for each benchmark; its name is that of `make bench NAMES=`."""
