"""A client of the build service that acts as the user whose server starts."""
