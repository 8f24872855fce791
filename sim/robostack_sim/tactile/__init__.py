"""Tactile manipulation: see docs/tactile.md."""
