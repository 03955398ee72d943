"""Arrays -> PNG, and the report's page."""
