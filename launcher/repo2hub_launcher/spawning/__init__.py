"""What both spawners share: user options, finding or building the image, progress messages."""
