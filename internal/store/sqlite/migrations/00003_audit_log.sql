-- SPDX-License-Identifier: Apache-2.0

-- +goose Up

-- sequence is that of the newest audit event there ever was, and checkpoint the number of the
-- newest checkpoint: neither is given twice, whatever retention removes. term_key goes into
-- every term of audit_index, so that nobody can choose names whose terms are another's.
ALTER TABLE meta ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN checkpoint INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN term_key BLOB NOT NULL DEFAULT x'';
UPDATE meta SET term_key = randomblob(16);

-- The next migration seals what is here, and removes it.
DROP INDEX audit_events_by_organization;
DROP INDEX audit_events_by_namespace;
DROP INDEX audit_events_by_method;
DROP INDEX audit_events_by_action;
DROP INDEX audit_events_by_principal;
DROP INDEX audit_events_by_status_code;
ALTER TABLE audit_events RENAME TO audit_events_unsealed;

-- body is the whole event. What it is found by is in audit_index.
CREATE TABLE audit_events (
    sequence    INTEGER PRIMARY KEY,
    recorded_at INTEGER NOT NULL, -- nanoseconds since 1970
    revision    INTEGER NOT NULL,
    previous    BLOB    NOT NULL,
    hash        BLOB    NOT NULL,
    body        TEXT    NOT NULL
) STRICT;

-- One row for each thing that an event can be selected by. A term is a hash of it, cut to 32
-- bits: there is nothing to intern and nothing to collect when the last event of a term goes.
-- Two things may share a term, so that whoever selects by one looks at the event, too.
CREATE TABLE audit_index (
    term     INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (term, sequence)
) STRICT, WITHOUT ROWID;

-- The earliest and the latest time within each run of 1024 sequences: the clocks that gave the
-- times need not have gone as the sequence goes.
CREATE TABLE audit_blocks (
    block  INTEGER PRIMARY KEY,
    min_at INTEGER NOT NULL,
    max_at INTEGER NOT NULL
) STRICT;

-- Which event gives the origin of which earlier one.
CREATE TABLE audit_origins (
    event_sequence  INTEGER PRIMARY KEY,
    origin_sequence INTEGER NOT NULL
) STRICT;

-- How far each chain has come, and how far retention has; and what retention has removed that no
-- event tells of yet, with the times in nanoseconds since 1970. untold_other is how many of the
-- untold_count told of something else than of what was removed before.
CREATE TABLE audit_chains (
    organization_id  TEXT    NOT NULL PRIMARY KEY, -- empty: of what belongs to no Organization
    sequence         INTEGER NOT NULL,
    hash             BLOB    NOT NULL,
    dropped_sequence INTEGER NOT NULL,
    dropped_hash     BLOB    NOT NULL,
    untold_count     INTEGER NOT NULL DEFAULT 0,
    untold_other     INTEGER NOT NULL DEFAULT 0,
    untold_first     INTEGER NOT NULL DEFAULT 0,
    untold_first_at  INTEGER NOT NULL DEFAULT 0,
    untold_last      INTEGER NOT NULL DEFAULT 0,
    untold_last_at   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- The newest event that retention removed, for each place where events are read.
CREATE TABLE audit_dropped (
    organization_id TEXT    NOT NULL,
    namespace       TEXT    NOT NULL,
    namespace_uid   TEXT    NOT NULL,
    sequence        INTEGER NOT NULL,
    PRIMARY KEY (organization_id, namespace, namespace_uid)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_checkpoints (
    number INTEGER PRIMARY KEY,
    body   TEXT    NOT NULL
) STRICT;

CREATE TABLE audit_cursors (
    name     TEXT    NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down

DROP TABLE audit_cursors;
DROP TABLE audit_checkpoints;
DROP TABLE audit_dropped;
DROP TABLE audit_chains;
DROP TABLE audit_origins;
DROP TABLE audit_blocks;
DROP TABLE audit_index;
DROP TABLE audit_events;
ALTER TABLE audit_events_unsealed RENAME TO audit_events;
CREATE INDEX audit_events_by_organization ON audit_events (organization_id);
CREATE INDEX audit_events_by_namespace ON audit_events (namespace);
CREATE INDEX audit_events_by_method ON audit_events (method);
CREATE INDEX audit_events_by_action ON audit_events (action);
CREATE INDEX audit_events_by_principal ON audit_events (principal_name);
CREATE INDEX audit_events_by_status_code ON audit_events (status_code);
ALTER TABLE meta DROP COLUMN term_key;
ALTER TABLE meta DROP COLUMN checkpoint;
ALTER TABLE meta DROP COLUMN sequence;
