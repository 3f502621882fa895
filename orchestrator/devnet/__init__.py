"""A local devnet: Anvil, the contracts and the platform simulator, for tests, demonstrations and development."""
