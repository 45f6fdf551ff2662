"""The asyncio shell around `sipmail.sip`: it moves bytes, sleeps until deadlines, asks DNS.

It takes no decision of the protocol: those are the machines' in `sipmail.sip`.
"""
