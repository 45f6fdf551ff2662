"""From a call's packets to a sound file: time line, speech, level, formats, prompts, picture."""
