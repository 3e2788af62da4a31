-- SPDX-License-Identifier: Apache-2.0

-- +goose Up

-- Tells our files from other programs' ("iam1").
PRAGMA application_id = 1767992625;

-- One row: who this store is, and the revision of its last change. The revision is kept
-- here because the changes themselves are trimmed.
CREATE TABLE meta (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    incarnation TEXT    NOT NULL,
    revision    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The columns beside body are what queries select and sort by; body is the whole entity.
CREATE TABLE entities (
    kind             TEXT    NOT NULL,
    id               TEXT    NOT NULL,
    organization_id  TEXT    NOT NULL,
    object_kind      TEXT    NOT NULL,
    object_namespace TEXT    NOT NULL,
    object_name      TEXT    NOT NULL,
    object_uid       TEXT    NOT NULL,
    label            TEXT    NOT NULL,
    unique_scope     TEXT    NOT NULL, -- the Organization within which unique_name is unique; empty: the cluster
    unique_name      TEXT    NOT NULL,
    created_at       INTEGER NOT NULL, -- nanoseconds since 1970
    updated_at       INTEGER NOT NULL,
    body             TEXT    NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT;

CREATE UNIQUE INDEX entities_by_unique_name ON entities (kind, unique_name, unique_scope) WHERE unique_name <> '';
CREATE INDEX entities_by_creation ON entities (kind, organization_id, created_at, id);
CREATE INDEX entities_by_label ON entities (kind, organization_id, label, id);
CREATE INDEX entities_by_object ON entities (object_namespace, object_name, object_kind, kind);

CREATE TABLE entity_references (
    kind      TEXT    NOT NULL,
    id        TEXT    NOT NULL,
    position  INTEGER NOT NULL,
    relation  TEXT    NOT NULL,
    target_id TEXT    NOT NULL,
    PRIMARY KEY (kind, id, position),
    FOREIGN KEY (kind, id) REFERENCES entities (kind, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Targets have no foreign key: a reference may outlive what it names, and then grants nothing.
CREATE INDEX entity_references_by_target ON entity_references (target_id, kind, relation, id);

CREATE TABLE changes (
    n         INTEGER PRIMARY KEY,
    operation TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    id        TEXT    NOT NULL,
    body      TEXT    NOT NULL, -- empty after a deletion
    at        INTEGER NOT NULL
) STRICT;

CREATE TABLE audit_events (
    sequence        INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT    NOT NULL UNIQUE,
    recorded_at     INTEGER NOT NULL,
    organization_id TEXT    NOT NULL,
    namespace       TEXT    NOT NULL,
    namespace_uid   TEXT    NOT NULL,
    method          TEXT    NOT NULL,
    action          TEXT    NOT NULL,
    principal_kind  TEXT    NOT NULL,
    principal_id    TEXT    NOT NULL,
    principal_name  TEXT    NOT NULL,
    revision        INTEGER NOT NULL,
    body            TEXT    NOT NULL
) STRICT;

-- Each filter alone must find its newest events among a million; the rowid at the end of
-- an index gives the order.
CREATE INDEX audit_events_by_organization ON audit_events (organization_id);
CREATE INDEX audit_events_by_namespace ON audit_events (namespace);
CREATE INDEX audit_events_by_method ON audit_events (method);
CREATE INDEX audit_events_by_action ON audit_events (action);
CREATE INDEX audit_events_by_principal ON audit_events (principal_name);

CREATE TABLE audit_resources (
    resource_id TEXT    NOT NULL,
    sequence    INTEGER NOT NULL,
    PRIMARY KEY (resource_id, sequence)
) STRICT, WITHOUT ROWID;

-- +goose Down

DROP TABLE audit_resources;
DROP TABLE audit_events;
DROP TABLE changes;
DROP TABLE entity_references;
DROP TABLE entities;
DROP TABLE meta;
