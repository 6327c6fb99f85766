"""Running rounds, processes and load, and printing ratios."""
