"""The hub's state, copied while it runs and brought back: registry, inbox and telemetry; none of the hub's secrets."""
