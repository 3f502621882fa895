"""The RPC node: the one package that talks JSON-RPC.

``node`` reads wallets and follows blocks; ``examination`` proves closures with what it reads.
"""
