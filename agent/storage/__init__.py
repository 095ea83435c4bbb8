"""What is on disk: the database of record and artefacts known by their SHA-256."""
