"""Tracked training: run it, and know what truly came of it."""
