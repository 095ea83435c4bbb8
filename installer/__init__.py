"""Building the Debian package."""
