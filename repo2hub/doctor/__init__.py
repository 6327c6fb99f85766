"""The checks of `repo2hub doctor`: what is wrong on this machine, and the command that fixes it."""
