"""Request, list and describe builds, for all APIs and the pages."""
