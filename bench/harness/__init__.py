"""Run rounds, processes and load, and print ratios."""
