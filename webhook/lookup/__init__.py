"""From a repository and a ref to a commit, and from there to an image."""
