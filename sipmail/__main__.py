"""`python -m sipmail`: the same as the command `sipmail`."""

from sipmail.cli import main

main()
