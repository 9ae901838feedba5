"""What scripts/bench measures, one module per subcommand; docs/performance.md says how to read it."""
