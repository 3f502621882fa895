"""The card platform, and the keys that sign the requests to it."""

from __future__ import annotations

from typing import Final

from orchestrator.runbook.entry import OPERATOR, RETRY, STOP, Entry

# fmt: off
PLATFORM: Final = (
    Entry("platform_unreachable", RETRY, "the platform was not reached, so the request was not sent",
        "Check ORCHESTRATOR_PLATFORM_URL and this machine's way to it (DNS, proxy, firewall), then run it again."),
    Entry("platform_uncertain", RETRY, "the request may have arrived, and no answer came",
        "Run it again: the platform is read back before anything is repeated."),
    Entry("no_answer", RETRY, "the other side let the timeout pass without an answer",
        "Run it again: what was cut off is read back first."),
    Entry("idempotency_in_flight", RETRY, "the platform still works on the first request with this idempotency key",
        "Wait a minute, then run it again: the same key is used."),
    Entry("idempotency_mismatch", STOP, "the platform knows this idempotency key with another request",
        "Run it again: the account is read back and a new key is used. If it comes back, ask the platform."),
    Entry("platform_rate_limited", RETRY, "the platform limits requests (HTTP 429)",
        "Wait, then run it again; drive fewer accounts at once if it keeps coming."),
    Entry("platform_malformed", OPERATOR,
        "an answer of the platform is outside of its documentation; the message names the field",
        "Check that ORCHESTRATOR_PLATFORM_URL is the platform's API, then show the message to its support."),
    Entry("platform_refused", STOP, "the platform refused the request; the message has its words",
        "Mend what the message names, or ask the platform's support."),
    Entry("platform_bad_request", STOP,
        "the platform calls the request malformed (HTTP 400); the message has its words",
        "Mend what the message names, or show it to the platform's support."),
    Entry("platform_conflict", STOP,
        "the platform refuses the request in the account's or customer's present state (HTTP 409)",
        "Look at both sides with orchestrator accounts show, then run it again."),
    Entry("invalid_transition", STOP,
        "the account's present state does not allow the change (HTTP 409), and it was read back since",
        "Look at both sides with orchestrator accounts show; then type the command that fits the account's state."),
    Entry("challenge_already_signed", STOP, "the platform has the signature of this challenge already (HTTP 409)",
        "Nothing: what it does is waited for."),
    Entry("not_found", STOP, "the platform has nothing under the address of this request (HTTP 404)",
        "Check ORCHESTRATOR_PLATFORM_URL: the API's base URL ends with /v1."),
    Entry("platform", OPERATOR, "the platform is in trouble that has no code of its own",
        "Show the message to the platform's support."),
    Entry("platform_url", STOP, "the platform's URL cannot be used",
        "Set ORCHESTRATOR_PLATFORM_URL to the API's base URL with /v1, such as https://api.sandbox.offblocks.xyz/v1."),
    Entry("platform_login_refused", STOP, "the platform refuses the API key with its secret",
        "Check ORCHESTRATOR_API_KEY and ORCHESTRATOR_API_SECRET against the platform's console, and that they belong "
        "to the environment in ORCHESTRATOR_PLATFORM_URL. Nothing is asked for 15 s after a refusal."),
    Entry("platform_unauthorized", STOP, "the platform refuses a fresh token",
        "Check that the API key may still be used, in the platform's console, then run orchestrator doctor."),
    Entry("platform_forbidden", STOP, "the API key may not make this call",
        "Ask the platform for the permission, or use another API key."),
    Entry("clock_skew", STOP,
        "this machine's clock and the platform's differ by more than ORCHESTRATOR_CLOCK_TOLERANCE",
        "Let NTP set this machine's clock."),
    Entry("account_not_found", STOP, "the platform has no account with this id",
        "Check the id, and that ORCHESTRATOR_PLATFORM_URL and the API key are of its programme: orchestrator accounts "
        "list shows what there is."),
    Entry("customer_not_found", STOP, "the platform has no customer with this id",
        "Check the customer's id, and that the API key is of its programme."),
    Entry("customer_not_active", STOP,
        "the customer's status is not active, and only an active customer gets an account",
        "Finish the customer's onboarding on the platform, then run it again."),
    Entry("webhook_not_found", STOP, "the platform has no webhook subscription with this id",
        "orchestrator webhooks list shows the ids."),
    Entry("webhook_signature_invalid", STOP, "a webhook's signature does not hold, so the delivery was not taken",
        "Compare what serve logs (compared) with the URL that the platform calls: a proxy may have changed it, and "
        "ORCHESTRATOR_PUBLIC_URL says what it was. The proxy must leave the signed headers and the body as they are."),
)
REQUEST_KEYS: Final = (
    Entry("request_signature_refused", STOP, "the platform refuses the signatures of requests",
        "Check that ORCHESTRATOR_SIGNING_KEY_ID is the id of this very key on the platform, this machine's clock, and "
        "what signatures cover (covered_components in the table [platform]): orchestrator probe tries the choices."),
    Entry("request_signing", STOP, "a request cannot be signed as the settings ask",
        "Mend covered_components or signature_label in the table [platform] of the settings file."),
    Entry("signing_key", STOP, "the request-signing key is not a P-384 private key in PEM without a password",
        "Make one: openssl ecparam -name secp384r1 -genkey -noout -out request-key.pem"),
    Entry("request_key_missing", STOP, "no request-signing key is set and none is managed here",
        "Type orchestrator keys request create NAME, then orchestrator keys request upload NAME."),
    Entry("request_key_busy", RETRY, "another process changes the request-signing key",
        "Wait for its end, then run it again."),
    Entry("request_key_refused", STOP, "the platform took a new request-signing key, and refuses its signatures",
        "Run it again. If it stays so, type orchestrator keys request revoke NAME, and orchestrator probe."),
    Entry("request_key_state", STOP, "the request-signing key is in another state than this command needs",
        "Look at orchestrator keys request list, then choose another key or make one."),
    Entry("request_key_gone", STOP, "the private part of this request-signing key was destroyed when it was retired",
        "Make another: orchestrator keys request create NAME."),
)
