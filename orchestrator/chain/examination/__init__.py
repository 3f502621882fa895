"""The examination of a contract: one node's evidence, proven, analysed, tried and judged; ``examiner`` runs it."""
