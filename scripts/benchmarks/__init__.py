"""Benchmarks of nmt: `scripts/bench`.

Everything is measured through the command line of nmt, in fresh processes that alternate between the contenders, so
that any two checkouts of the project can be compared. Read `main` (options), `contenders` (what is compared),
`processes` and `child` (how nmt is run), `report` (samples and tables), `limits` (what the machine can do), then one
module per subcommand.
"""
