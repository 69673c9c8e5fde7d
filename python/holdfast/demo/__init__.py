"""The whole story, told with real processes, files and sockets through the public command line."""
