"""One RPC node: requests (``rpc``), hostile answers (``parse``), the head and its reorgs, wallets. Proves nothing."""
