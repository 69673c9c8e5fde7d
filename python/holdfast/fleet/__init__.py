"""Pretend devices, driven: what they are to do, the processes that play them, the report and the pictures of it."""
