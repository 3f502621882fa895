"""Wallets' contracts: what profiles know of a family of them, and which ones of this project were released. Pure."""
