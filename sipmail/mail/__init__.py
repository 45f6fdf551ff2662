"""How a message reaches people: what the e-mail says, who gets it, and the courier that brings it.

`view`, `wording`, `compose` and `mime` make the e-mail; the rest carries it.
"""
