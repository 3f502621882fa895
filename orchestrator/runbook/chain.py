"""The node, wallets, closure proofs and the local devnet."""

from __future__ import annotations

from typing import Final

from orchestrator.runbook.entry import OPERATOR, RETRY, STOP, Entry

# fmt: off
NODE: Final = (
    Entry("chain_unreachable", RETRY, "the node does not answer",
        "Check ORCHESTRATOR_RPC_URL, and that the node runs and can be reached from here."),
    Entry("chain_behind", RETRY, "the node has not seen yet what was seen before",
        "Wait until the node has caught up, or use another one."),
    Entry("chain_moving", RETRY, "the chain's head was replaced during each of several reads",
        "Run it again; if it lasts, the node switches between chains: use another one."),
    Entry("rpc_overload", RETRY, "the node limits requests, or is overloaded",
        "Wait, or use a node with a higher limit."),
    Entry("rpc_plan", OPERATOR, "the provider's plan does not include the call; the message has its words",
        "Take a plan that includes it, or another node; then resolve --retry."),
    Entry("state_pruned", OPERATOR, "the node no longer keeps the state of the block",
        "Use a node that keeps more of it (an archive node keeps all); then resolve --retry."),
    Entry("logs_limited", OPERATOR, "the logs cannot be listed, in however small parts they are asked for",
        "Set ORCHESTRATOR_FACTORY_BLOCK to the block of the factory's deployment, or use a node with a wider limit for "
        "eth_getLogs; then resolve --retry."),
    Entry("rpc_http", OPERATOR, "the node's address answers with an HTTP status that is not 200",
        "Check the path and the API key in ORCHESTRATOR_RPC_URL; the provider's console says whether the key still "
        "holds."),
    Entry("rpc_refused", OPERATOR, "the node refuses a call; the message has its words",
        "Use a node, or a plan of its provider, that offers the call and its range; then resolve --retry."),
    Entry("rpc_url", OPERATOR, "the RPC URL is malformed",
        "Set ORCHESTRATOR_RPC_URL to http:// or https:// with host and port."),
    Entry("answer_too_large", OPERATOR, "one answer of the node has more bytes than are read",
        "Use another node; if it answers as much, report it as a defect."),
    Entry("answer_unreadable", RETRY, "the node's answer is not JSON-RPC, but a page or a text",
        "Check that ORCHESTRATOR_RPC_URL is an Ethereum JSON-RPC node and not a page or a proxy."),
    Entry("chain_nonsense", OPERATOR, "the node's answer cannot be true, or cannot be read; the field is named",
        "Check that ORCHESTRATOR_RPC_URL is an Ethereum JSON-RPC node (orchestrator doctor), then try another node."),
    Entry("proof_invalid", OPERATOR, "a block header or a Merkle proof does not hold against its hash",
        "Try another node. If it says the same, this chain's blocks are not Ethereum's."),
    Entry("chain", OPERATOR, "the node is in trouble that has no code of its own",
        "Run orchestrator doctor, then try another node."),
    Entry("nodes_disagree", OPERATOR, "two of the nodes have different blocks where the chain is final; both are shown",
        "Compare with a third source, and take the node that is wrong out of ORCHESTRATOR_RPC_URL."),
    Entry("wrong_chain", STOP, "the node serves another chain than the customer's wallet is on",
        "Set ORCHESTRATOR_RPC_URL to a node of the chain that the customer's wallet is on."),
    Entry("wrong_factory", STOP,
        "there is no contract at the address in ORCHESTRATOR_FACTORY, or the wallet's code names another factory",
        "Set ORCHESTRATOR_FACTORY to the address of the platform's factory on this chain."),
    Entry("unsupported_chain", STOP,
        "the identifier is not of an EVM chain (CAIP namespace eip155), or the chain runs no EVM bytecode (zkSync Era)",
        "Use an eip155 identifier of a chain that runs the EVM; others are out of this project's scope."),
)
WALLETS: Final = (
    Entry("deployed_twice", OPERATOR, "the factory reports two wallets for one account",
        "Send nothing to either; ask the platform which one it means, and why there are two."),
    Entry("address_disagreement", OPERATOR, "platform and factory name different wallets",
        "Send nothing there; check ORCHESTRATOR_FACTORY and the chain, then ask the platform."),
    Entry("create2_mismatch", OPERATOR, "the wallet is not where the shipped contract would be",
        "Treat it as foreign code; compare with the platform's release."),
    Entry("code_mismatch", OPERATOR, "the wallet's code is not the shipped contract's",
        "Treat it as foreign code; compare with the platform's release."),
    Entry("owner_disagreement", OPERATOR, "the wallet names another owner than the customer",
        "Stop: this is not the customer's wallet. Ask the platform."),
    Entry("challenge_disagreement", OPERATOR, "the wallet was given another challenge than the one signed",
        "Stop: this is not the customer's wallet. Ask the platform."),
    Entry("owner_changed", OPERATOR,
        "the platform names another wallet for the customer than before; nothing is signed",
        "Ask the platform; resolve --abandon ends the operation."),
    Entry("status_disagreement", OPERATOR, "platform and chain contradict each other",
        "Compare with another node, then ask the platform."),
    Entry("state_disagreement", OPERATOR, "the wallet's storage and its logs contradict each other",
        "Compare with another node, then ask the platform."),
    Entry("state_logs_broken", OPERATOR, "the wallet's logs do not follow on each other",
        "Compare with another node: this one hides logs, or the contract is not the shipped one."),
    Entry("finality_violation", OPERATOR,
        "a final block left the chain; what rested on it, certificates included, is taken back",
        "Check the node against others; only then resolve --retry."),
    Entry("disagreement", OPERATOR, "two sources that must agree do not; the message shows both",
        "Compare both with a third source, then ask the side that is wrong."),
    Entry("wrong_escrow", OPERATOR, "the wallet's code names another escrow than its factory's event or the settings",
        "Send nothing there; compare the settings with the platform's release, then ask the platform."),
)
CLOSURE: Final = (
    Entry("closure_not_proven", OPERATOR,
        "closed on both sides, but the proof says something else than irreversible; the message has verdict, reason "
        "and witness",
        "Run orchestrator verify-closure to see all of it. A reversible wallet is not closed, whatever its flag says; "
        "after inconclusive, try another node, then orchestrator resume."),
    Entry("closed_without_chain", OPERATOR, "the platform closed the account by itself; the contract is as before",
        "Ask the platform for a deletion challenge, then close again; else resolve --accept knowingly: there is no "
        "proof."),
    Entry("closed_without_contract", OPERATOR, "the account is closed, and there never was a wallet",
        "There is nothing to prove: resolve --accept."),
    Entry("certificate_revoked", OPERATOR,
        "the block that a certificate rests on was final and has left the chain; its file is renamed to "
        "….revoked-….json",
        "Check the node against others. Once its finality can be trusted again, close again: that proves anew."),
    Entry("not_closed", OPERATOR, "a certificate was asked for a wallet or an account that is not closed",
        "Look at both sides with orchestrator accounts show; then close."),
    Entry("certificate_unreadable", STOP, "the certificate's file cannot be read",
        "Check the path and that this user may read it."),
    Entry("certificate_unwritable", STOP, "the certificate cannot be written there",
        "Name another file with --certificate, or make room; the proof is in the journal and is written again."),
)
DEVNET: Final = (
    Entry("anvil_not_started", RETRY, "Anvil did not start", "Look at its output in the message; free the port."),
    Entry("rpc_error", OPERATOR, "Anvil refused a call of the devnet", "Start the devnet anew; its chain may be gone."),
    Entry("devnet_deployment", OPERATOR, "the contracts were not deployed", "Start the devnet anew."),
    Entry("tool_missing", STOP, "there is no anvil and no npm to install it", "Type the command in the message."),
    Entry("tool_unknown", STOP, "no tool of the toolchain has this name", "Use one of the names in the message."),
    Entry("tool_unusable", STOP, "the installed tool does not run here, or is of another version",
        "Put Foundry 1.7.1 for this system on PATH."),
    Entry("tool_integrity", STOP, "the downloaded package is not the one that was pinned, and was not installed",
        "Do not use that registry; find out who changed the package."),
    Entry("tool_download_failed", STOP, "npm could not download the tool",
        "Check this machine's way to its npm registry, then run it again."),
)
