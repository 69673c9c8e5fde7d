"""The running hub: a supervisor that keeps sockets and registry, and workers that keep connections."""
