"""How much a call costs: `python -m bench.run`, read README.md here for what the numbers mean."""
