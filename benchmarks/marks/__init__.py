"""One benchmark a file. Each takes `Settings` and returns a `Result`."""
