"""What to do about errors, told beside each error and by the doctor: by their codes, unless where an error comes from
says more than its code."""

from __future__ import annotations

from orchestrator.errors import Disposition, OrchestratorError

FIXES = {
    "account_not_found": "Check the id, and that ORCHESTRATOR_PLATFORM_URL and the API key are of its programme: "
    "orchestrator accounts list shows what there is.",
    "account_unknown": "Check the id, and ORCHESTRATOR_DATABASE_URL: orchestrator status lists the journal's accounts, "
    "orchestrator accounts list the platform's.",
    "account_ambiguous": "Type more of the id.",
    "reference_blank": "Give the account's name in your own records, or leave the reference out.",
    "reference_unknown": "Check the reference, and ORCHESTRATOR_DATABASE_URL: orchestrator accounts list shows those "
    "of this journal.",
    "argument": "Pass what the method's documentation says.",
    "forked": "Open one in each process, after the fork.",
    "not_open": "Use it in a with statement.",
    "interrupted": "Run the same command again: it goes on from where it was.",
    "customer_not_found": "Check the customer's id, and that the API key is of its programme.",
    "chain_nonsense": "Check that ORCHESTRATOR_RPC_URL is an Ethereum JSON-RPC node; doctor tells more.",
    "wrong_chain": "Set ORCHESTRATOR_RPC_URL to a node of the chain that the customer's wallet is on.",
    "key_not_found": "Import the customer's key with orchestrator keys import, or set ORCHESTRATOR_KEYSTORE.",
    "settings_missing": "Set what is named, in the environment or in the file given with --config.",
    "platform_unreachable": "Check ORCHESTRATOR_PLATFORM_URL and this machine's way to it (DNS, proxy, firewall).",
    "platform_login_refused": "Check ORCHESTRATOR_API_KEY and ORCHESTRATOR_API_SECRET against the platform's console, "
    "and that they belong to the environment in ORCHESTRATOR_PLATFORM_URL.",
    "request_signature_refused": "Check that ORCHESTRATOR_SIGNING_KEY_ID is the id that the platform gave for this "
    "very key, and the covered components (ORCHESTRATOR_COVERED_COMPONENTS).",
    "request_key_missing": "Type orchestrator keys request create NAME, then orchestrator keys request upload NAME.",
    "request_key_pending": "Type the command that is named: it completes what was begun.",
    "request_key_busy": "Another process changes the request-signing key: wait for its end, then run it again.",
    "request_key_uncertain": "Look the key's id up in the platform's console, then type the command that is named.",
    "platform_url": "Set ORCHESTRATOR_PLATFORM_URL to the API's base URL with /v1, such as "
    "https://api.sandbox.offblocks.xyz/v1.",
    "clock_skew": "Let NTP set this machine's clock.",
    "chain_unreachable": "Check ORCHESTRATOR_RPC_URL, and that the node runs and can be reached from here.",
    "rpc_http": "Check the path and the API key in ORCHESTRATOR_RPC_URL.",
    "rpc_overload": "The node refuses for now: wait, or use a node with a higher limit.",
    "wrong_password": "Check ORCHESTRATOR_KEYSTORE_PASSWORD_FILE: this password does not open the key.",
    "keystore_permissions": "Type the command that is named.",
    "database_url": "Set ORCHESTRATOR_DATABASE_URL to sqlite:///ABSOLUTE/PATH or postgresql://USER@HOST/NAME.",
    "database_foreign": "Set ORCHESTRATOR_DATABASE_URL to the journal's own database.",
    "database_missing": "Check ORCHESTRATOR_DATABASE_URL; the first command that changes anything makes the journal.",
    "database_newer": "Install the release that wrote the database, or a newer one.",
    "policy_invalid": "Mend the policy's file: orchestrator policy check FILE says what is wrong with it.",
    "policy_unreadable": "Set ORCHESTRATOR_POLICY to a file that this user can read.",
    "policy_refused": "orchestrator policy explain ACCOUNT_ID shows every rule; ask the platform for another.",
    "ruleset_newer": "Install the release that the other machines run.",
    "person_needed": "Say who you are: --person-key FILE, or --person NAME and --signature 0x….",
    "person_unknown": "Use the key whose address the policy names; orchestrator policy show lists the people.",
    "person_role": "Ask somebody with that role; orchestrator policy show lists them.",
    "approval_by_requester": "Ask a second person: whoever asks cannot approve.",
    "approval_expired": "Run the command again that asked for it: it asks anew.",
    "approval_unknown": "orchestrator approve, without an argument, lists what waits.",
    "journal_restored": "Put the newest database and keystore back; if these are, type the command that is named.",
    "signature_in_flight": "Look for a process of this program that hangs and end it, then type the command again.",
    "key_disabled": "Type orchestrator keys enable NAME if it may sign again.",
    "journal_damaged": "Stop all commands, keep a copy of the database, and restore it from a backup.",
    "journal_unreadable": "Run orchestrator journal --verify, and restore the database from a backup.",
}


def fix(error: OrchestratorError) -> str:
    """What to do about an error, in a sentence."""
    known = error.fix or FIXES.get(error.code)
    if known is not None:
        return known
    match error.disposition:
        case Disposition.RETRY:
            return "This may pass: wait a moment and run it again."
        case Disposition.OPERATOR:
            return "Compare what is said with what you expect of the other side; its operator may have to look."
        case Disposition.STOP:
            return "Mend what is named, then run it again."
