"""Where telemetry goes: one log a worker, written by the compiled half, read here."""
