-- What a file is to each of its owners. A sidecar of the version before, while both run, claims
-- without these columns: the database dates that claim, and it ends when its media does.
ALTER TABLE claims
    ADD COLUMN created_at bigint NOT NULL
        DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, -- of the owner's own upload
    ADD COLUMN expires_at bigint, -- NULL: when its media expires
    ADD COLUMN file_name text NOT NULL DEFAULT '', -- as the owner gave it
    ADD COLUMN purpose text NOT NULL DEFAULT '';

UPDATE claims SET created_at = media.created_at FROM media WHERE media.id = claims.id;

CREATE INDEX claims_by_age ON claims (owner, created_at, id);

CREATE INDEX claims_by_end ON claims (expires_at) WHERE expires_at IS NOT NULL;
