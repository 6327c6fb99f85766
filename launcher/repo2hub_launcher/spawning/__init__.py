"""What both spawners share: user options, finding and building an image, progress."""
