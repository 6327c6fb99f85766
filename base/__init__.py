"""Settings, image names, git rules and text sanitizing that web, builder and command line share."""
