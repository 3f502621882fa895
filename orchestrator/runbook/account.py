"""What stops an operation on an account: its status, its creation, its challenges and signatures."""

from __future__ import annotations

from typing import Final

from orchestrator.runbook.entry import OPERATOR, RETRY, STOP, Entry

# fmt: off
OPERATIONS: Final = (
    Entry("no_progress", OPERATOR,
        "in one run, platform or chain said something else each time that it was read; the message names the step",
        "Compare both sides with orchestrator accounts show; then resolve --retry."),
    Entry("overdue", OPERATOR, "a stage took longer than ORCHESTRATOR_PATIENCE, or began at a time that is "
          "yet to come (the clock was set back); the message shows both sides",
        "Ask the platform; then resolve --retry."),
    Entry("account_busy", RETRY, "another process works on the account", "Wait; the lock ends with that process."),
    Entry("operation_in_progress", STOP, "another operation on this account has not ended",
        "Finish it with orchestrator resume, or end it with resolve --abandon."),
    Entry("nothing_to_resolve", STOP, "the account does not wait for an operator's decision",
        "Look at orchestrator status: it says what the account waits for."),
    Entry("reason_missing", STOP, "a decision was given without a reason", "Say why, with --reason."),
    Entry("abandoned", STOP, "an operator ended the operation as failed", "Nothing; a new command starts anew."),
    Entry("accepted_by_operator", STOP, "an operator ended the operation as done, on their word",
        "Nothing; there is no proof for it."),
    Entry("account_closed", STOP, "the account is closed, which is final", "Create another account."),
    Entry("account_failed", STOP, "the account's creation failed, which is final", "Create another account."),
    Entry("not_active_yet", STOP, "the account is not active yet", "Run orchestrator activate first."),
    Entry("suspended_use_reactivate", STOP, "the account was deployed and is suspended",
        "Run orchestrator reactivate."),
    Entry("account_unknown", STOP, "neither the journal nor the platform has an account with this id",
        "Check the id, and ORCHESTRATOR_DATABASE_URL: orchestrator status lists the journal's accounts, orchestrator "
        "accounts list the platform's."),
    Entry("account_ambiguous", STOP, "the beginning of an id fits several accounts; they are named",
        "Type more of the id."),
)
CREATION: Final = (
    Entry("creation_ambiguous", OPERATOR,
        "after an uncertain answer, several accounts may be the new one, or five requests led to none that is shown; "
        "no further one is made",
        "Find out on the platform which account is yours and activate it by its id. The reference is spent, and resume "
        "keeps naming it."),
    Entry("creation_unsettled", RETRY,
        "an account may belong to another open creation, or it is too early to ask for one again",
        "Wait, run orchestrator resume, then this again."),
    Entry("reference_taken", STOP, "the reference was used for another customer or currency", "Use another reference."),
    Entry("account_claimed", OPERATOR, "the account is the answer to another creation already",
        "Use one reference for each account; orchestrator accounts list shows what there is."),
    Entry("reference_blank", STOP, "the reference is empty: a name that was lost on its way would find nothing again",
        "Give the account's name in your own records, or leave the reference out."),
    Entry("reference_unknown", STOP, "no account was created here under this reference",
        "Check the reference, and ORCHESTRATOR_DATABASE_URL: orchestrator accounts list shows those of this journal."),
)
CHALLENGES: Final = (
    Entry("challenge_malformed", OPERATOR, "the challenge is not the Base64 that the platform documents",
        "Show it to the platform's support; nothing was signed."),
    Entry("eip4361_malformed", OPERATOR, "the challenge looks like an EIP-4361 message and is not one",
        "Show it to the platform's support; nothing was signed."),
    Entry("no_challenge", STOP, "the journal has no challenge of this account that could be signed now",
        "Type activate or close, which ask for one, or explain one from elsewhere: policy explain --challenge."),
    Entry("challenge_expired", STOP, "the challenge expired before its signature was submitted",
        "Nothing: the new challenge is fetched."),
    Entry("challenge_signed_before", OPERATOR,
        "this challenge was signed before, for this account or another; a challenge is signed once",
        "Ask the platform for a new challenge; orchestrator journal shows where the first one went."),
    Entry("signature_conflict", OPERATOR, "another signature of this account and operation is live",
        "Wait until it has lapsed or was refused; then resolve --retry."),
    Entry("signature_refused", OPERATOR, "the platform refused three signatures in a row",
        "Check that the customer's wallet is the key's address."),
    Entry("signature_without_effect", OPERATOR,
        "the platform took the signature twice, 20 minutes apart, and went on as if it had not",
        "Ask the platform; resolve --retry submits it again. The operation goes on by itself if the account moves "
        "after all."),
    Entry("signature_in_flight", RETRY,
        "the stop (or the disabled key) is journaled and holds; a signature that was on its way before may still go "
        "out, because its request does not end",
        "Look for a process of this program that hangs and end it, then type the command again."),
)
