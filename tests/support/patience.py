"""How long tests wait."""

from __future__ import annotations

PATIENCE = 60.0
"""Seconds for what should come at once: a busy machine may take long, and a wait that is over costs
nothing. What must be fast is measured, not waited for."""
