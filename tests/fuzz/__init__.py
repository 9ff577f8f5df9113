"""A coverage-guided fuzzer for the framings, the state machine and a connection: ``make fuzz``.

The targets are plain functions of bytes and need nothing installed; what they compare with is in
`tests.properties`. An input that fails is kept, and replayed with ``python -m tests.fuzz --replay FILE``.
"""
