"""sipmail: a SIP user agent that turns missed calls into e-mails."""

__version__ = "0.1.0"
