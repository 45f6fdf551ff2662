"""The agent: `sipmail run`. Wires the rooms together, watches the processes, survives reloads."""
