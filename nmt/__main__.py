"""`python -m nmt COMMAND …` is `nmt COMMAND …`."""

from nmt.commands.main import main

main()
