-- What a list by purpose finds a claim under: what its owner said, or what the type tells once the
-- media is ready. The database keeps it, so that a sidecar of the version before, while both run,
-- need not know of it.
ALTER TABLE claims ADD COLUMN listed_as TEXT;

CREATE TRIGGER claim_gets_purpose AFTER UPDATE OF purpose ON claims BEGIN
    UPDATE claims SET listed_as = (
        SELECT CASE WHEN NEW.purpose <> '' THEN NEW.purpose
            WHEN substr(c.mime, 1, 6) = 'image/' THEN 'vision' ELSE 'user_data' END
        FROM media m JOIN contents c ON c.sha256 = m.sha256 WHERE m.id = NEW.id
    ) WHERE owner = NEW.owner AND id = NEW.id;
END;

CREATE TRIGGER claim_is_made AFTER INSERT ON claims BEGIN
    UPDATE claims SET purpose = purpose WHERE owner = NEW.owner AND id = NEW.id;
END;

CREATE TRIGGER media_gets_content AFTER UPDATE OF sha256 ON media BEGIN
    UPDATE claims SET purpose = purpose WHERE id = NEW.id;
END;

UPDATE claims SET purpose = purpose;

CREATE INDEX claims_by_purpose ON claims (owner, listed_as, created_at, id);
