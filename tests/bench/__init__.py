"""How fast the operator is and what it needs, measured against a real API server: see docs/performance.md."""
