"""The plain alternatives that are measured beside ours."""
