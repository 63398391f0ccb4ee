-- What each owner keeps, so that a quota is checked without counting. Who keeps nothing has no row.
CREATE TABLE usage (
    owner TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    files INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_of_nothing ON usage (owner) WHERE files = 0;

INSERT INTO usage (owner, bytes, files)
SELECT k.owner, SUM(COALESCE(c.bytes, 0)), COUNT(*)
FROM claims k JOIN media m ON m.id = k.id LEFT JOIN contents c ON c.sha256 = m.sha256
GROUP BY k.owner;
