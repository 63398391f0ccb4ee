-- Keys and ids are compared byte by byte (COLLATE "C"), whatever the database's locale.
CREATE TABLE schema_version (version bigint NOT NULL);

INSERT INTO schema_version (version) VALUES (0);

CREATE TABLE contents (
    sha256 text COLLATE "C" PRIMARY KEY,
    mime text NOT NULL,
    bytes bigint NOT NULL,
    storage_key text COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE media (
    id text COLLATE "C" PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('pending', 'ready', 'rejected')),
    sha256 text COLLATE "C" REFERENCES contents (sha256),
    place bigint, -- among the ids of its content, in the order in which they became ready
    promised_mime text NOT NULL DEFAULT '',
    upload_key text COLLATE "C" NOT NULL DEFAULT '',
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    rejection_code text NOT NULL DEFAULT '',
    rejection_message text NOT NULL DEFAULT '',
    UNIQUE (sha256, place),
    CHECK ((state = 'ready') = (sha256 IS NOT NULL)),
    CHECK ((state = 'ready') = (place IS NOT NULL))
);

CREATE INDEX media_by_expiry ON media (expires_at);

CREATE TABLE claims (
    owner text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL REFERENCES media (id) ON DELETE CASCADE,
    PRIMARY KEY (owner, id)
);

CREATE INDEX claims_of_media ON claims (id);

CREATE TABLE garbage (
    storage_key text COLLATE "C" PRIMARY KEY,
    due_at bigint NOT NULL,
    hold text NOT NULL CHECK (hold IN ('held', 'dropped', 'taken'))
);

CREATE INDEX garbage_by_due ON garbage (due_at);

CREATE TABLE leases (
    name text COLLATE "C" PRIMARY KEY,
    holder text NOT NULL,
    ends_at bigint NOT NULL
);

CREATE TABLE api_keys (
    id text COLLATE "C" PRIMARY KEY,
    prefix text COLLATE "C" NOT NULL,
    key_hash text COLLATE "C" NOT NULL UNIQUE,
    owner text COLLATE "C" NOT NULL,
    group_names text NOT NULL, -- a JSON array
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint
);
