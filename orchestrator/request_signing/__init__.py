"""The P-384 keys that requests to the platform are signed with, and the signatures (RFC 9421).

    http_signature   one request's signature, and what a key must be able to do for it
    key_file         one managed key as an encrypted file, with its state
    key_folder       all managed keys, beside the keystore, and the changes of their files

Above this: ``platform.current_request_key`` picks the key for a client's requests; ``oversight.request_key_changes``
uploads, rotates and revokes keys; ``oversight.request_key_journal`` has the changes approved and journaled;
``cli.request_keys`` is ``orchestrator keys request``.
"""
