-- SPDX-License-Identifier: Apache-2.0

-- +goose Up

-- Who asked for what, as admission saw it. History: it waits for the event that uses it, or
-- for its age. The order is that of the sequence.
CREATE TABLE attributions (
    sequence   INTEGER PRIMARY KEY,
    object_uid TEXT    NOT NULL,
    generation INTEGER NOT NULL, -- 0 for a deletion
    digest     TEXT    NOT NULL, -- empty for a deletion
    deletion   INTEGER NOT NULL,
    at         INTEGER NOT NULL, -- of the request, in nanoseconds since 1970
    made_at    INTEGER NOT NULL, -- by the store's own clock, for its age
    body       TEXT    NOT NULL  -- the requester, and the id of the request
) STRICT;

CREATE INDEX attributions_by_object ON attributions (object_uid);
CREATE INDEX attributions_by_age ON attributions (made_at);
-- Of those who ask for an object's deletion the first one counts.
CREATE UNIQUE INDEX attributions_first_deletion ON attributions (object_uid) WHERE deletion = 1;

-- What log-in told of Members and nobody has settled yet. A sequence that was settled must
-- not come again: whoever settles up to it would settle what came later, unseen.
CREATE TABLE told (
    sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
    member_id TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    at        INTEGER NOT NULL
) STRICT;

CREATE INDEX told_by_member ON told (member_id);

-- What was refused is found by its status.
ALTER TABLE audit_events ADD COLUMN status_code INTEGER GENERATED ALWAYS AS (json_extract(body, '$.statusCode')) VIRTUAL;
CREATE INDEX audit_events_by_status_code ON audit_events (status_code);

-- +goose Down

DROP INDEX audit_events_by_status_code;
ALTER TABLE audit_events DROP COLUMN status_code;
DROP TABLE told;
DROP TABLE attributions;
