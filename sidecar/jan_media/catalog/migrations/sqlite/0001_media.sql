CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT;

INSERT INTO schema_version (version) VALUES (0);

CREATE TABLE contents (
    sha256 TEXT PRIMARY KEY,
    mime TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    storage_key TEXT NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;

CREATE TABLE media (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('pending', 'ready', 'rejected')),
    sha256 TEXT REFERENCES contents (sha256),
    place INTEGER, -- among the ids of its content, in the order in which they became ready
    promised_mime TEXT NOT NULL DEFAULT '',
    upload_key TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    rejection_code TEXT NOT NULL DEFAULT '',
    rejection_message TEXT NOT NULL DEFAULT '',
    UNIQUE (sha256, place),
    CHECK ((state = 'ready') = (sha256 IS NOT NULL)),
    CHECK ((state = 'ready') = (place IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX media_by_expiry ON media (expires_at);

CREATE TABLE claims (
    owner TEXT NOT NULL,
    id TEXT NOT NULL REFERENCES media (id) ON DELETE CASCADE,
    PRIMARY KEY (owner, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX claims_of_media ON claims (id);

CREATE TABLE garbage (
    storage_key TEXT PRIMARY KEY,
    due_at INTEGER NOT NULL,
    hold TEXT NOT NULL CHECK (hold IN ('held', 'dropped', 'taken'))
) STRICT, WITHOUT ROWID;

CREATE INDEX garbage_by_due ON garbage (due_at);

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    prefix TEXT NOT NULL,
    key_hash TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    group_names TEXT NOT NULL, -- a JSON array
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
