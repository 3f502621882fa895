"""The wallet contract of an account: what its code, address and storage say, and which ones were released. Pure."""
