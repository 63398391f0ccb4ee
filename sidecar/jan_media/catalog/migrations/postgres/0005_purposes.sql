-- What a list by purpose finds a claim under: what its owner said, or what the type tells once the
-- media is ready. The database keeps it, so that a sidecar of the version before, while both run,
-- need not know of it.
CREATE FUNCTION list_claims_of_media() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE claims SET purpose = purpose WHERE id = NEW.id;
    RETURN NEW;
END $$;

-- First, since uploads too take media before claims.
CREATE TRIGGER media_gets_content AFTER UPDATE OF sha256 ON media
    FOR EACH ROW EXECUTE FUNCTION list_claims_of_media();

ALTER TABLE claims ADD COLUMN listed_as text COLLATE "C";

CREATE FUNCTION list_claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.listed_as := (
        SELECT CASE WHEN NEW.purpose <> '' THEN NEW.purpose
            WHEN substr(c.mime, 1, 6) = 'image/' THEN 'vision' ELSE 'user_data' END
        FROM media m JOIN contents c ON c.sha256 = m.sha256 WHERE m.id = NEW.id
    );
    RETURN NEW;
END $$;

CREATE TRIGGER claim_gets_purpose BEFORE INSERT OR UPDATE OF purpose ON claims
    FOR EACH ROW EXECUTE FUNCTION list_claim();

UPDATE claims SET purpose = purpose;

CREATE INDEX claims_by_purpose ON claims (owner, listed_as, created_at, id);
