"""The durable queue: job machine (pure), policy (pure), pipeline, one file per stage."""
