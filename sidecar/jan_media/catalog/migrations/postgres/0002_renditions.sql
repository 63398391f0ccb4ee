-- What came of making contents fit the limits of models; each goes with its content.
CREATE TABLE renditions (
    sha256 text COLLATE "C" NOT NULL REFERENCES contents (sha256), -- of the original
    fit text COLLATE "C" NOT NULL, -- the name of the limits
    storage_key text COLLATE "C" NOT NULL, -- '' if there are no bytes of its own
    mime text NOT NULL,
    bytes bigint NOT NULL,
    width bigint NOT NULL,
    height bigint NOT NULL,
    failure_code text NOT NULL,
    failure_message text NOT NULL,
    PRIMARY KEY (sha256, fit)
);
