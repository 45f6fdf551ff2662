"""What a voicemail is: which mailbox, which greeting, who calls and why, and the script of a call.

Pure: nothing here opens a socket or a file, or reads a clock. `routing`, `caller`, `reason` and
`greeting` read an INVITE; `plan` puts together what they found; `script` acts on it through a
`Call`.
"""
