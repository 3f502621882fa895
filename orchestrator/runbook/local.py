"""This machine: the journal's database, settings, and the command itself."""

from __future__ import annotations

from typing import Final

from orchestrator.runbook.entry import OPERATOR, RETRY, STOP, Entry

# fmt: off
JOURNAL: Final = (
    Entry("journal_busy", RETRY, "another process writes in the journal", "Wait, then run it again."),
    Entry("journal_moved", RETRY,
        "a stop, an approval or a key's change came in between; what was about to be signed or sent was not",
        "Nothing: it is read again."),
    Entry("journal_conflict", OPERATOR, "another process wrote in the journal first",
        "Run it again: it goes on from what is there now."),
    Entry("journal_restored", OPERATOR,
        "the database or the keystore is older than what was signed, or they do not belong together; nothing is signed",
        "Put the newest database and keystore back; if these are, resolve --retry reconciles them."),
    Entry("journal_damaged", OPERATOR, "bytes of the database are not those that were written; nothing is signed on it",
        "Stop all commands, keep a copy of the database, and restore it from a backup."),
    Entry("journal_unreadable", OPERATOR, "an event of the journal cannot be read",
        "Run orchestrator journal --verify, and restore the database from a backup."),
    Entry("journal_database", OPERATOR, "the journal's database refused; the message has its words",
        "Check disk space, and the database's own log; orchestrator journal --verify tells whether it is whole."),
    Entry("journal_uncertain", RETRY, "the connection was lost while the database committed",
        "Run it again: the journal is read first."),
    Entry("journal_unreachable", RETRY, "the journal's database cannot be reached; nothing was written",
        "Check ORCHESTRATOR_DATABASE_URL and the database server."),
    Entry("journal", OPERATOR, "the journal is in trouble that has no code of its own",
        "Run orchestrator journal --verify."),
    Entry("database_url", STOP, "the database's URL cannot be used",
        "Set ORCHESTRATOR_DATABASE_URL to sqlite:///ABSOLUTE/PATH or postgresql://USER@HOST/NAME."),
    Entry("database_missing", STOP,
        "there is no journal where the settings say, and a command that only reads makes none",
        "Check ORCHESTRATOR_DATABASE_URL; the first command that changes anything makes the journal."),
    Entry("database_unusable", STOP, "the database cannot be opened",
        "Check that it is there, that this user may write in its folder, and that the disk is not full."),
    Entry("database_foreign", STOP, "the database is another program's; it is unchanged",
        "Set ORCHESTRATOR_DATABASE_URL to the journal's own database."),
    Entry("database_newer", STOP, "the database is of a newer release; it is unchanged",
        "Install the release that wrote the database, or a newer one."),
    Entry("lock_unusable", STOP, "the folder of the database takes no locks", "Keep the journal on a local disk."),
    Entry("history_malformed", STOP, "the file is no signing history", "Export it again: orchestrator history export."),
    Entry("history_unreadable", STOP, "the history's file cannot be read", "Check the path and its rights."),
    Entry("export_unwritable", STOP, "the export cannot be written there", "Name another file, or make room."),
)
COMMAND: Final = (
    Entry("usage", STOP, "the command's arguments do not fit", "Add --help to the command to see what it takes."),
    Entry("not_a_uuid", STOP, "an id is not a UUID", "Copy the id from orchestrator accounts list."),
    Entry("settings_missing", STOP, "a setting that this command needs is not set",
        "Set what is named, in the environment or in the file given with --config."),
    Entry("settings_invalid", STOP, "a setting has a value that cannot be taken", "Mend the setting that is named."),
    Entry("settings", STOP, "a setting, an argument or a file is wrong", "Mend what is named, then run it again."),
    Entry("unknown_schema", STOP, "no document has this name", "orchestrator schema lists the names."),
    Entry("output_unwritable", STOP, "the file for the output cannot be written", "Name another file, or make room."),
    Entry("address_unusable", STOP, "the service cannot listen there", "Free the port, or choose another with --port."),
    Entry("interrupted", OPERATOR, "a signal interrupted the command",
        "Run the same command again: it goes on from where it was."),
    Entry("internal", OPERATOR, "a defect of this program",
        "Run it again with ORCHESTRATOR_DEBUG=1 and report what it prints."),
    Entry("argument", STOP, "an argument of a method has the wrong type or value",
        "Pass what the method's documentation says."),
    Entry("forked", STOP, "a BlockingOrchestrator was used in a process that was forked after it was opened",
        "Open one in each process, after the fork."),
    Entry("not_open", STOP, "a BlockingOrchestrator was used before it was opened or after it was closed",
        "Use it in a with statement."),
)
