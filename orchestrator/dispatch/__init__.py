"""Who runs which account when. Embedded dispatch: this process, asyncio, a file lock per account."""
