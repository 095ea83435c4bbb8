"""The link to a coordinator: jobs in, durable records out, over MQTT 5. Only a unit with `[coordinator]` imports it."""
