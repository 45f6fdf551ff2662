"""The media worker: a process of its own that plays prompts and records what is said."""
