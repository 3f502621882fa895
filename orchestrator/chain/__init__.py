"""The RPC node: the one package that talks JSON-RPC.

``reader`` reads wallets, ``watcher`` follows blocks, ``examiner`` proves closures.
"""
