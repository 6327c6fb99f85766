"""What web, builder and command line share and what is no table; imports nothing of ours."""
