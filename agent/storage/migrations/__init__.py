"""The schema, one SQL file per version; `agent.storage.schema` applies them in order."""
