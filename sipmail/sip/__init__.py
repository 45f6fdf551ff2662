"""SIP without I/O: messages and headers, and the state machines that exchange them (RFC 3261).

Nothing here opens a socket, reads a clock, starts a thread or draws a random number: bytes, the
time `now` in seconds and a generator of tokens are given, bytes and actions come back. What a
peer sends can raise `sipmail.errors.ProtocolError` and nothing else.
"""
