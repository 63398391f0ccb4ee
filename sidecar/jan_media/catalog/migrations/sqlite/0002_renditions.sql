-- What came of making contents fit the limits of models; each goes with its content.
CREATE TABLE renditions (
    sha256 TEXT NOT NULL REFERENCES contents (sha256), -- of the original
    fit TEXT NOT NULL, -- the name of the limits
    storage_key TEXT NOT NULL, -- '' if there are no bytes of its own
    mime TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    failure_code TEXT NOT NULL,
    failure_message TEXT NOT NULL,
    PRIMARY KEY (sha256, fit)
) STRICT, WITHOUT ROWID;
