-- What a file is to each of its owners. A sidecar of the version before, while both run, claims
-- without these columns: the database dates that claim, and it ends when its media does. Made anew,
-- since SQLite adds no column whose default is the time.
CREATE TABLE new_claims (
    owner TEXT NOT NULL,
    id TEXT NOT NULL REFERENCES media (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL -- of the owner's own upload
        DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
    expires_at INTEGER, -- NULL: when its media expires
    file_name TEXT NOT NULL DEFAULT '', -- as the owner gave it
    purpose TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (owner, id)
) STRICT, WITHOUT ROWID;

INSERT INTO new_claims (owner, id, created_at)
SELECT k.owner, k.id, m.created_at FROM claims k JOIN media m ON m.id = k.id;

DROP TABLE claims;

ALTER TABLE new_claims RENAME TO claims;

CREATE INDEX claims_of_media ON claims (id);

CREATE INDEX claims_by_age ON claims (owner, created_at, id);

CREATE INDEX claims_by_end ON claims (expires_at) WHERE expires_at IS NOT NULL;
